"""Words and tables."""

from __future__ import annotations

import io
from fractions import Fraction

import pytest

from netcompile.algebra.nset import NSet
from netcompile.algebra.size import Size
from netcompile.analyser import analyse
from netcompile.diagnostics.text import count_text, shape_text
from netcompile.prototxt.recognise import open_source
from netcompile.report.as_html import filter_pairs
from netcompile.report.formatting import offsets_text, pair_text, sizes_text
from netcompile.report.layer_model import Report
from netcompile.report.layers import layers_report
from netcompile.report.offsets import offsets_report
from netcompile.report.reasons import conclusion
from netcompile.report.table import table, terminal_width
from netcompile.zoo.find import find_definition


@pytest.mark.parametrize(
    ("valid", "text"),
    [
        ((NSet.all(), NSet.all()), "every H, W"),
        ((NSet.between(7), NSet.between(7)), "every H, W >= 7"),
        ((NSet.all(), NSet.between(7)), "every H; every W >= 7"),
        ((NSet.of([500]), NSet.of([375])), "only H = 500; only W = 375"),
        ((NSet.none(), NSet.none()), "no H, W"),
        (None, "not known"),
    ],
)
def test_sizes(valid, text):
    assert sizes_text(valid) == text


def test_numbers():
    assert offsets_text(None) == "-"
    assert offsets_text(()) == "-"
    assert offsets_text((5, 5)) == "5"
    assert offsets_text((Fraction(7, 2), Fraction(5))) == "7/2, 5"
    assert pair_text((3, 3)) == "3"
    assert pair_text((3, 4)) == "3, 4"
    assert shape_text(()) == "scalar"
    assert shape_text(None) == "?"
    size = Size.variable("H")
    assert shape_text((1, size + 6, size)) == "1×(H + 6)×H"
    assert count_text(1000) == "1.0 k"


def test_table_pads_by_what_a_terminal_shows():
    text = table(("name", "n"), [("a\x1b[31m", 1), ("漢字", 100), (None, None)], right=(1,))
    assert text.splitlines() == [
        "name         n",
        "─────────  ───",
        "a\\x1b[31m    1",
        "漢字       100",
    ]
    assert "\x1b" not in text


@pytest.fixture(scope="module")
def report():
    analysed = analyse(open_source(find_definition("voc-fcn8s/val.prototxt")))
    return Report(offsets_report(analysed), layers_report(analysed))


def test_derivation_of_the_last_crop(report):
    """The chain of the seed's tables: data to upscore8 has stride 1 and offset -31."""
    derivation = report.offsets.proof.derivations[-1]
    assert derivation.ancestor == "data"
    assert derivation.reference == ()
    steps = derivation.cropped
    assert steps[0].layer == "conv1_1"
    assert filter_pairs(steps[0].local) == "(1, -99)"
    assert [step.blob for step in steps][-1] == "upscore8"
    assert filter_pairs(steps[-1].compound) == "(1, -31)"
    assert conclusion(derivation, 0) == "(0 - (-31)) / 1 = 31"


def test_every_derivation_ends_in_the_inferred_offset(report):
    for crop, derivation in zip(report.offsets.crops, report.offsets.proof.derivations, strict=True):
        assert all(conclusion(derivation, axis).endswith(f"= {crop.inferred[axis]}") for axis in (0, 1))


HEADER = ("layer", "bottoms → tops", "shape", "parameters", "MACs")
ROWS = [
    ("a_layer_with_a_long_name", "[bold]conv1_1[/bold] → conv1_1", "1×64×(H + 198)×(W + 198)", "36.9 k", "18.0 G"),
    ("b", "some words that take a line each", None, 7, 8),
]


@pytest.mark.parametrize(("room", "blocks"), [(20, 4), (30, 4), (50, 3), (70, 2), (74, 1)])
def test_a_table_wider_than_the_terminal_is_folded_and_keeps_every_character(monkeypatch, room, blocks):
    monkeypatch.setenv("COLUMNS", "300")
    wide = table(HEADER, ROWS, right=(3, 4))
    monkeypatch.setenv("COLUMNS", str(room))
    narrow = table(HEADER, ROWS, right=(3, 4))
    assert max(map(len, narrow.splitlines())) <= room < max(map(len, wide.splitlines()))
    first = "".join(name for name in (HEADER[0], *(row[0] for row in ROWS)))
    letters = sorted("".join(wide.split()).replace("─", "") + (blocks - 1) * first)
    assert sorted("".join(narrow.split()).replace("─", "")) == letters


def test_how_a_table_is_folded(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert (
        f"{table(HEADER, ROWS, right=(3, 4))}\n"
        == """\
layer                bottoms → tops       shape
───────────────────  ───────────────────  ──────────────────
a_layer_with_a_      [bold]conv1_1[/      1×64×(H + 198)×(W
long_name            bold] → conv1_1      + 198)
b                    some words that
                     take a line each

layer                     parameters    MACs
────────────────────────  ──────────  ──────
a_layer_with_a_long_name      36.9 k  18.0 G
b                                  7       8
"""
    )


def test_where_there_is_no_terminal_there_are_80_columns(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert terminal_width() == 80
    for said, columns in (("100", 100), ("10", 80), ("", 80), ("x", 80), ("²", 80)):
        monkeypatch.setenv("COLUMNS", said)
        assert terminal_width() == columns
