"""Lists of windows that a WindowData layer reads."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from tests.fuzz import small
from tests.fuzz.mutators import raw
from tests.fuzz.prepared import prepared
from tests.fuzz.targets import Row, Target
from tests.fuzz.targets.lmdb import NET, SOLVER

FILE = "windows.txt"
LAYER = """
layer { name: "d" type: "WindowData" top: "data" top: "label"
        window_data_param { source: "windows.txt" batch_size: 6 context_pad: 1 fg_fraction: 0.5 %s }
        transform_param { crop_size: 6 mirror: true } }
"""


def seeds() -> list[bytes]:
    """Lists of one and of two images of 12×10."""
    image = "# {}\na.png\n3\n12\n10\n3\n1 0.9 0 0 4 5\n2 0.6 3 3 9 11\n0 0.1 -2 5 12 20\n"
    return [image.format(0).encode(), (image.format(0) + image.format(1)).encode()]


def fixtures() -> None:
    """Two nets that read the list, their solvers, and the image."""
    for name, more in (("warp", ""), ("square", 'crop_mode: "square"')):
        Path(f"{name}.prototxt").write_text(LAYER % more + NET)
        Path(f"{name}-solver.prototxt").write_text(SOLVER.replace("net.prototxt", f"{name}.prototxt"))
    Path("a.png").write_bytes(small.image("RGB", "PNG"))


def around(data: bytes, row: Row) -> AbstractContextManager[object]:
    """The training is prepared, its first batch read, and nothing trained."""
    return prepared()


ROWS = tuple(Row(("train", f"{name}-solver.prototxt", "-o", "out")) for name in ("warp", "square"))
TARGET = Target("window_list", FILE, seeds, raw.mutate, ROWS, fixtures, around, text=True)
