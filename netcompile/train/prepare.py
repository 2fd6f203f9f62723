"""From a solver and the user's wishes to a training that can run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from netcompile.analyser import Analysed
from netcompile.analysis.footprint import require_room
from netcompile.caffemodel.plan import LayerSpec
from netcompile.caffemodel.recipe import Take
from netcompile.data.sources.arrays import read_arrays
from netcompile.data.sources.base import Batches, Wanted
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, located, refuse
from netcompile.diagnostics.text import listed, shape_text
from netcompile.diagnostics.visible import is_visible
from netcompile.emit.weights import layer_specs
from netcompile.files.look import is_file
from netcompile.files.named import below
from netcompile.layers.convolution import Deconvolution
from netcompile.runtime import processes
from netcompile.train import parallel
from netcompile.train.blobs import LearnedBlob, draw, interpolate, learned_blobs
from netcompile.train.feed import feed
from netcompile.train.in_place import noticed
from netcompile.train.loop import TestNet, Training
from netcompile.train.net import compiled, graph_of, read_net, source_of
from netcompile.train.sizes import Sized
from netcompile.train.snapshot import read_snapshot
from netcompile.train.solver import NetRef, Solver
from netcompile.train.weights import Copied, copy_weights


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked for beside the solver."""

    weights: tuple[str, ...] = ()
    data: str | None = None
    out: str = "."
    split: str = "train"
    mean: tuple[float, ...] | None = None
    device: str = "cpu"
    dtype: str = "float32"
    seed: int | None = None
    interp: bool = False
    batches: Batches | None = None  # instead of `data`, from Python
    resume: str | None = None  # the snapshot that the training goes on from, whose seed it keeps
    snapshots: str | None = None  # their prefix, instead of the solver's


def prepare(
    solver: Solver, wishes: Wishes, say: Callable[[str], None], note: Callable[[Sequence[Diagnostic]], None]
) -> Training:
    """The training, its weights drawn and copied. Raises NetError, OSError.

    `say` takes lines of progress, `note` what was noticed.
    """
    prefix = snapshot_prefix(solver, wishes)
    solver = replace(solver, snapshot_prefix=wishes.snapshots or solver.snapshot_prefix)
    if wishes.device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    group = processes.join("nccl" if wishes.device == "cuda" else "gloo")
    if not group.leads:
        say, note = (lambda text: None), (lambda found: None)
    device = torch.device("cuda", torch.cuda.current_device()) if wishes.device == "cuda" else torch.device("cpu")
    beside = os.path.dirname(solver.source.name)
    seed = wishes.seed if wishes.seed is not None else solver.random_seed
    if wishes.resume is not None:
        seed = read_snapshot(wishes.resume)[0].seed
    if seed < 0:
        seed = int.from_bytes(os.urandom(4), "little")
        if group.count > 1:
            seed = processes.same_number(seed)
        say(f"random seed {seed}")
    train, batches = _net(solver, solver.train_net, True, wishes, seed, beside)
    note([*solver.notes, *train.notes, *noticed(train)])
    users: list[frozenset[tuple[str, int]]] = []

    def spread(analysed: Analysed, wanted: tuple[str, ...]) -> Analysed:
        found = parallel.spread(analysed, wanted)
        users.append(found.users)
        return found.analysed

    net = compiled(train, spread if group.count > 1 else None)
    if not net.losses:
        what = f"the net '{train.name}' has no loss to train on"
        why = "no top of a loss layer, and no top with a loss_weight, takes part in phase TRAIN"
        refuse("no-loss", what, solver.train_net.span, why)
    layers, infos = layer_specs(net.module), learned_blobs(net.module)
    generator = torch.Generator().manual_seed(seed)
    blobs = draw(infos, generator)
    if wishes.interp:
        say(f"bilinear kernels: {', '.join(interpolate(infos, blobs)) or 'none'}")
    else:
        note(_idle(infos))
    # As in Caffe, weights that are asked for take the place of the solver's own.
    weights = wishes.weights or tuple(_beside(beside, path) for path in solver.weights)
    with located(None if wishes.weights else solver.weights_at):
        for path in weights:
            note(_remarks(copy_weights(path, layers, blobs)))
    blobs = {take: tensor.to(device) for take, tensor in blobs.items()}
    if group.count > 1:
        processes.broadcast(list(blobs.values()))
    tests = tuple(
        _test(solver, ref, count, replace(wishes, weights=weights), seed, beside, blobs, generator, device, note)
        for ref, count in zip(solver.test_nets, solver.test_iter, strict=False)
    )
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[wishes.dtype]
    summed = parallel.summed_blobs(net.module, users[0]) if users else frozenset[Take]()
    return Training(
        solver, net, batches, layers, infos, blobs, device, seed, say, note, tests,
        dtype=dtype, group=group, summed=summed, prefix=prefix,
    )  # fmt: skip


