"""Pictures, as images to segment, as label maps and as palettes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.fuzz import small
from tests.fuzz.mutators import raw
from tests.fuzz.targets import Row, Target

FILE = "a.png"


def fixtures() -> None:
    """A net for images, its weights, an image and lists that name the mutant as image and as label map."""
    weights = {"score": [np.ones((3, 3, 1, 1)), np.zeros(3)]}
    Path("net.prototxt").write_text(small.SEGMENTING)
    Path("w.caffemodel").write_bytes(small.caffemodel(weights))
    Path("good.png").write_bytes(small.image("L", "PNG"))
    Path("as-label.txt").write_text(f"good.png {FILE}\n")
    Path("as-image.txt").write_text(f"{FILE} good.png\n")


NET = ("net.prototxt", "--weights", "w.caffemodel")
ROWS = (
    Row(("predict", *NET, FILE, "-o", "out"), 2),
    Row(("predict", *NET, FILE, "--softmax", "-O2", "-o", "out"), 0.5),
    Row(("predict", *NET, "good.png", "--palette", FILE, "-o", "out"), 1),
    Row(("evaluate", *NET, "--data", "as-label.txt"), 2),
    Row(("evaluate", *NET, "--data", "as-image.txt", "-o", "out"), 0.5),
)
TARGET = Target("images", FILE, small.pictures, raw.mutate, ROWS, fixtures)
