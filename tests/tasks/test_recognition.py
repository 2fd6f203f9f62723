"""Which task a net is of: nets of a few layers, each with what its users expect of it."""

from __future__ import annotations

import pytest

from netcompile.analyser import analyse
from netcompile.analysis.outputs import described
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options
from netcompile.tasks.catalogue import choose
from netcompile.tasks.inputs import described_net


def layer(kind: str, bottom: str, top: str, more: str = "") -> str:
    bottoms = " ".join(f'bottom: "{name}"' for name in bottom.split())
    tops = " ".join(f'top: "{name}"' for name in top.split())
    return f'layer {{ name: "{top} of {bottom}" type: "{kind}" {bottoms} {tops} {more} }}\n'


def net_input(name: str, *shape: int) -> str:
    return layer("Input", "", name, f"input_param {{ shape {{ dim: {list(shape)} }} }}")


def conv(bottom: str, top: str, outputs: int, more: str = "kernel_size: 1") -> str:
    return layer("Convolution", bottom, top, f"convolution_param {{ num_output: {outputs} {more} }}")


def dense(bottom: str, top: str, outputs: int, axis: int = 1) -> str:
    return layer("InnerProduct", bottom, top, f"inner_product_param {{ num_output: {outputs} axis: {axis} }}")


DATA = net_input("data", 1, 3, 64, 80)
GREY = net_input("data", 1, 1, 64, 80)
HALF = "kernel_size: 2 stride: 2"
MATRIX = layer("Reshape", "s", "t", "reshape_param { shape { dim: [0, -1, 2] } }")
FLAT = layer("Flatten", "u", "v")
SOFT = layer("Softmax", "t", "u", "softmax_param { axis: 2 }")

# Name: the net, the task, the blobs that it reads.
NETS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "a classifier": (DATA + dense("data", "f", 7) + layer("Softmax", "f", "p"), "classification", ("p",)),
    "its features": (DATA + dense("data", "f", 7) + layer("ReLU", "f", "f"), "vector", ("f",)),
    "trained to classify, with an earlier head": (
        DATA
        + net_input("label", 1)
        + dense("data", "early", 7)
        + dense("early", "late", 7)
        + layer("SoftmaxWithLoss", "early label", "one")
        + layer("SoftmaxWithLoss", "late label", "two"),
        "classification",
        ("late",),
    ),
    "a label that nobody reads": (
        DATA + net_input("label", 1, 8, 1, 1) + dense("data", "f", 7) + layer("Softmax", "f", "p"),
        "classification",
        ("p",),
    ),
    "scores of many boxes in one row, before a layer that is left out": (
        DATA + conv("data", "s", 8, HALF) + MATRIX + SOFT + FLAT,
        "vector",
        ("v",),
    ),
    "scores of many boxes as a matrix": (DATA + conv("data", "s", 8, HALF) + MATRIX + SOFT, "raw", ("u",)),
    "a sequence, time first": (
        DATA
        + layer("Pooling", "data", "line", "pooling_param { pool: MAX kernel_h: 64 kernel_w: 1 }")
        + layer("Permute", "line", "steps", "permute_param { order: [3, 0, 1, 2] }")
        + dense("steps", "f", 11, axis=2)
        + layer("Softmax", "f", "p", "softmax_param { axis: 2 }"),
        "raw",
        ("p",),
    ),
    "a sequence whose steps are rows": (
        DATA
        + layer("Pooling", "data", "line", "pooling_param { pool: MAX kernel_h: 64 kernel_w: 1 }")
        + layer("Permute", "line", "steps", "permute_param { order: [3, 0, 1, 2] }")
        + layer("Reshape", "steps", "rows", "reshape_param { shape { dim: [80, 3] } }")
        + dense("rows", "f", 11)
        + layer("Softmax", "f", "p"),
        "raw",
        ("p",),
    ),
    "a sequence along a line of the image": (
        DATA
        + layer("Pooling", "data", "line", "pooling_param { pool: MAX kernel_h: 64 kernel_w: 1 }")
        + conv("line", "f", 11)
        + layer("Softmax", "f", "p"),
        "raw",
        ("p",),
    ),
    "a video": (net_input("data", 1, 3, 8, 16, 16) + dense("data", "f", 7), "vector", ("f",)),
    "label maps": (DATA + conv("data", "s", 5), "segmentation", ("s",)),
    "label maps without the edges": (DATA + conv("data", "s", 5, "kernel_size: 21"), "segmentation", ("s",)),
    "label maps and something of the net's own": (
        DATA + conv("data", "s", 5) + layer("Pooling", "data", "m", "pooling_param { pool: AVE global_pooling: true }"),
        "segmentation",
        ("s",),
    ),
    "the same with values of a regression": (
        DATA
        + net_input("goal", 1, 4, 64, 80)
        + conv("data", "s", 5)
        + conv("data", "r", 4)
        + layer("EuclideanLoss", "r goal", "loss"),
        "segmentation",
        ("s",),
    ),
    "super-resolution without padding": (GREY + conv("data", "y", 1, "kernel_size: 13"), "image", ("y",)),
    "haze removed, which ends in a ReLU": (DATA + conv("data", "y", 3) + layer("ReLU", "y", "y"), "image", ("y",)),
    "edges": (GREY + conv("data", "y", 1) + layer("Sigmoid", "y", "p"), "map", ("p",)),
    "heat maps": (DATA + conv("data", "h", 18, HALF), "points", ("h",)),
    "coarse heat maps of few rows": (net_input("data", 1, 3, 7, 9) + conv("data", "h", 3, HALF), "points", ("h",)),
    "features of a trunk": (DATA + conv("data", "c", 18, HALF) + layer("ReLU", "c", "c"), "raw", ("c",)),
    "features, pooled": (
        DATA
        + conv("data", "c", 18, HALF)
        + layer("ReLU", "c", "c")
        + layer("Pooling", "c", "p", "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"),
        "raw",
        ("p",),
    ),
    "heat maps behind a ReLU, of a regression": (
        DATA
        + net_input("goal", 1, 4, 32, 40)
        + conv("data", "h", 4, HALF)
        + layer("ReLU", "h", "h")
        + layer("EuclideanLoss", "h goal", "loss"),
        "points",
        ("h",),
    ),
    "two images in one batch": (
        net_input("a", 1, 3, 64, 80)
        + net_input("b", 1, 3, 64, 80)
        + layer("Concat", "a b", "both", "concat_param { axis: 0 }")
        + conv("both", "s", 5),
        "raw",
        ("s",),
    ),
    "no image": (net_input("noise", 4, 16) + dense("noise", "f", 7), "vector", ("f",)),
}


