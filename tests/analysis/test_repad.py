"""The least padding: known answers, that nothing less will do, and what it says of values near the borders."""

from __future__ import annotations

import numpy as np
import pytest

from netcompile.algebra import NSet
from netcompile.analyser import Analysed, analyse
from netcompile.analysis.edits import edited, pad_edits
from netcompile.analysis.fix import fix
from netcompile.analysis.repad import border, coarsest, least_pad, padded_layers
from netcompile.diagnostics.source import Source
from netcompile.prototxt.recognise import open_source
from netcompile.zoo.find import find_weights
from tests.conftest import REPOSITORY


def load(name: str) -> Analysed:
    return analyse(open_source(REPOSITORY / "prototxt" / name))


def least(net: Analysed, these: NSet, step: int = 1) -> int | None:
    chosen = padded_layers(net.graph, net.shapes)
    return least_pad(net.graph, net.symbolic, chosen, (these, these), step, 100)


def repad(net: Analysed, pad: int) -> Analysed:
    edits = [e for n in padded_layers(net.graph, net.shapes) for e in pad_edits(n, net.source, (pad, pad))]
    source = edited(net.source, edits)
    return analyse(fix(source, analyse(source).reports).source)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("voc-fcn8s/val.prototxt", ["conv1_1"]),
        ("voc-fcn-alexnet/val.prototxt", ["conv1"]),
        ("nyud-fcn32s-color-hha/test.prototxt", ["conv1_1color", "conv1_1hha"]),
    ],
)
def test_which_layers_pad(name, layers):
    net = load(name)
    assert [node.name for node in padded_layers(net.graph, net.shapes)] == layers


# 32s: 81 is 100 less its offset; 97 is where the seven windows of fc6 fit into the smallest input
@pytest.mark.parametrize(
    ("name", "these", "pad"),
    [
        ("voc-fcn32s/val.prototxt", NSet.all(), 97),
        ("voc-fcn32s/val.prototxt", NSet.between(33), 81),
        ("voc-fcn32s/val.prototxt", NSet.between(32), 82),
        ("voc-fcn32s/val.prototxt", NSet.of([500]), 81),
        ("voc-fcn16s/val.prototxt", NSet.between(100, 2000), 73),
        ("voc-fcn8s/val.prototxt", NSet.between(100, 2000), 69),
        ("voc-fcn8s/val.prototxt", NSet.between(57), 69),
        ("voc-fcn8s/val.prototxt", NSet.between(56), 70),
        ("nyud-fcn32s-color-hha/test.prototxt", NSet.all(), 97),
    ],
)
def test_the_least_pad(name, these, pad):
    net = load(name)
    assert least(net, these) == pad
    after = repad(net, pad).require()
    assert all(these <= legal for legal in after.valid)
    assert {r.status for r in after.reports} == {"ok"}
    less = repad(net, pad - 1)
    assert less.problems or not all(these <= legal for legal in less.valid)


SMALL = """
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 100 dim: 100 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 4 kernel_size: 11 stride: 4 pad: 100 } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "pool2" type: "Pooling" bottom: "pool1" top: "pool2" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "pool5" type: "Pooling" bottom: "pool2" top: "pool5" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "fc6" type: "Convolution" bottom: "pool5" top: "fc6" convolution_param { num_output: 4 kernel_size: 6 } }
layer { name: "up" type: "Deconvolution" bottom: "fc6" top: "up"
        convolution_param { num_output: 4 kernel_size: 63 stride: 32 bias_term: false } }
layer { name: "crop" type: "Crop" bottom: "up" bottom: "data" top: "crop" crop_param { axis: 2 offset: 0 } }
"""


def test_all_smaller_pads_fail():
    """Of FCN-AlexNet's layers only those that change the size."""
    net = analyse(fix(Source(SMALL), analyse(Source(SMALL)).reports).source)
    these = NSet.between(100, 2000)
    found = least(net, these)
    assert found == least(load("voc-fcn-alexnet/val.prototxt"), these)
    for pad in range(found):
        less = repad(net, pad)
        wrong = less.problems or any(r.status != "ok" for r in less.reports)
        assert wrong or not all(these <= legal for legal in less.valid), pad


