"""HDF5 files that an HDF5Data layer reads."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from random import Random

import h5py
import numpy as np

from tests.fuzz import small
from tests.fuzz.mutators import raw
from tests.fuzz.prepared import prepared
from tests.fuzz.targets import Row, Target
from tests.fuzz.targets.weights_h5 import odd

FILE = "d.h5"
NET = small.TRAINING.split("\n", 3)  # its name, two inputs, the rest
SOLVER = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 random_seed: 1 snapshot_prefix: "s"\n'


def seeds() -> list[bytes]:
    """Two tops, stored in several ways."""
    values = {"data": np.ones((4, 3, 6, 5), "f4"), "label": np.ones((4, 1, 6, 5), "f4")}
    return [_named(values, options) for options in ({}, {"compression": "gzip"}, {"chunks": True})]


def _named(values: dict[str, np.ndarray], options: dict[str, object]) -> bytes:
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        for name, value in values.items():
            file.create_dataset(name, data=value, **options)
    return out.getvalue()


def mutate(chance: Random, corpus: Sequence[bytes]) -> bytes:
    """Bytes changed, or a file of odd structure."""
    return odd(chance) if chance.random() < 0.2 else raw.mutate(chance, corpus)


def fixtures() -> None:
    """A net that reads the file by a list, and its solver."""
    layer = 'layer { name: "d" type: "HDF5Data" top: "data" top: "label"\n'
    layer += 'hdf5_data_param { source: "list.txt" batch_size: 2 } }\n'
    Path("net.prototxt").write_text(NET[0] + "\n" + layer + NET[3])
    Path("list.txt").write_text(f"{FILE}\n")
    Path("solver.prototxt").write_text(SOLVER)


def around(data: bytes, row: Row) -> AbstractContextManager[object]:
    """The training is prepared, its first batch read, and nothing trained."""
    return prepared()


ROWS = (Row(("train", "solver.prototxt", "-o", "out")),)
TARGET = Target("data_h5", FILE, seeds, mutate, ROWS, fixtures, around)
