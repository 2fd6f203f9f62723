"""What is proved of crops, upsamplings and fusions, on nets whose answers are known."""

from __future__ import annotations

from fractions import Fraction

import pytest

from netcompile.analyser import Analysed, analyse
from netcompile.analysis.proof import Refusal, refusals, slacks, ties
from netcompile.analysis.streams import fusions
from netcompile.analysis.upsampling import MOST_USES, upsamplings
from netcompile.diagnostics.source import Source
from netcompile.prototxt.recognise import open_source
from tests.conftest import REPOSITORY


def load(name: str) -> Analysed:
    return analyse(open_source(REPOSITORY / "prototxt" / name))


# net, crop, offset, slack behind the window, its bounds, (cropped, window, behind) at H = 1
ROOMS = [
    ("voc-fcn32s/val.prototxt", "score", 19, "32⌈(H+6)/32⌉ - H + 13", 19, 50, (64, 1, 44)),
    ("voc-fcn16s/val.prototxt", "score_pool4c", 5, "⌈(H+6)/16⌉ - 2⌈(H+6)/32⌉ + 5", 4, 5, (13, 4, 4)),
    ("voc-fcn16s/val.prototxt", "score", 27, "32⌈(H+6)/32⌉ - H + 21", 27, 58, (80, 1, 52)),
    ("voc-fcn8s/val.prototxt", "score_pool3c", 9, "⌈(H+6)/8⌉ - 4⌈(H+6)/32⌉ + 9", 6, 9, (25, 10, 6)),
    ("voc-fcn8s/val.prototxt", "score", 31, "32⌈(H+6)/32⌉ - H + 25", 31, 62, (88, 1, 56)),
    ("voc-fcn-alexnet/val.prototxt", "score", 18, "32⌈(H+2)/32⌉ - H + 13", 15, 46, (63, 1, 44)),
]


@pytest.mark.parametrize(("name", "crop", "before", "after", "least", "greatest", "smallest"), ROOMS)
def test_slack(name, crop, before, after, least, greatest, smallest):
    net = load(name)
    (report,) = [r for r in net.reports if r.node.name == crop]
    high, wide = slacks(report, net.symbolic, net.valid)
    assert (high.before, str(high.after), high.least, high.greatest) == (before, after, least, greatest)
    assert str(wide.after) == after.replace("H", "W")
    assert high.smallest.n == 1
    assert (high.smallest.cropped, high.smallest.reference, high.smallest.after) == smallest
    assert not high.needless


# deconvolution: what it undoes, what becomes of its size
UNDOES = {
    "voc-fcn32s/val.prototxt": [("upscore", ["pool5", "pool4", "pool3", "pool2", "pool1"], [("cut", "score", True)])],
    "voc-fcn16s/val.prototxt": [
        ("upscore2", ["pool5"], [("reference", "score_pool4c", False)]),
        ("upscore16", ["pool4", "pool3", "pool2", "pool1"], [("cut", "score", True)]),
    ],
    "voc-fcn8s/val.prototxt": [
        ("upscore2", ["pool5"], [("reference", "score_pool4c", False)]),
        ("upscore_pool4", ["pool4"], [("reference", "score_pool3c", False)]),
        ("upscore8", ["pool3", "pool2", "pool1"], [("cut", "score", True)]),
    ],
    "voc-fcn-alexnet/val.prototxt": [("upscore", ["pool5", "pool2", "pool1", "conv1"], [("cut", "score", True)])],
}


@pytest.mark.parametrize("name", UNDOES)
def test_what_a_deconvolution_undoes(name):
    net = load(name)
    found = upsamplings(net.graph, net.shapes, net.symbolic, net.crops.coordinates, net.valid)
    assert [
        (
            u.node.name,
            [layer.name for layer in u.undone],
            [(r.kind, r.node.name if r.node else None, r.resolved) for r in u.resolutions],
        )
        for u in found
    ] == UNDOES[name]
    assert all(u.left == 1 for u in found)
    for u in found:
        high, wide = u.fibres
        assert high.most == wide.most == 32
        assert high.members.count() == 32
        assert 500 in high.members
        assert {u.sizes[0].at(n) for n in high.members} == {high.value}


def test_streams_of_fcn8s():
    net = load("voc-fcn8s/val.prototxt")
    found = fusions(net.graph, net.crops.coordinates)
    assert [(f.node.name, [(s.blob, s.stride, s.coarsest) for s in f.streams]) for f in found] == [
        ("fuse_pool4", [("upscore2", 16, (32,)), ("score_pool4c", 16, (16,))]),
        ("fuse_pool3", [("upscore_pool4", 8, (16, 32)), ("score_pool3c", 8, (8,))]),
    ]


HEAD = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 dim: 40 dim: 40 } } }\n'


def conv(name: str, bottom: str, fields: str, kind: str = "Convolution") -> str:
    param = "pooling_param" if kind == "Pooling" else "convolution_param"
    outputs = "" if kind == "Pooling" else "num_output: 4 "
    head = f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{name}"'
    return f"{head} {param} {{ {outputs}{fields} }} }}\n"


