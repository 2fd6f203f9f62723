"""LMDB files that Data and AnnotatedData layers read."""

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
BOXES = """
layer { name: "d" type: "AnnotatedData" top: "data" top: "label" data_param { source: "." batch_size: 3 }
        transform_param { mirror: true expand_param { max_expand_ratio: 2 } resize_param { height: 8 width: 9 }
                          emit_constraint { emit_type: CENTER } }
        annotated_data_param { batch_sampler { sampler { min_scale: 0.3 } max_sample: 1 max_trials: 9
                                               sample_constraint { min_jaccard_overlap: 0.1 } } } }
layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { pool: AVE global_pooling: true } }
layer { name: "ip" type: "InnerProduct" bottom: "p" top: "ip" inner_product_param { num_output: 2 } }
layer { name: "l" type: "Reduction" bottom: "ip" top: "l" loss_weight: 1 }
layer { name: "s" type: "Silence" bottom: "label" }
"""
SOLVER = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 random_seed: 1 snapshot_prefix: "s"\n'


def seeds() -> list[bytes]:
    """Small records in a leaf, long ones in pages of their own, and so many that there are branches."""
    random = np.random.default_rng(0)
    small_ones = [lmdb_files.raw(random.integers(0, 256, (3, 4, 5), dtype=np.uint8), k) for k in range(5)]
    numbers = [lmdb_files.raw(random.standard_normal((3, 4, 5)).astype(np.float32), k) for k in range(4)]
    image = random.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    files = [lmdb_files.encoded(image, k, form) for k, form in enumerate(("PNG", "JPEG", "BMP"))]
    boxes = [{"xmin": 0.1, "ymin": 0.2, "xmax": 0.7, "ymax": 0.9, "difficult": True}, {"xmax": 1.0, "ymax": 1.0}]
    annotated = [lmdb_files.annotated(record, {1: boxes, 2: boxes[:1]}) for record in files]
    return [_written(records) for records in (small_ones, numbers, files, annotated, small_ones * 30)]


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
    """Two nets that read the data base, as Datums and as AnnotatedDatums, and their solvers."""
    for name, text in (("net", DATUMS + NET), ("boxes", BOXES)):
        Path(f"{name}.prototxt").write_text(text)
        Path(f"{name}-solver.prototxt").write_text(SOLVER.replace("net.prototxt", f"{name}.prototxt"))


def around(data: bytes, row: Row) -> AbstractContextManager[object]:
    """The training is prepared, its first batch read, and nothing trained."""
    return prepared()


ROWS = tuple(Row(("train", f"{name}-solver.prototxt", "-o", "out")) for name in ("net", "boxes"))
TARGET = Target("lmdb", FILE, seeds, mutate, ROWS, fixtures, around)
