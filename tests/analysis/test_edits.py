"""Edits of a net's text: the new text, letter for letter."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netcompile.analyser import analyse
from netcompile.analysis.edits import Edit, Unwritable, edited, offset_edits, pad_edits, unified_diff
from netcompile.analysis.fix import fix, same_but_crops
from netcompile.diagnostics.source import Source
from netcompile.prototxt.recognise import open_source
from tests.conftest import REPOSITORY

HEAD = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 20 dim: 20 } } }\n'
CROPPED = (
    'layer { name: "c" type: "Convolution" bottom: "x" top: "c" '
    "convolution_param { num_output: 1 kernel_size: 3 pad: 9 } }\n"
)


def crop(rest: str) -> Source:
    return Source(HEAD + CROPPED + 'layer { name: "k" type: "Crop" bottom: "c" bottom: "x" top: "k"' + rest)


@pytest.mark.parametrize(
    ("before", "offsets", "after"),
    [
        (" crop_param { offset: 7 } }", (8, 8), " crop_param { offset: 8 } }"),
        (" crop_param { offset: 7 } }", (8, 6), " crop_param { offset: 8 offset: 6 } }"),
        (" crop_param { offset: [7] } }", (8, 6), " crop_param { offset: [8, 6] } }"),
        (" crop_param { offset: 7 offset: 3 } }", (8, 8), " crop_param { offset: 8 offset: 8 } }"),
        (" crop_param { offset: 8 offset: 3 } }", (8, 6), " crop_param { offset: 8 offset: 6 } }"),
        (" crop_param { offset: [7, 3] } }", (8, 6), " crop_param { offset: [8, 6] } }"),
        (" crop_param { axis: 2 } }", (8, 8), " crop_param { axis: 2 offset: 8 } }"),
        (" crop_param { } }", (8, 8), " crop_param { offset: 8 } }"),
        (" crop_param {} }", (8, 8), " crop_param { offset: 8 } }"),
        (" crop_param < > }", (8, 8), " crop_param < offset: 8 > }"),
        (" }", (8, 8), " crop_param { offset: 8 } }"),
        (" }", (8, 6), " crop_param { offset: 8 offset: 6 } }"),
        ("\n  # here\n}\n", (8, 8), " crop_param { offset: 8 }\n  # here\n}\n"),
        (
            "\n  crop_param {\n    axis: 2 # H, W\n  }\n}\n",
            (8, 8),
            "\n  crop_param {\n    axis: 2\n    offset: 8 # H, W\n  }\n}\n",
        ),
        (
            "\r\n  crop_param {\r\n    axis: 2\r\n  }\r\n}\r\n",
            (8, 8),
            "\r\n  crop_param {\r\n    axis: 2\r\n    offset: 8\r\n  }\r\n}\r\n",
        ),
        ("\n\tcrop_param {\n\t\toffset: 7 # was 9\n\t}\n}", (8, 8), "\n\tcrop_param {\n\t\toffset: 8 # was 9\n\t}\n}"),
    ],
)
def test_offsets(before, offsets, after):
    source = crop(before)
    node = analyse(source).graph.nodes[-1]
    found = edited(source, offset_edits(node, source, offsets))
    assert found.text == crop(after).text
    layer = analyse(found).graph.nodes[-1].layer
    assert layer.full(4) == offsets


def test_an_old_format_has_no_place_for_an_offset():
    text = """
    input: "x" input_dim: 1 input_dim: 1 input_dim: 8 input_dim: 8
    layers { name: "c" type: CONVOLUTION bottom: "x" top: "c"
             convolution_param { num_output: 1 kernel_size: 3 pad: 9 } }
    layers { name: "k" type: CROP bottom: "c" bottom: "x" top: "k" }
    """
    source = Source(text)
    net = analyse(source)
    with pytest.raises(Unwritable, match="netcompile upgrade first"):
        offset_edits(net.graph.nodes[-1], source, (8, 8))
    fixed = fix(source, net.reports)
    assert (fixed.source.text, fixed.done, len(fixed.left)) == (text, (), 1)


def window(kind: str, fields: str) -> Source:
    param = "pooling_param" if kind == "Pooling" else "convolution_param"
    outputs = "" if kind == "Pooling" else "num_output: 1 "
    return Source(f'{HEAD}layer {{ name: "w" type: "{kind}" bottom: "x" top: "w" {param} {{ {outputs}{fields} }} }}\n')


@pytest.mark.parametrize(
    ("kind", "before", "pad", "after"),
    [
        ("Convolution", "kernel_size: 7 pad: 1", (3, 3), "kernel_size: 7 pad: 3"),
        ("Convolution", "pad: 1 kernel_size: 7", (3, 2), "pad: 3 pad: 2 kernel_size: 7"),
        ("Convolution", "kernel_size: 7", (3, 3), "kernel_size: 7 pad: 3"),
        ("Convolution", "kernel_size: 7", (3, 2), "kernel_size: 7 pad: 3 pad: 2"),
        ("Convolution", "kernel_size: 7 pad_h: 1 pad_w: 0", (3, 2), "kernel_size: 7 pad_h: 3 pad_w: 2"),
        ("Convolution", "kernel_size: 7 pad_w: 1", (3, 2), "kernel_size: 7 pad_w: 2 pad_h: 3"),
        ("Deconvolution", "kernel_size: 7 pad: 1 pad: 1", (3, 2), "kernel_size: 7 pad: 3 pad: 2"),
        ("Pooling", "kernel_size: 7 pad: 1", (3, 3), "kernel_size: 7 pad: 3"),
        ("Pooling", "kernel_size: 7 pad: 1", (3, 2), "kernel_size: 7 pad_h: 3 pad_w: 2"),
        ("Pooling", "kernel_size: 7", (3, 2), "kernel_size: 7 pad_h: 3 pad_w: 2"),
    ],
)
def test_pads(kind, before, pad, after):
    source = window(kind, before)
    node = analyse(source).graph.nodes[-1]
    found = edited(source, pad_edits(node, source, pad))
    assert found.text == window(kind, after).text
    layer = analyse(found).graph.nodes[-1].layer
    assert (layer.pad if len(layer.pad) == 2 else layer.pad * 2) == pad


def test_a_fix_touches_offsets_only():
    path = REPOSITORY / "prototxt/siftflow-fcn8s/test.prototxt"
    right = path.read_text().replace("\n", "\r\n")
    wrong = right.replace("offset: 9", "offset: 12").replace("offset: 31", "offset: 34 # folklore")
    source = Source(wrong)
    net = analyse(source)
    fixed = fix(source, net.reports)
    assert len(fixed.done) == 4
    assert fixed.source.text == wrong.replace("offset: 12", "offset: 9").replace("offset: 34", "offset: 31")
    after = analyse(fixed.source)
    assert {r.status for r in after.reports} == {"ok"}
    assert same_but_crops(net.graph, after.graph)
    assert fix(fixed.source, after.reports).edits == ()


def test_same_but_crops_sees_other_changes():
    text = crop(" crop_param { offset: 8 } }").text
    base = analyse(Source(text)).graph
    assert same_but_crops(base, analyse(Source(text.replace("offset: 8", "offset: 1"))).graph)
    assert not same_but_crops(base, analyse(Source(text.replace("pad: 9", "pad: 8"))).graph)
    assert not same_but_crops(base, analyse(Source(text.replace('"k"', '"l"'))).graph)
    assert not same_but_crops(base, analyse(Source(text.replace("{ offset", "{ axis: 3 offset"))).graph)


def apply_patch(text: str, patch: str) -> str:
    """What `patch -p0` does, for exact hunks."""
    lines, out, at = text.split("\n"), [], 0
    rows = patch.split("\n")[2:-1]
    index = 0
    while index < len(rows):
        old, new = rows[index].split()[1:3]
        start, count = (int(v) for v in old[1:].split(","))
        assert int(new[1:].split(",")[0]) == len(out) + (start - 1 - at) + 1
        out += lines[at : start - 1]
        at = start - 1
        index += 1
        taken = 0
        while index < len(rows) and not rows[index].startswith("@@"):
            sign, line = rows[index][:1], rows[index][1:]
            if sign in ("-", " "):
                assert lines[at] == line
                at += 1
                taken += 1
            if sign in ("+", " "):
                out.append(line)
            index += 1
        assert taken == count
    return "\n".join([*out, *lines[at:]])


@settings(max_examples=150)
@given(
    st.lists(st.text("ab", max_size=3), min_size=1, max_size=40),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 6), st.text("xy\n", max_size=3)), max_size=6),
)
def test_the_diff_is_the_change(lines, changes):
    text = "\n".join([*lines, ""])
    edits, end = [], 0
    for start, length, new in sorted(changes):
        start, stop = min(start, len(text) - 1), min(start + length, len(text) - 1)
        if start >= end and (start > end or not edits):
            edits.append(Edit(start, stop, new))
            end = stop
    source = Source(text, "net")
    patch = unified_diff(source, edits)
    assert apply_patch(text, patch) == edited(source, edits).text if patch else not edits


FAMILY = ("voc-fcn32s/val", "voc-fcn16s/train", "voc-fcn8s/deploy", "voc-fcn-alexnet/val", "siftflow-fcn8s/test")


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("delta", [-64, -31, -3, -1, 1, 2, 64])
def test_a_fix_undoes_any_wrong_offset(name, delta):
    path = REPOSITORY / "prototxt" / f"{name}.prototxt"
    source = open_source(path)
    for report in analyse(source).reports:
        span = report.node.message.get("crop_param").span_of("offset")
        wrong = int(span.text) + delta
        if wrong >= 0:
            text = source.text[: span.start] + str(wrong) + source.text[span.end :]
            mutated = Source(text, source.name)
            assert fix(mutated, analyse(mutated).reports).source.text == source.text
