"""Archives of arrays: inputs of a run, data of a training."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np

from tests.fuzz import small
from tests.fuzz.mutators import archives
from tests.fuzz.prepared import prepared
from tests.fuzz.targets import Row, Target

FILE = "x.npz"
NET = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 6 dim: 5 } } }
layer { name: "p" type: "Pooling" bottom: "data" top: "y" pooling_param { kernel_size: 2 stride: 2 } }
"""
SOLVER = 'net: "train.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 random_seed: 1 snapshot_prefix: "s"\n'


def seeds() -> list[bytes]:
    """Arrays of several types and orders."""
    one, batches = (
        np.ones((1, 3, 6, 5), "f4"),
        {"data": np.ones((1, 2, 3, 6, 5), "f4"), "label": np.ones((1, 2, 1, 6, 5), "f4")},
    )
    return [
        small.npz({"data": one}),
        small.npz({"data": one}, compressed=True),
        small.npz({"data": np.asfortranarray(one.astype(">f8")), "other": np.arange(3)}),
        small.npz({"data": one, "y": np.ones((1, 3, 3, 3), "f4"), "blob:data": one}),
        small.npz(batches),
        small.npz(batches, compressed=True),
        small.npy(one),
    ]


def fixtures() -> None:
    """Nets that read them."""
    Path("net.prototxt").write_text(NET)
    Path("train.prototxt").write_text(small.TRAINING)
    Path("solver.prototxt").write_text(SOLVER)


def around(data: bytes, row: Row) -> AbstractContextManager[object]:
    """A training is prepared only."""
    return prepared() if row.arguments[0] == "train" else nullcontext()


ROWS = (
    Row(("run", "net.prototxt", "--inputs", FILE, "--out", "out.npz"), 2),
    Row(("run", "net.prototxt", "--inputs", FILE, "--out", "out.npz", "--dtype", "float64", "--blobs", "all"), 1),
    Row(("verify", "net.prototxt", "--reference", FILE), 0.5),
    Row(("train", "solver.prototxt", "--data", FILE, "-o", "out"), 0.5),
)
TARGET = Target("npz", FILE, seeds, archives.zipped, ROWS, fixtures, around)