def net_of(text: str):
    analysed = analyse(Source(f'name: "n"\n{text}', "net.prototxt"), Options()).require()
    return analysed, described_net(analysed)


@pytest.mark.parametrize("name", NETS)
def test_the_task_of_a_net(name):
    text, task, blobs = NETS[name]
    chosen, found = choose(net_of(text)[1], None)
    assert (chosen.name, found.blobs) == (task, blobs), found.why


@pytest.mark.parametrize(
    ("blob", "task"),
    [("c", "raw"), ("p", "raw"), ("fc7", "vector"), ("fc8", "classification"), ("prob", "classification")],
)
def test_the_task_of_a_blob_of_a_classifier(blob, task):
    text = (
        DATA
        + conv("data", "c", 6, HALF)
        + layer("ReLU", "c", "c")
        + layer("Pooling", "c", "p", "pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
        + dense("p", "fc7", 9)
        + layer("ReLU", "fc7", "fc7")
        + dense("fc7", "fc8", 7)
        + layer("Softmax", "fc8", "prob")
    )
    analysed, net = net_of(text)
    assert choose(net, None, described(analysed.graph, analysed.shapes, (blob,)))[0].name == task


@pytest.mark.parametrize(("blob", "task"), [("c", "raw"), ("s", "segmentation"), ("up", "segmentation")])
def test_the_task_of_a_blob_of_a_segmentation(blob, task):
    text = (
        DATA
        + conv("data", "c", 6, HALF)
        + layer("ReLU", "c", "c")
        + conv("c", "s", 5)
        + layer("Deconvolution", "s", "up", "convolution_param { num_output: 5 kernel_size: 2 stride: 2 }")
    )
    analysed, net = net_of(text)
    assert choose(net, None, described(analysed.graph, analysed.shapes, (blob,)))[0].name == task


def test_what_a_task_leaves_aside_is_said():
    text, _, _ = NETS["label maps and something of the net's own"]
    assert choose(net_of(text)[1], None)[1].why == "output 's' has scores for every pixel; 'm' is left aside"
