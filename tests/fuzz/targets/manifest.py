"""manifest.toml of `convert-weights` and `fetch`, which reaches a closed port alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

from tests.fuzz import small
from tests.fuzz.mutators import raw
from tests.fuzz.mutators.tokens import TOKEN
from tests.fuzz.targets import Row, Target

FILE = "manifest.toml"
WORDS = (
    *('"w.caffemodel"', '"net.prototxt"', "[[weights]]", "[weights]", "weights", "=", "1", "1.5", "true", "[]", "{}"),
    *(
        '"../x"',
        '"/dev/null"',
        '""',
        '"\\u0000"',
        '"\\u001b[31m"',
        "1979-05-27",
        '"""',
        "'''",
        "\n",
        "name",
        "net",
        "file",
    ),
    *(
        "[" * 2000,
        "{a=" * 300,
        "9" * 5000,
        "0x" + "f" * 4000,
        "inf",
        '"' + "n" * 5000 + '"',
        '"\\U0010ffff"',
        "a." * 500 + "b",
    ),
)


def seeds() -> list[bytes]:
    """Manifests of one and of several files."""
    one = '[[weights]]\nname = "small"\nnet = "net.prototxt"\nfile = "w.caffemodel"\nsource = "https://example.org/w"\n'
    absent = '[[weights]]\nname = "no"\nnet = "voc-fcn8s/val.prototxt"\nfile = "no.caffemodel"\nsource = "x"\n'
    known = f'{one}sha1 = "{"1" * 40}"\nhash_from = "publisher"\nbytes = 5\nlicence = "BSD"\nnotes = "none"\n'
    return [text.encode() for text in (one, known, one + absent, "# nothing\nweights = []\n", 'title = "t"\n' + one)]


def mutate(chance: Random, corpus: Sequence[bytes]) -> bytes:
    """Tokens and bytes changed."""
    parts = TOKEN.findall(chance.choice(corpus).decode("utf-8", "surrogateescape"))
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.randrange(len(parts) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            parts[at : at + chance.choice((1, 2, 5))] = []
        elif kind == 1:
            parts[at:at] = parts[: chance.randrange(len(parts) + 1)]
        else:
            parts[at : at + kind - 2] = [chance.choice(WORDS)]
    data = "".join(parts).encode("utf-8", "surrogateescape")
    return raw.noise(chance, data) if chance.random() < 0.2 else data


def fixtures() -> None:
    """A net and its weights."""
    Path("net.prototxt").write_text(small.NET)
    Path("w.caffemodel").write_bytes(small.caffemodel(small.arrays()))


CLOSED = ("--url", "http://127.0.0.1:1/w.caffemodel", "--retries", "0")
ROWS = (
    Row(("convert-weights", "--manifest", FILE), 3),
    Row(("fetch", "--list", "--manifest", FILE)),
    Row(("fetch", "--list", "small", "--manifest", FILE)),
    Row(("fetch", "small", "--manifest", FILE, "-o", "out/", *CLOSED)),
)
TARGET = Target("manifest", FILE, seeds, mutate, ROWS, fixtures, text=True)
