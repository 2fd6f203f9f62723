"""The .json of a snapshot that a training is resumed from."""

from __future__ import annotations

import io
from contextlib import AbstractContextManager, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from netcompile.cli.main import entry
from tests.fuzz import small
from tests.fuzz.prepared import prepared
from tests.fuzz.targets import Row, Target
from tests.fuzz.targets.build_json import mutate

FILE = "out/s_iter_1.json"
SOLVER = 'net: "train.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 2 random_seed: 1\n'
SOLVER += 'snapshot: 1 snapshot_prefix: "s"\n'


def train(folder: str) -> None:
    """A training of two steps with its snapshots."""
    here = Path(folder)
    (here / "train.prototxt").write_text(small.TRAINING)
    (here / "solver.prototxt").write_text(SOLVER)
    batch = {"data": np.ones((2, 2, 3, 6, 5), "f4"), "label": np.ones((2, 2, 1, 6, 5), "f4")}
    (here / "x.npz").write_bytes(small.npz(batch))
    arguments = ["train", str(here / "solver.prototxt"), "--data", str(here / "x.npz"), "-o", str(here / "out")]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        assert entry(arguments) == 0


def seeds() -> list[bytes]:
    """The snapshot after one step."""
    with TemporaryDirectory() as folder:
        train(folder)
        return [Path(folder, FILE).read_bytes()]


def fixtures() -> None:
    """The training, and the tensors of its snapshots."""
    train(".")


def around(data: bytes, row: Row) -> AbstractContextManager[object]:
    """The training is resumed and stops."""
    return prepared()


ROWS = (Row(("train", "solver.prototxt", "--data", "x.npz", "--resume", FILE, "-o", "out")),)
TARGET = Target("snapshot", FILE, seeds, mutate, ROWS, fixtures, around, text=True)
