"""Texts with a thing a line: lists of images, names of classes, palettes."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tests.fuzz.mutators import raw
from tests.fuzz.targets import Row, Target
from tests.fuzz.targets.images import fixtures as of_images

FILE = "list.txt"
WORDS = (
    "good.png",
    "a.png",
    "/",
    "..",
    "\t",
    "#",
    '"',
    "0",
    "255",
    "256",
    "-1",
    "#ff00ff",
    "\x00",
    "\x1b[2J",
    "nan",
    "\u202e",
)


def seeds() -> list[bytes]:
    """Lists as people write them."""
    texts = (
        "good.png good.png\n",
        "good.png\tgood.png\n# remark\n\ngood.png good.png\n",
        "good.png good.png good.png\n",
        "/good.png /good.png\r\n",
        "0: background\n1: cat\n2: dog\n\nremarks\n",
        '["background", "cat", "dog"]',
        "background\ncat\ndog\n",
        "0 0 0\n128 64 32\n#ff0000 red\n// x\n",
        "0 background 0 0 0\n1 cat 10 20 30\n",
    )
    return [text.encode() for text in texts]


def mutate(chance: Random, corpus: Sequence[bytes]) -> bytes:
    """Words put in, lines doubled, bytes changed."""
    data = chance.choice(corpus)
    for _ in range(chance.choice((1, 1, 2, 4))):
        if chance.random() < 0.4:
            words = data.split(b" ")
            words[chance.randrange(len(words))] = chance.choice(WORDS).encode()
            data = b" ".join(words)
        elif chance.random() < 0.3:
            lines = data.splitlines(keepends=True) or [b""]
            lines.insert(chance.randrange(len(lines) + 1), chance.choice(lines) * chance.choice((1, 1, 300)))
            data = b"".join(lines)
        else:
            data = raw.noise(chance, data)
    return data


def fixtures() -> None:
    """A net for images, and an image."""
    of_images()


NET = ("net.prototxt", "--weights", "w.caffemodel")
ROWS = (
    Row(("evaluate", *NET, "--data", FILE), 2),
    Row(("evaluate", *NET, "--data", "as-label.txt", "--classes", FILE), 1),
    Row(("evaluate", *NET, "--data", "as-label.txt", "--palette", FILE), 1),
    Row(("build", "net.prototxt", "--classes", FILE, "-o", "out"), 0.1),
    Row(("predict", *NET, "good.png", "--palette", FILE, "-o", "out"), 0.5),
)
TARGET = Target("lists", FILE, seeds, mutate, ROWS, fixtures, text=True)