def snapshot_prefix(solver: Solver, wishes: Wishes) -> str:
    """What the names of snapshots begin with. Raises NetError where a solver wants them elsewhere than asked for."""
    if wishes.snapshots is not None:
        return wishes.snapshots
    name = solver.snapshot_prefix or "snapshot"
    try:
        if not is_visible(name):
            raise ValueError("it holds characters that do not show")
        return below(wishes.out, name)
    except ValueError as error:
        what = f"snapshot_prefix '{name[:200]}' is no place to write to"
        why = f"{error}; what a file names is written below the output folder alone"
        refuse("path-outside", what, solver.snapshot_at, why, "--snapshot-prefix PREFIX says where, whatever it is")


def _beside(folder: str, path: str) -> str:
    candidate = os.path.join(folder, path)
    return candidate if os.path.isfile(candidate) else path


def _net(solver: Solver, ref: NetRef, train: bool, wishes: Wishes, seed: int, beside: str) -> tuple[Analysed, Batches]:
    """The net, shaped for its batches, and where they come from."""
    source = source_of(ref, beside)
    graph = graph_of(source, ref, train)
    consumed = {bottom for node in graph.nodes for bottom in node.bottoms}
    wanted = tuple(entry for entry in graph.inputs if entry.value in consumed)
    batches: Batches
    arrays = wishes.data is not None and is_file(wishes.data) and not wishes.data.endswith((".txt", ".lst"))
    if wishes.mean is not None and (arrays or wishes.data is None):
        why = "arrays are fed as they are" if arrays else "the net's own data layers say what they subtract"
        remedy = "leave --mean out; it is for the images of a --data folder or list"
        refuse("usage", "--mean does nothing here", why=why, remedy=remedy)
    if wishes.batches is not None:
        batches = wishes.batches
    elif arrays:
        assert wishes.data is not None
        names = [entry.value.blob for entry in wanted]
        passes, steps = (solver.iter_size, solver.max_iter) if train else (1, 1)
        batches = read_arrays(wishes.data, names, passes, steps)
    else:
        folders = (beside, os.path.dirname(source.name), ".")
        batches = feed(wanted, Wanted(wishes.data, wishes.split, wishes.mean, seed, train, folders))
    first = batches.batch(0)
    missing = [entry for entry in wanted if entry.value.blob not in first]
    if missing:
        why, remedy = "it is an input of the net", "--data BATCHES.npz with an array for it"
        texts = ((f"nothing feeds '{entry.value.blob}'", entry.message.span_of("type")) for entry in missing)
        raise NetError([Diagnostic("missing-input", what, span, why, remedy) for what, span in texts])
    shapes = {entry.value.blob: tuple(first[entry.value.blob].shape) for entry in wanted}
    problems = []
    for entry, have in zip(wanted, shapes.values(), strict=True):
        if entry.declared and len(entry.shape) != len(have):
            what = f"'{entry.value.blob}' has {len(have)} axes in the data, {len(entry.shape)} in the net"
            why = f"{shape_text(have)} against {shape_text(entry.shape)}"
            problems.append(Diagnostic("input-shape", what, entry.message.span_of("type"), why))
    if problems:
        raise NetError(problems)
    idle = {e.value.blob: e.shape for e in graph.inputs if e not in wanted}
    analysed = read_net(source, ref, train, shapes)
    # Blobs and weights with their gradients, and what a solver remembers of the weights.
    factors = (4, 2) if train else (1, 0)
    on_device = wishes.device != "cpu"
    require_room(source.name, analysed.graph, analysed.shapes, weights=factors[0], blobs=0 if on_device else factors[1])
    seen = {tuple(shapes.values())}
    sized = Sized(batches, analysed, tuple(shapes), lambda other: read_net(source, ref, train, other), seen)
    return analysed, _Filled(sized, idle) if idle else sized


