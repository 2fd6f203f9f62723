"""Binary caffemodels."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz import small
from tests.fuzz.mutators import wire
from tests.fuzz.targets import Row, Target

CONFORMANCE = Path(__file__).parents[2] / "conformance"
FILE = "w.caffemodel"


def seeds() -> list[bytes]:
    """The weights of a small net in every form that Caffe wrote, and those of the small nets of the other tests."""
    blobs = small.arrays()
    forms = [(form, old) for form in ("packed", "single", "double", "old") for old in (False, True)]
    found = [small.caffemodel(blobs, form, old) for form, old in forms]
    paths = sorted(CONFORMANCE.glob("*/weights.caffemodel"))
    return [*found, *(data for path in paths if len(data := path.read_bytes()) < 1500)]


def fixtures() -> None:
    """The net of the weights."""
    Path("net.prototxt").write_text(small.NET)


ROWS = (
    Row(("convert-weights", FILE, "-o", "out.safetensors"), 3),
    Row(("convert-weights", FILE, "--net", "net.prototxt", "-o", "out.safetensors"), 3),
    Row(("convert-weights", FILE, "--net", "net.prototxt", "--allow-missing", "-O2", "-o", "out.safetensors"), 2),
    Row(("build", "net.prototxt", "--weights", FILE, "-o", "out"), 0.05),
    Row(("surgery", "interp", "net.prototxt", "--weights", FILE, "-o", "out.caffemodel"), 0.3),
)
TARGET = Target("caffemodel", FILE, seeds, wire.mutate, ROWS, fixtures)
