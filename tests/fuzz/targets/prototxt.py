"""Nets, read by every command that takes one and computes no tensor."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.hostile import hostile
from tests.fuzz.mutators import text
from tests.fuzz.targets import Row, Target

TESTS = Path(__file__).parents[2]
FOLDERS = ("conformance", "conformance_forks", "found", "prototxt")
FILE = "net.prototxt"
DRAWN = 60


def seeds() -> list[bytes]:
    """The small nets of the other tests, and some drawn from the schema."""
    paths = sorted(path for folder in FOLDERS for path in (TESTS / folder).rglob("*.prototxt"))
    found = [data for path in paths if len(data := path.read_bytes()) < 8000]
    return [*found, *(hostile(number).text.encode("utf-8", "surrogateescape") for number in range(DRAWN))]


def row(*arguments: str, weight: float = 1.0, raw: bool = False) -> Row:
    """A command over the net."""
    command, *options = arguments
    return Row((command, FILE, *options), weight, located=True, raw=raw)


ROWS = (
    row("check", weight=8),
    row("check", "--with-loss", "--allow-unknown", weight=4),
    row("check", "--with-loss", "--phase", "train", weight=3),
    row("check", "--json", "--allow-unknown", weight=3),
    row("check", "--diff", "--allow-unknown", weight=2, raw=True),
    row("check", "--crop-offsets", "inferred"),
    row("check", "--against", FILE),
    row("check", "--fix"),
    row("offsets", weight=3),
    row("offsets", "--json", "--with-loss", weight=2),
    row("offsets", "--explain", "--allow-unknown", weight=2),
    row("offsets", "--html", weight=0.1),
    row("offsets", "--crop-offsets", "declared", "--round-crops", "--stage", "deploy", "--level", "1"),
    row("offsets", "--input", "data=1x3x33x47"),
    row("offsets", "--pad", "conv1_1=50", weight=0.5),
    row("inspect", weight=3),
    row("inspect", "--with-loss", "--allow-unknown", weight=2),
    row("inspect", "--json", "--with-loss", "--phase", "train", weight=2),
    row("inspect", "--dot"),
    row("inspect", "--graphml", weight=0.3),
    row("inspect", "--input", "data=2x3x16x9"),
    row("upgrade", weight=3, raw=True),
    row("repad", weight=2, raw=True),
    row("repad", "--range", "10..200", "--keep-grid", raw=True),
    row("build", "-O0", "-o", "out", "--allow-unknown", weight=0.2),
    row("build", "-O1", "-o", "out", "--with-loss", weight=0.2),
    row("build", "-O2", "-o", "out", "-v", weight=0.4),
)
TARGET = Target("prototxt", FILE, seeds, text.mutate, ROWS, text=True)
