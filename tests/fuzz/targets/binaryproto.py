"""Mean images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.fuzz import small
from tests.fuzz.mutators import wire
from tests.fuzz.targets import Row, Target

FILE = "mean.binaryproto"


def seeds() -> list[bytes]:
    """Means of several shapes and forms."""
    shapes = ((3, 12, 10), (1, 3, 12, 10), (3, 1, 1), (1, 1, 4, 4))
    values = [np.linspace(90, 130, int(np.prod(shape))).reshape(shape) for shape in shapes]
    return [small.blob(value, form) for value in values for form in ("old", "packed", "single", "double")]


def fixtures() -> None:
    """A net for images, its weights and an image."""
    weights = {"score": [np.ones((3, 3, 1, 1)), np.zeros(3)]}
    Path("net.prototxt").write_text(small.SEGMENTING)
    Path("w.caffemodel").write_bytes(small.caffemodel(weights))
    Path("a.png").write_bytes(small.image("RGB", "PNG"))


ROWS = (
    Row(("convert-weights", FILE, "-o", "out.safetensors"), 3),
    Row(("predict", "net.prototxt", "--weights", "w.caffemodel", "a.png", "--mean", FILE, "-o", "out"), 0.1),
)
TARGET = Target("binaryproto", FILE, seeds, wire.mutate, ROWS, fixtures)