def test_a_stride_that_no_whole_layer_accounts_for():
    text = HEAD + conv("p", "x", "kernel_size: 4 stride: 4", "Pooling")
    text += conv("u", "p", "kernel_size: 4 stride: 2", "Deconvolution")
    text += conv("v", "u", "kernel_size: 4 stride: 2", "Deconvolution")
    text += conv("w", "v", "kernel_size: 4 stride: 2", "Deconvolution")
    net = analyse(Source(text))
    found = upsamplings(net.graph, net.shapes, net.symbolic, net.crops.coordinates, net.valid)
    assert [([n.name for n in u.undone], u.left) for u in found] == [([], 2), (["p"], 1), ([], 2)]
    assert [r.kind for r in found[-1].resolutions] == ["output"]
    assert found[-1].resolutions[0].resolved is False


def test_uses_on_several_ways_are_told_once_and_in_number():
    text = HEAD + conv("p", "x", "kernel_size: 2 stride: 2", "Pooling")
    text += conv("u", "p", "kernel_size: 2 stride: 2", "Deconvolution")
    text += (
        'layer { name: "a" type: "ReLU" bottom: "u" top: "a" } layer { name: "b" type: "TanH" bottom: "u" top: "b" }'
    )
    text += 'layer { name: "e" type: "Eltwise" bottom: "a" bottom: "b" top: "e" }'
    text += 'layer { name: "first" type: "Crop" bottom: "x" bottom: "u" top: "first" }'
    text += 'layer { name: "second" type: "Crop" bottom: "e" bottom: "x" top: "second" }'
    net = analyse(Source(text))
    (up,) = upsamplings(net.graph, net.shapes, net.symbolic, net.crops.coordinates, net.valid)
    assert [(r.kind, r.node.name) for r in up.resolutions] == [("reference", "first"), ("cut", "second")]
    text += "".join(f'layer {{ name: "c{i}" type: "Crop" bottom: "e" bottom: "x" top: "c{i}" }}\n' for i in range(150))
    net = analyse(Source(text))
    (up,) = upsamplings(net.graph, net.shapes, net.symbolic, net.crops.coordinates, net.valid)
    assert len(up.resolutions) == MOST_USES
    assert [r.node.name for r in up.resolutions[:3]] == ["first", "second", "c0"]


def test_what_refuses_the_sizes_beside_the_legal_ones():
    text = HEAD + conv("a", "x", "kernel_size: 7") + conv("b", "a", "kernel_size: 2 stride: 2", "Pooling")
    text += conv("c", "a", "kernel_size: 2 stride: 2")
    text += 'layer { name: "s" type: "Eltwise" bottom: "b" bottom: "c" top: "s" }\n'
    net = analyse(Source(text))
    assert net.valid[0].describe("H") == "H = 7 and H ≡ 0 (mod 2), H >= 8"
    found = refusals(net.graph, net.shapes, net.symbolic, net.valid)
    assert [(r.axis, r.n, r.layer) for r in found] == [(0, 6, "a"), (0, 9, "s"), (1, 6, "a"), (1, 9, "s")]
    assert found[0] == Refusal(0, 6, "a", 2, "output size is not positive: 1×4×0×34")


def test_weights_tie_a_net_to_its_size():
    text = HEAD + conv("p", "x", "kernel_size: 8 stride: 8", "Pooling")
    text += 'layer { name: "fc" type: "InnerProduct" bottom: "p" top: "fc" inner_product_param { num_output: 2 } }\n'
    net = analyse(Source(text))
    assert [(tie.node.name, tie.by_weights) for tie in ties(net.symbolic)] == [("fc", True)]
    assert net.valid[0].describe("H") == "only H = 33 to 40"
    found = refusals(net.graph, net.shapes, net.symbolic, net.valid)
    assert [(r.n, r.layer) for r in found if r.axis == 0] == [(32, "fc"), (41, "fc")]
    assert found[0].what == "its weights are made for the declared size"


def test_a_rule_without_a_closed_form_ties_as_well():
    shape = "reshape_param { shape { dim: 1 dim: 1 dim: 80 dim: 80 } }"
    text = HEAD + f'layer {{ name: "r" type: "Reshape" bottom: "x" top: "r" {shape} }}\n'
    net = analyse(Source(text))
    assert [(tie.node.name, tie.by_weights) for tie in ties(net.symbolic)] == [("r", False)]
    assert net.valid[0].describe("H") == "only H = 40"


def test_a_crop_without_an_offset_is_legal_for_nothing():
    text = HEAD + conv("a", "x", "kernel_size: 4 pad: 3")
    text += 'layer { name: "crop" type: "Crop" bottom: "a" bottom: "x" top: "y" }\n'
    net = analyse(Source(text))
    (report,) = net.reports
    assert (report.status, report.inferred) == ("noninteger", (Fraction(3, 2),) * 2)
    assert all(these.is_empty for these in report.valid)
    assert slacks(report, net.symbolic, net.valid) == (None, None)
