"""Derivations and proofs as text: the published tables, line by line, and what a student reads."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest

from netcompile.algebra import compose_fp_list
from netcompile.analyser import analyse
from netcompile.diagnostics.source import Source
from netcompile.prototxt.recognise import open_source
from netcompile.report.as_explanation import explanation_as_text
from netcompile.report.offsets import offsets_report
from netcompile.report.reasons import bounds
from netcompile.zoo.find import find_definition


def report(name):
    return offsets_report(analyse(open_source(find_definition(name))))


HALF = Fraction(1, 2)
VGG = [
    ("conv1_1", (3, 1, 100), (1, -99), "H + 198"),
    ("conv1_2", (3, 1, 1), (1, 0), "H + 198"),
    ("pool1", (2, 2, 0), (2, 0), "H/2 + 99"),
    ("conv2_1", (3, 1, 1), (1, 0), "H/2 + 99"),
    ("conv2_2", (3, 1, 1), (1, 0), "H/2 + 99"),
    ("pool2", (2, 2, 0), (2, 0), "(H+2)/4 + 49"),
    ("conv3_1", (3, 1, 1), (1, 0), "(H+2)/4 + 49"),
    ("conv3_2", (3, 1, 1), (1, 0), "(H+2)/4 + 49"),
    ("conv3_3", (3, 1, 1), (1, 0), "(H+2)/4 + 49"),
    ("pool3", (2, 2, 0), (2, 0), "(H+6)/8 + 24"),
    ("conv4_1", (3, 1, 1), (1, 0), "(H+6)/8 + 24"),
    ("conv4_2", (3, 1, 1), (1, 0), "(H+6)/8 + 24"),
    ("conv4_3", (3, 1, 1), (1, 0), "(H+6)/8 + 24"),
    ("pool4", (2, 2, 0), (2, 0), "(H+6)/16 + 12"),
    ("conv5_1", (3, 1, 1), (1, 0), "(H+6)/16 + 12"),
    ("conv5_2", (3, 1, 1), (1, 0), "(H+6)/16 + 12"),
    ("conv5_3", (3, 1, 1), (1, 0), "(H+6)/16 + 12"),
    ("pool5", (2, 2, 0), (2, 0), "(H+6)/32 + 6"),
    ("fc6", (7, 1, 0), (1, 3), "(H+6)/32"),
    ("fc7", (1, 1, 0), (1, 0), "(H+6)/32"),
    ("score_fr", (1, 1, 0), (1, 0), "(H+6)/32"),
]
TABLES = {
    "voc-fcn32s/val.prototxt": (
        [*VGG, ("upscore", (64, 32, 0), (Fraction(1, 32), -HALF), "H + 38")],
        19,
    ),
    "voc-fcn16s/val.prototxt": (
        [
            *VGG,
            ("upscore2", (4, 2, 0), (HALF, -HALF), "(H+6)/16 + 2"),
            ("upscore16", (32, 16, 0), (Fraction(1, 16), -HALF), "H + 54"),
        ],
        27,
    ),
    "voc-fcn8s/val.prototxt": (
        [
            *VGG,
            ("upscore2", (4, 2, 0), (HALF, -HALF), "(H+6)/16 + 2"),
            ("upscore_pool4", (4, 2, 0), (HALF, -HALF), "(H+6)/8 + 6"),
            ("upscore8", (16, 8, 0), (Fraction(1, 8), -HALF), "H + 62"),
        ],
        31,
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_the_published_tables(name):
    table, t = TABLES[name]
    made = report(name)
    steps = [step for step in made.proof.derivations[-1].cropped if step.windows is not None]
    found = [
        (
            step.layer,
            (step.windows[0].extent, step.windows[0].stride, step.windows[0].pad),
            step.local[0].filter_pair(),
            step.sizes[0].when_divisible(),
        )
        for step in steps
    ]
    assert found == table
    assert compose_fp_list([step.local[0].filter_pair() for step in steps]) == (1, -t)
    assert made.crops[-1].inferred == (t, t)


def test_the_text_can_be_reckoned_through(monkeypatch):
    """Every line of the text that says "a·b + c = d" is right, and the rows lead to the offset."""
    monkeypatch.setenv("COLUMNS", "300")
    text = explanation_as_text(report("voc-fcn8s/val.prototxt"))
    sums = re.findall(r"(?<![\w(])([\d/]+)·(\(?-?[\d/]+\)?)(?: ([+-]) ([\d/]+))? = (-?[\d/]+)(?= )", text)
    assert len(sums) > 20
    for factor, value, sign, rest, result in sums:
        total = Fraction(factor) * Fraction(value.strip("()"))
        total += 0 if not rest else Fraction(rest) * (1 if sign == "+" else -1)
        assert total == Fraction(result)
    assert "T = (P′ of 'data' - P′ of 'upscore8') / S = (0 - (-31)) / 1 = 31" in text
    assert "offset = (p of 'data' - p of 'upscore8') / S = (0 - (-31)) / 1 = 31" in text


def test_lines_of_the_text(monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    found = report("voc-fcn32s/val.prototxt")
    lines = explanation_as_text(found).splitlines()
    assert "score cuts 'upscore' to the size of 'data', starting at 19" in next(li for li in lines if "cuts" in li)
    (fc6,) = [line.split() for line in lines if line.strip().startswith("fc6") and "⌈" in line]
    assert fc6[:13] == ["fc6", "7", "1", "0", "(1,", "3)", "32", "32·3", "-", "99", "=", "-3", "⌈(H+6)/32⌉"]
    assert fc6[-1].endswith("val.prototxt:406")
    assert "legal for every H, W" in lines
    assert "  at the smallest legal input, H = 1: 64 = 19 + 1 + 44 (before + window + after)" in lines
    assert lines[-1] == "the whole net is legal for every H, W"


def test_height_and_width_are_told_apart_where_they_differ():
    text = """
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 20 dim: 20 } } }
    layer { name: "c" type: "Convolution" bottom: "x" top: "c"
            convolution_param { num_output: 1 kernel_h: 3 kernel_w: 5 pad_h: 2 pad_w: 4 } }
    layer { name: "k" type: "Crop" bottom: "c" bottom: "x" top: "y" }
    """
    shown = explanation_as_text(offsets_report(analyse(Source(text, "net"))))
    assert "height: T = (P′ of 'x' - P′ of 'c') / S = (0 - (-1)) / 1 = 1" in shown
    assert "width: T = (P′ of 'x' - P′ of 'c') / S = (0 - (-2)) / 1 = 2" in shown
    assert "k cuts 'c' to the size of 'x', starting at 1, 2 (net:5)" in shown
    assert "inferred: no crop_param: alignment gives 1, 2, BVLC Caffe would read 0" in shown


def test_names_cannot_write_on_the_terminal():
    text = """
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 20 dim: 20 } } }
    layer { name: "c" type: "Deconvolution" bottom: "x" top: "\\033[31mred"
            convolution_param { num_output: 1 kernel_size: 4 stride: 2 } }
    layer { name: "\\033]k" type: "Crop" bottom: "\\033[31mred" bottom: "x" top: "y" crop_param { offset: 1 } }
    """
    shown = explanation_as_text(offsets_report(analyse(Source(text, "net"))))
    assert "\x1b" not in shown
    assert "red" in shown


@pytest.mark.parametrize(
    ("least", "greatest", "text"),
    [
        (5, 5, "always 5"),
        (3, 9, "from 3 to 9"),
        (3, None, "at least 3"),
        (None, 9, "at most 9"),
        (None, None, "with no lower bound"),
    ],
)
def test_bounds(least, greatest, text):
    assert bounds(least, greatest) == text


def test_what_ties_and_refuses_is_told():
    text = """
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 20 dim: 20 } } }
    layer { name: "p" type: "Pooling" bottom: "x" top: "p" pooling_param { kernel_size: 4 stride: 4 } }
    layer { name: "fc" type: "InnerProduct" bottom: "p" top: "fc" inner_product_param { num_output: 2 } }
    """
    lines = explanation_as_text(offsets_report(analyse(Source(text, "net")))).splitlines()
    assert lines[-6:] == [
        "the whole net is legal for only H, W = 17 to 20",
        "  H = 16 is refused by 'fc' (net:4): its weights are made for the declared size",
        "  H = 21 is refused by 'fc' (net:4): its weights are made for the declared size",
        "  W = 16 is refused by 'fc' (net:4): its weights are made for the declared size",
        "  W = 21 is refused by 'fc' (net:4): its weights are made for the declared size",
        "  'fc' (net:4) ties the net to its declared size: its weights have the shape that goes with it",
    ]
