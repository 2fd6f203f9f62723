"""Nets that are computed: run, timed, compared level by level; small ones only."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from math import prod

from netcompile.analyser import analyse
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options
from tests.fuzz.mutators import text
from tests.fuzz.targets import Row, Target
from tests.fuzz.targets.prototxt import FILE
from tests.fuzz.targets.prototxt import seeds as nets

LARGEST = 50_000  # numbers of all blobs and weights


def around(data: bytes, row: Row) -> AbstractContextManager[object] | None:
    """None for a net that rightly takes long, and for one that is refused, which other targets look at."""
    try:
        source = Source(data.decode("utf-8", "surrogateescape"), FILE)
        analysed = analyse(source, Options(with_loss="--with-loss" in row.arguments)).require()
        sizes = sum(prod(shape) for shape in analysed.shapes.values())
        for node in analysed.graph.nodes:
            bottoms = tuple(analysed.shapes[value] for value in node.bottoms)
            tops = tuple(analysed.shapes[value] for value in node.tops)
            sizes += (
                sum(prod(blob.shape) for blob in node.layer.blobs(*bottoms)) + node.layer.macs(bottoms, tops) // 100
            )
    except NetError:
        return None
    except Exception:  # the command is run, to meet it too
        return nullcontext()
    return nullcontext() if sizes < LARGEST else None


def seeds() -> list[bytes]:
    """A share of the nets: each costs much."""
    return nets()[::6]


ROWS = (
    Row(("verify", FILE, "--self"), 2),
    Row(("verify", FILE, "--self", "--with-loss"), 2),
    Row(("time", FILE, "--iterations", "1"), 0.5),
    Row(("time", FILE, "--iterations", "1", "-O2", "--with-loss"), 0.5),
)
TARGET = Target("running", FILE, seeds, text.mutate, ROWS, around=around, text=True)
