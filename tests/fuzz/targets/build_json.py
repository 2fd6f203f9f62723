"""manifest.json of a build's folder, whose module and weights are sound."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np

from netcompile.cli.main import entry
from tests.fuzz import small
from tests.fuzz.mutators import archives, raw
from tests.fuzz.targets import Row, Target

FILE = "build/manifest.json"


def build() -> None:
    """A net for images and its weights, built in the working folder; an image beside it."""
    weights = {"score": [np.ones((3, 3, 1, 1)), np.zeros(3)]}
    Path("net.prototxt").write_text(small.SEGMENTING)
    Path("w.caffemodel").write_bytes(small.caffemodel(weights))
    Path("a.png").write_bytes(small.image("L", "PNG"))
    Path("list.txt").write_text("a.png a.png\n")
    arguments = ["build", "net.prototxt", "--weights", "w.caffemodel", "-o", "build"]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        assert entry(arguments) == 0


def seeds() -> list[bytes]:
    """The manifest of a build."""
    with TemporaryDirectory() as folder, chdir(folder):
        build()
        return [Path(FILE).read_bytes()]


def fixtures() -> None:
    """The rest of the build."""
    build()


def mutate(chance: Random, corpus: Sequence[bytes]) -> bytes:
    """Tokens and bytes changed."""
    if chance.random() < 0.2:
        return raw.mutate(chance, corpus)
    text = chance.choice(corpus).decode("utf-8", "surrogateescape")
    return archives.literal(chance, text).encode("utf-8", "surrogatepass" if "\ud800" in text else "surrogateescape")


ROWS = (
    Row(("predict", "build", "a.png", "-o", "out"), 2),
    Row(("evaluate", "build", "--data", "list.txt"), 1),
    Row(("verify", "build", "--reference", "build"), 1),
)
TARGET = Target("build_json", FILE, seeds, mutate, ROWS, fixtures, text=True)
