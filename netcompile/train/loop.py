"""The solver's loop: forward and backward iter_size times, update, test, print, snapshot; in Caffe's order."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from math import isfinite, prod

import numpy as np
import torch
from torch import Tensor

from netcompile.array import Array
from netcompile.caffemodel.plan import LayerSpec
from netcompile.caffemodel.recipe import Take
from netcompile.data.sources.base import Batches
from netcompile.diagnostics.diagnostic import Diagnostic, refuse
from netcompile.files.look import make_folder
from netcompile.layers.base import AUTOMATIC
from netcompile.prototxt.schema import float32
from netcompile.runtime.processes import ALONE, Processes, sum_tensors
from netcompile.train.blobs import LearnedBlob
from netcompile.train.net import Net
from netcompile.train.rules import UPDATES, clip, regularise
from netcompile.train.snapshot import TrainingState, caffe_blobs, read_snapshot, restore, write_snapshot
from netcompile.train.solver import Solver
from netcompile.train.stuck import stuck


@dataclass(frozen=True, slots=True)
class TestNet:
    """A net that is tested: its feed, its blobs (mostly the trained net's), and how many batches a test has."""

    net: Net
    batches: Batches
    blobs: Mapping[Take, Tensor]
    iterations: int


@dataclass
class Training:
    """A training under way. `run` brings it to the solver's max_iter."""

    solver: Solver
    net: Net
    batches: Batches
    layers: tuple[LayerSpec, ...]
    infos: tuple[LearnedBlob, ...]
    blobs: dict[Take, Tensor]
    device: torch.device
    seed: int
    say: Callable[[str], None]
    note: Callable[[Sequence[Diagnostic]], None]
    tests: tuple[TestNet, ...] = ()
    dtype: torch.dtype = torch.float32  # that autocast computes in
    precision: torch.dtype = torch.float32  # of blobs and batches
    group: Processes = ALONE
    summed: frozenset[Take] = frozenset()
    prefix: str = ""  # of snapshots
    iteration: int = 0
    step: int = 0
    losses: list[float] = field(default_factory=list)
    tested: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.recent: deque[float] = deque(maxlen=self.solver.average_loss)
        self.tested = self.tested or [0] * len(self.tests)
        self.learned = [info for info in self.infos if info.learned]
        count = UPDATES[self.solver.type].histories
        self.history = {
            info.take: [torch.zeros_like(self.blobs[info.take]) for _ in range(count)] for info in self.learned
        }
        for info in self.learned:
            self.blobs[info.take].requires_grad_(True)
        torch.manual_seed(self.seed)
        self.clock, self.shown = time.monotonic(), 0
        self.unproven = True  # that gradients flow, until the first step has shown it

    # the loop --------------------------------------------------------------------------------------------------

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Train until max_iter, or until `stop` says so after a step. Raises NetError, OSError, WorkerLost."""
        solver = self.solver
        if self.group.leads and (solver.snapshot or (solver.snapshot_after_train and solver.snapshot_prefix)):
            make_folder(os.path.dirname(os.path.abspath(self.prefix)))  # rather now than after hours
        self.say(f"Solving {self.net.analysed.name}")
        self.say(f"Learning Rate Policy: {solver.rate.name}")
        self.clock, self.shown = time.monotonic(), self.iteration
        self.unproven = True
        while self.iteration < solver.max_iter:
            if self._due(solver.test_interval) and (self.iteration > 0 or solver.test_initialization):
                self.test_all()
            self._train_step()
            if self._due(solver.snapshot):
                self.snapshot()
            if stop():
                self.snapshot()
                return
        if solver.snapshot_after_train and solver.snapshot_prefix and not self._due(solver.snapshot):
            self.snapshot()
        # The last line of display takes one more pass, which BatchNorm counts: tests see it, files do not.
        kept = {take: blob.clone() for take, blob in self.blobs.items() if not blob.requires_grad}
        if self._due(solver.display):
            with torch.no_grad():
                tops = self._forward(self.iteration * solver.iter_size)
            self.recent.append(float(self.net.loss(tops)))
            self.say(f"Iteration {self.iteration}, loss = {_number(self._smoothed())}")
        if self._due(solver.test_interval):
            self.test_all()
        for take, blob in kept.items():
            self.blobs[take].copy_(blob)
        self.say("Optimization Done.")

    def _due(self, every: int) -> bool:
        """Whether it is time for what is done every so many iterations; 0 is never."""
        return every != 0 and self.iteration % every == 0

    def _train_step(self) -> None:
        solver, passes = self.solver, self.solver.iter_size
        for info in self.learned:
            self.blobs[info.take].grad = None
        total, tops = 0.0, dict[str, Tensor]()
        for part in range(passes):
            tops = self._forward(self.iteration * passes + part)
            loss = self.net.loss(tops)
            if loss.requires_grad:
                loss.backward()  # type: ignore[no-untyped-call]
            total = float32(total + float(loss.detach()))
        mean = float32(total / passes)
        self.recent.append(mean)
        self.losses.append(mean)
        if not isfinite(mean) and all(map(isfinite, self.losses[:-1])):
            self._diverged(mean)
        rate = self._rate()
        if self._due(solver.display):
            self._display(tops, rate)
        self._update(rate)
        self.iteration += 1

    def _forward(self, index: int) -> dict[str, Tensor]:
        return self._run(self.net, self.blobs, self.batches.batch(index))

    def _run(self, net: Net, blobs: Mapping[Take, Tensor], arrays: Mapping[str, Array]) -> dict[str, Tensor]:
        batch = {
            name: torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(self.device, self.precision)
            for name, array in arrays.items()
        }
        autocast = self.dtype != torch.float32
        with torch.autocast(self.device.type, self.dtype) if autocast else nullcontext():
            return net(blobs, batch, self.device)

    def _rate(self) -> float:
        self.step = self.solver.rate.step(self.iteration, self.step)
        return self.solver.rate.rate(self.iteration, self.step)

    @torch.no_grad()
    def _update(self, rate: float) -> None:
        """Caffe's SGDSolver::ApplyUpdate: clip, then for each blob normalise, regularise, update."""
        solver, update = self.solver, UPDATES[self.solver.type]
        diffs = {}
        for info in self.learned:
            data = self.blobs[info.take]
            diffs[info.take] = torch.zeros_like(data) if data.grad is None else data.grad.detach()
        if self.group.count > 1:
            sum_tensors([diffs[i.take] for i in self.learned if i.take in self.summed])
        if self.unproven:
            self.unproven = False
            self.note(stuck(self.net, self.infos, self.blobs, diffs, solver.train_net.span))
        clip(list(diffs.values()), solver.clip_gradients)
        for info in self.learned:
            data, diff = self.blobs[info.take], diffs[info.take]
            if solver.iter_size > 1:
                diff.mul_(float32(1.0 / solver.iter_size))
            regularise(diff, data, float32(solver.weight_decay * info.decay_mult), solver.regularization)
            local = float32(rate * info.lr_mult)
            data.sub_(update.rule(solver, diff, self.history[info.take], local, self.iteration))

    # what is said ----------------------------------------------------------------------------------------------

    def _diverged(self, loss: float) -> None:
        what = f"the loss of iteration {self.iteration} is {loss}"
        why = "no later number means anything; Caffe goes on all the same, and so does this training"
        remedy = "a lower base_lr, clip_gradients, other fillers or weights; and look for such numbers in the data"
        self.note([Diagnostic("loss-not-finite", what, self.solver.train_net.span, why, remedy, "warning")])

    def _smoothed(self) -> float:
        return sum(self.recent) / len(self.recent)

    def _display(self, tops: Mapping[str, Tensor], rate: float) -> None:
        now, done = time.monotonic(), self.iteration - self.shown
        seconds = now - self.clock
        self.say(
            f"Iteration {self.iteration} ({done / seconds if seconds else 0:.6g} iter/s, {seconds:.6g}s/"
            f"{self.solver.display} iters), loss = {_number(self._smoothed())}"
        )
        self.clock, self.shown = now, self.iteration
        for line in _outputs(self.net, {n: t.detach().float().reshape(-1).tolist() for n, t in tops.items()}, "Train"):
            self.say(line)
        self.say(f"Iteration {self.iteration}, lr = {rate:.6g}")

    # tests -----------------------------------------------------------------------------------------------------

    def test_all(self) -> None:
        """Run every test net on its next batches, and print the means of its outputs as Caffe does."""
        random = torch.get_rng_state()  # a test leaves the training as it was
        for index in range(len(self.tests)):
            self._test(index)
        torch.set_rng_state(random)

    @torch.no_grad()
    def _test(self, index: int) -> None:
        test, group = self.tests[index], self.group
        self.say(f"Iteration {self.iteration}, Testing net (#{index})")
        sums: dict[str, Tensor] = {}
        total = torch.zeros((), dtype=torch.float64)
        for k in group.share(test.iterations):
            tops = self._run(test.net, test.blobs, test.batches.batch(self.tested[index] + k))
            total += float(test.net.loss(tops))
            for name in test.net.outputs:
                values = tops[name].detach().double().cpu().reshape(-1)
                sums[name] = values + sums[name] if name in sums else values
        self.tested[index] += test.iterations
        if group.count > 1:
            shapes = {name: test.net.analysed.shapes[test.net.analysed.graph.blobs[name]] for name in test.net.outputs}
            for name, shape in shapes.items():
                sums.setdefault(name, torch.zeros(prod(shape), dtype=torch.float64))
            sum_tensors([total, *(sums[name] for name in test.net.outputs)])
        if self.solver.test_compute_loss:
            self.say(f"Test loss: {_number(float(total) / test.iterations)}")
        means = {name: (values / test.iterations).tolist() for name, values in sums.items()}
        for line in _outputs(test.net, means, "Test"):
            self.say(line)

    # snapshots -------------------------------------------------------------------------------------------------

    def snapshot(self) -> None:
        """Write the state of the training; the leading process does."""
        if not self.group.leads:
            return
        state = {
            f"history.{index}.{slot}": tensor.detach().cpu()
            for index, info in enumerate(self.learned)
            for slot, tensor in enumerate(self.history[info.take])
        }
        state["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            state["random.cuda"] = torch.cuda.get_rng_state(self.device)
        progress = TrainingState(
            self.iteration, self.step, self.solver.type, self.seed,
            tuple(self.recent), tuple(self.losses), tuple(self.tested),
        )  # fmt: skip
        path = write_snapshot(self.prefix, progress, caffe_blobs(self.layers, self.blobs), state)
        self.say(f"Snapshotting to {os.path.relpath(path)}")

    def resume(self, path: str) -> None:
        """Go on where a snapshot was taken. Raises NetError where it is of another solver or net, OSError."""
        progress, weights, state = read_snapshot(path)
        if progress.type != self.solver.type:
            what = f"{path}: a snapshot of {progress.type}, the solver is {self.solver.type}"
            refuse("snapshot", what, why="each type keeps histories of its own")
        restore(path, weights, self.layers, self.blobs)
        for index, info in enumerate(self.learned):
            for slot, tensor in enumerate(self.history[info.take]):
                saved = state.get(f"history.{index}.{slot}")
                if saved is None or saved.shape != tensor.shape:
                    what = f"{path}: no history for blob {info.take.index} of layer '{info.take.layer}'"
                    refuse("snapshot", what, why="the net learns other blobs than it did")
                tensor.copy_(saved)
        self.iteration, self.step, self.seed = progress.iteration, progress.step, progress.seed
        self.recent.extend(progress.recent)
        self.losses = list(progress.losses)
        self.tested = list(progress.tested) if len(progress.tested) == len(self.tests) else self.tested
        torch.set_rng_state(state["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in state:
            torch.cuda.set_rng_state(state["random.cuda"], self.device)


def _outputs(net: Net, values: Mapping[str, Sequence[float]], kind: str) -> list[str]:
    """One line per number of every output, with its part in the loss."""
    weights = {loss.blob: loss.weight for loss in net.losses}
    lines: list[str] = []
    for name in net.outputs:
        for value in values[name]:
            weight = weights.get(name, 0.0)
            part = f" (* {_number(weight)} = {_number(weight * value)} loss)" if weight else ""
            shown = AUTOMATIC if name.startswith(AUTOMATIC) else name
            lines.append(f"    {kind} net output #{len(lines)}: {shown} = {_number(value)}{part}")
    return lines


def _number(value: float) -> str:
    """As C++ streams print a float: six digits."""
    return f"{value + 0.0:.6g}"  # no negative zero