def test_pads_that_keep_the_grid():
    net = load("voc-fcn8s/val.prototxt")
    assert coarsest(net.crops.coordinates) == 32
    assert least(net, NSet.all(), 32) == 100
    assert least(net, NSet.between(100), 32) == 100
    assert least(load("voc-fcn32s/val.prototxt"), NSet.between(400), 32) == 100


def test_no_pad_helps_a_net_with_fixed_weights():
    text = """
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 20 dim: 20 } } }
    layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 1 kernel_size: 3 } }
    layer { name: "fc" type: "InnerProduct" bottom: "c" top: "fc" inner_product_param { num_output: 2 } }
    """
    net = analyse(Source(text))
    chosen = padded_layers(net.graph, net.shapes)
    assert [node.name for node in chosen] == ["c"]
    assert least_pad(net.graph, net.symbolic, chosen, (NSet.all(), NSet.all())) is None


def test_weights_keep_their_shapes():
    """Less pad would make a smaller plane, and other weights behind it."""
    text = """
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 20 dim: 20 } } }
    layer { name: "c" type: "Convolution" bottom: "x" top: "c"
            convolution_param { num_output: 1 kernel_size: 3 pad: 5 } }
    layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { kernel_size: 8 stride: 8 } }
    layer { name: "fc" type: "InnerProduct" bottom: "p" top: "fc" inner_product_param { num_output: 2 } }
    """
    net = analyse(Source(text))
    chosen = padded_layers(net.graph, net.shapes)
    these = NSet.of([20])
    assert net.graph.nodes[1].layer.shapes((1, 1, 28, 28)) == ((1, 1, 4, 4),)
    assert least_pad(net.graph, net.symbolic, chosen, (these, these)) == 4  # 26 pixels are 4 windows, 24 are 3


def test_a_pooling_pads_less_than_its_kernel():
    text = """
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 20 dim: 20 } } }
    layer { name: "p" type: "Pooling" bottom: "x" top: "p" pooling_param { kernel_size: 4 } }
    layer { name: "c" type: "Convolution" bottom: "p" top: "c" convolution_param { num_output: 1 kernel_size: 4 } }
    """
    net = analyse(Source(text))
    chosen = padded_layers(net.graph, net.shapes)
    assert least_pad(net.graph, net.symbolic, chosen, (NSet.between(3),) * 2) == 2
    assert least_pad(net.graph, net.symbolic, chosen, (NSet.all(),) * 2) == 3
    net = analyse(Source(text.replace("num_output: 1 kernel_size: 4", "num_output: 1 kernel_size: 9")))
    chosen = padded_layers(net.graph, net.shapes)
    assert least_pad(net.graph, net.symbolic, chosen, (NSet.all(),) * 2) is None


@pytest.mark.parametrize("pad", [132, 103])
def test_where_values_change(pad):
    """A trained FCN-8s at another pad: with a multiple of 32 its inside stays as it was, else nothing does."""
    from netcompile.runtime.execute import run

    before = load("shapes-fcn8s/deploy.prototxt")
    weights = find_weights("shapes-fcn8s.caffemodel")
    size = 440
    chosen = padded_layers(before.graph, before.shapes)
    after = repad(before, pad)
    found = border(after.graph, after.shapes, after.crops.coordinates, 100, pad)
    assert (found.stride, found.aligned) == (32, pad == 132)
    assert [node.name for node in chosen] == ["conv1_1"]
    x = np.random.RandomState(0).standard_normal((1, 3, size, size)).astype(np.float32) * 30
    from netcompile.ir.build import Options

    values = []
    for net in (before, after):
        sized = analyse(net.source, Options(shapes={"data": x.shape})).require()
        values.append(run(sized, weights, {"data": x}, blobs=["score"])["score"])
    apart = np.abs(values[0] - values[1]).max(axis=(0, 1)) / np.abs(values[0]).max()
    reach = found.reach
    assert reach is not None
    assert 0 < reach < size // 2
    inside = apart[reach:-reach, reach:-reach]
    assert inside.size
    if found.aligned:
        assert inside.max() < 1e-5
        assert apart.max() > 1e-3
    else:
        assert inside.max() > 1e-3
