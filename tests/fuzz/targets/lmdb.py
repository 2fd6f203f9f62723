"""LMDB files that a Data layer reads."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from random import Random

import numpy as np

from tests.data import lmdb_files
from tests.fuzz.mutators import raw
from tests.fuzz.prepared import prepared
from tests.fuzz.targets import Row, Target

FILE = "data.mdb"
PAGE = 4096
DATUMS = (
    'layer { name: "d" type: "Data" top: "data" top: "label" data_param { source: "." backend: LMDB batch_size: 4 } }'
)
NET = """
layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { pool: AVE global_pooling: true } }
layer { name: "ip" type: "InnerProduct" bottom: "p" top: "ip" inner_product_param { num_output: 2 } }
layer { name: "l" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "l" }
"""
SOLVER = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 random_seed: 1 snapshot_prefix: "s"\n'


def seeds() -> list[bytes]:
    """Small records in a leaf, long ones in pages of their own, and so many that there are branches."""
    random = np.random.default_rng(0)
    small_ones = [lmdb_files.raw(random.integers(0, 256, (3, 4, 5), dtype=np.uint8), k) for k in range(5)]
    numbers = [lmdb_files.raw(random.standard_normal((3, 4, 5)).astype(np.float32), k) for k in range(4)]
    image = random.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    files = [lmdb_files.encoded(image, k, form) for k, form in enumerate(("PNG", "JPEG", "BMP"))]
    return [_written(records) for records in (small_ones, numbers, files, small_ones * 30)]


def _written(records: Sequence[bytes]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return (lmdb_files.write(Path(folder), records) / FILE).read_bytes()


def mutate(chance: Random, corpus: Sequence[bytes]) -> bytes:
    """Mostly numbers changed where pages keep them: in their headers, tables and entries."""
    if chance.random() < 0.3:
        return raw.mutate(chance, corpus)
    data = bytearray(chance.choice(corpus))
    for _ in range(chance.choice((1, 1, 2, 4))):
        page = chance.randrange(max(1, len(data) // PAGE)) * PAGE
        filled = data[page : page + PAGE].rstrip(b"\0")
        at = page + chance.choice((chance.randrange(160), chance.randrange(PAGE), chance.randrange(len(filled) + 1)))
        layout = chance.choice(("<B", "<H", "<I", "<Q"))
        if at + struct.calcsize(layout) > len(data):
            continue
        (now,) = struct.unpack_from(layout, data, at)
        new = chance.choice((now + 1, now - 1, now ^ 1 << chance.randrange(8), chance.choice(raw.NUMBERS)))
        struct.pack_into(layout, data, at, new % (1 << 8 * struct.calcsize(layout)))
    return bytes(data[: chance.randrange(len(data))]) if chance.random() < 0.1 else bytes(data)


def fixtures() -> None:
    """A net that reads the data base, and its solver."""
    Path("net.prototxt").write_text(DATUMS + NET)
    Path("solver.prototxt").write_text(SOLVER)


def around(data: bytes, row: Row) -> AbstractContextManager[object]:
    """The training is prepared, its first batch read, and nothing trained."""
    return prepared()


ROWS = (Row(("train", "solver.prototxt", "-o", "out")),)
TARGET = Target("lmdb", FILE, seeds, mutate, ROWS, fixtures, around)