@dataclass(frozen=True, slots=True)
class _Filled:
    """Batches, with zeros for inputs that no layer reads."""

    of: Batches
    idle: Mapping[str, tuple[int, ...]]

    def batch(self, index: int) -> dict[str, Any]:
        """As the source's, completed."""
        return {name: np.zeros(shape, np.float32) for name, shape in self.idle.items()} | self.of.batch(index)


def _test(
    solver: Solver, ref: NetRef, count: int, wishes: Wishes, seed: int, beside: str,
    blobs: Mapping[Take, Tensor], generator: torch.Generator, device: torch.device,
    note: Callable[[Sequence[Diagnostic]], None],
) -> TestNet:  # fmt: skip
    """A test net; layers that the trained net has by name share its blobs (Net::ShareTrainedLayersWith).

    Layers of its own have their weights from the files, if these have them, and keep them.
    """
    analysed, batches = _net(solver, ref, False, replace(wishes, split="val"), seed, beside)
    net = compiled(analysed)
    shared: dict[tuple[str, int], Tensor] = {(take.layer, take.index): tensor for take, tensor in blobs.items()}
    own = {}
    for info in learned_blobs(net.module):
        tensor = shared.get((info.take.layer, info.take.index))
        if tensor is None:
            tensor = draw((info,), generator)[info.take].to(device)
        elif tuple(tensor.shape) != info.spec.shape:
            what = f"layer '{info.take.layer}' has blobs of other shapes in the test net than in the trained one"
            why = f"{shape_text(info.spec.shape)} against {shape_text(tensor.shape)}"
            refuse("test-net", what, ref.span, why)
        own[info.take] = tensor
    specs = layer_specs(net.module)
    alone = [layer for layer in specs if any((o.layer, o.index) not in shared for o in layer.owners())]
    copied = {name for path in wishes.weights for name in copy_weights(path, alone, own, needed=False).layers}
    note([_untrained(layer) for layer in alone if layer.name not in copied])
    return TestNet(net, batches, own, count)


def _untrained(layer: LayerSpec) -> Diagnostic:
    what = f"layer '{layer.name}' of the test net is not in the trained net"
    why = "it is tested with the weights that its fillers draw, as in Caffe"
    return Diagnostic("test-net", what, layer.span, why, "give it the name of a trained layer", "warning")


def _idle(infos: Sequence[LearnedBlob]) -> list[Diagnostic]:
    """A note for every deconvolution that starts at zero and stays there."""
    return [
        Diagnostic(
            "deconvolution-zero",
            f"the kernels of '{info.take.layer}' are zero and are not learned",
            why="it has no filler and lr_mult 0; the FCN reference code fills such layers from Python",
            remedy="--interp gives them bilinear kernels; weights that are loaded replace them",
            severity="note",
        )
        for info in infos
        if isinstance(info.layer, Deconvolution) and not info.learned and info.spec.filler is None
    ]


def _remarks(copied: Copied) -> list[Diagnostic]:
    """What is worth knowing of a file's weights: what was taken over, what the file lacks, what the net lacks."""
    found = []
    if copied.coerced:
        why = "the same numbers in the same order, as where a fully connected layer becomes a convolution"
        what = f"{copied.path}: blobs taken over in another shape: {'; '.join(copied.coerced)}"
        found.append(Diagnostic("weights-coerced", what, why=why, severity="warning"))
    if copied.drawn:
        what = f"{copied.path} has no weights for {', '.join(copied.drawn)}"
        found.append(Diagnostic("weights-drawn", what, why="they stay as their fillers draw them", severity="note"))
    if copied.unused:
        what = f"{copied.path} has weights for {listed(copied.unused)}, which the net lacks"
        found.append(Diagnostic("weights-unused", what, why="Caffe ignores them too", severity="note"))
    return found
