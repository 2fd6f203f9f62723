"""Several processes train as one; when one is killed, all end and say why."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from netcompile.analyser import analyse
from netcompile.emit.weights import layer_specs
from netcompile.ir.build import Options
from netcompile.prototxt.recognise import open_source
from netcompile.train.blobs import draw, learned_blobs
from netcompile.train.loop import Training
from netcompile.train.net import compiled
from netcompile.train.parallel import by_row, share
from netcompile.train.weights import copy_weights
from tests import ranks
from tests.conftest import CASES
from tests.train.conftest import SOLVER

TESTED = SOLVER + "test_iter: 3 test_interval: 4\n"


def torchrun(processes: int, *arguments: str) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [*launcher, "-m", "netcompile", "train", *arguments]


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[2])}


@pytest.mark.parametrize("processes", [2, 3])
def test_same_training_as_one_process(processes: int, folder: Path, begin: Callable[..., Training]) -> None:
    """Five rows on two or three processes, with BatchNorm, Dropout, shared weights, losses over the whole batch."""
    from safetensors.numpy import load_file

    (folder / "solver.prototxt").write_text(TESTED)
    said: list[str] = []
    alone = begin("", said)
    alone.run()
    out = folder / "several"
    arguments = [str(folder / "solver.prototxt"), "--data", str(folder / "batches.npz"), "-o", str(out)]
    done = ranks.run(processes, "-m", "netcompile", "train", *arguments)
    assert done.returncode == 0, done.stderr
    losses = json.loads((out / "log.json").read_text())["loss"]
    np.testing.assert_allclose(losses, alone.losses, rtol=1e-6)
    assert done.stderr.count("Optimization Done.") == 1
    wanted = [line for line in said if "Test net output" in line]
    assert len(wanted) == 2 * 3
    found = [line for line in done.stderr.splitlines() if "Test net output" in line]
    for a, b in zip(found, wanted, strict=True):
        assert a.split(" = ")[0] == b.split(" = ")[0]
        assert float(a.split(" = ")[1].split()[0]) == pytest.approx(float(b.split(" = ")[1].split()[0]), rel=1e-4)
    weights = load_file(out / "final.safetensors")
    for layer in alone.layers:
        for take, owner in zip(layer.takes(), layer.owners(), strict=True):
            reference = alone.blobs[owner].detach().numpy()
            scale = np.abs(reference).max(initial=1e-9)
            np.testing.assert_allclose(weights[str(take)], reference, rtol=0, atol=2e-6 * scale)


@pytest.mark.long
def test_killing_one_process_ends_all(folder: Path) -> None:
    (folder / "solver.prototxt").write_text(SOLVER.replace("max_iter: 6", "max_iter: 5000 display: 10"))
    random = np.random.default_rng(0)
    shapes = {"data": (5000, 5, 2, 9, 8), "label": (5000, 5, 1, 9, 8)}
    np.savez(folder / "long.npz", **{k: random.integers(0, 2, s).astype(np.float32) for k, s in shapes.items()})  # type: ignore[arg-type]
    arguments = [str(folder / "solver.prototxt"), "--data", str(folder / "long.npz"), "-o", str(folder / "out")]
    log = folder / "log"
    with log.open("wb") as file:
        launcher = subprocess.Popen(torchrun(2, *arguments), env=ENVIRONMENT, stderr=file, stdout=file)
        try:
            deadline = time.monotonic() + 90
            while b"Iteration 10 " not in log.read_bytes() and time.monotonic() < deadline:
                time.sleep(0.1)
            tasks = Path(f"/proc/{launcher.pid}/task")
            if not tasks.is_dir():
                pytest.skip("no /proc here to find the processes in")
            workers = [int(p) for task in tasks.iterdir() for p in (task / "children").read_text().split()]
            assert len(workers) == 2
            os.kill(workers[1], signal.SIGKILL)
            assert launcher.wait(60) != 0
        finally:
            launcher.kill()
    text = log.read_text()
    assert "Signal 9 (SIGKILL)" in text
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert not (folder / "out" / "final.safetensors").exists()


@pytest.mark.parametrize(("rows", "world"), [(1, 1), (1, 3), (5, 2), (6, 3), (7, 4)])
def test_shares_cover_a_batch_once(rows: int, world: int) -> None:
    shares = [share(rows, rank, world) for rank in range(world)]
    assert [i for start, end in shares for i in range(start, end)] == list(range(rows))
    sizes = [end - start for start, end in shares]
    assert max(sizes) - min(sizes) <= 1


def row_wise() -> list[object]:
    """Conformance cases with several rows whose layers all claim to treat each row by itself."""
    found = []
    for case in CASES:
        options = Options(case.phase == "TRAIN", case.level, case.stages, fed=frozenset(case.inputs), with_loss=True)
        net = analyse(open_source(case.net), options)
        rows = {shape[0] for shape in case.inputs.values() if shape}
        if len(rows) != 1 or rows == {1} or not net.graph.nodes:
            continue
        if all(by_row(node, net.shapes, next(iter(rows))) for node in net.graph.nodes):
            found.append(pytest.param(case, net, id=case.name))
    return found


ROW_WISE = row_wise()


def test_many_cases_are_row_wise() -> None:
    assert len(ROW_WISE) > 40


@pytest.mark.parametrize(("case", "net"), ROW_WISE)
def test_layers_that_work_by_row_do(case: object, net: object) -> None:
    """The last row alone gives what it gives among the others: nothing of the code counts on the batch's size."""
    made = compiled(net)  # type: ignore[arg-type]
    blobs = draw(learned_blobs(made.module), torch.Generator())
    if case.weights is not None:  # type: ignore[attr-defined]
        copy_weights(str(case.weights), layer_specs(made.module), blobs)  # type: ignore[attr-defined]
    batch = {name: torch.from_numpy(array) for name, array in case.arrays("inputs").items()}  # type: ignore[attr-defined]
    with torch.no_grad():
        whole = made(blobs, batch, torch.device("cpu"))
        alone = made(blobs, {name: tensor[-1:] for name, tensor in batch.items()}, torch.device("cpu"))
    for name, tensor in whole.items():
        scale = float(tensor.abs().max())
        torch.testing.assert_close(alone[name], tensor[-1:], rtol=0, atol=1e-6 * scale)
