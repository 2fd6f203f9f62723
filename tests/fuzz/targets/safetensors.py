"""Weights as .safetensors: those that training and surgery write."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np

from tests.fuzz import small
from tests.fuzz.mutators import archives
from tests.fuzz.prepared import prepared
from tests.fuzz.targets import Row, Target
from tests.fuzz.targets.npz import SOLVER

FILE = "w.safetensors"


def seeds() -> list[bytes]:
    """Blobs by layer and index."""
    conv = {"conv.0": np.ones((3, 3, 1, 1)), "conv.1": np.zeros(3)}
    return [
        small.safetensors(conv),
        small.safetensors({**conv, "other.0": np.ones(2), "conv#2.0": np.ones(1)}),
        small.safetensors({"conv.0": np.ones((3, 3, 1, 1))}),
    ]


def fixtures() -> None:
    """A training that begins with them."""
    Path("train.prototxt").write_text(small.TRAINING)
    Path("solver.prototxt").write_text(SOLVER)
    batch = {"data": np.ones((1, 2, 3, 6, 5), "f4"), "label": np.ones((1, 2, 1, 6, 5), "f4")}
    Path("x.npz").write_bytes(small.npz(batch))


def around(data: bytes, row: Row) -> AbstractContextManager[object]:
    """A training is prepared only."""
    return prepared() if row.arguments[0] == "train" else nullcontext()


ROWS = (
    Row(("train", "solver.prototxt", "--data", "x.npz", "--weights", FILE, "-o", "out")),
    Row(("surgery", "transplant", "train.prototxt", "--weights", FILE, "-o", "out.caffemodel"), 0.5),
    Row(("surgery", "interp", "train.prototxt", "--weights", FILE, "-o", "out.safetensors"), 0.5),
    Row(("convert-weights", FILE, "-o", "out.safetensors"), 0.2),
)
TARGET = Target("safetensors", FILE, seeds, archives.safetensors, ROWS, fixtures, around)
