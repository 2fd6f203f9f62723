"""Layers that are written alike are one layer, unless something tells them apart."""

from __future__ import annotations

import pytest

from netcompile.analyser import analyse
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source

HEAD = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 8 dim: 9 dim: 9 } } }\n'
KERNEL = "convolution_param { num_output: 8 kernel_size: 3 pad: 1 }"
UP = 'convolution_param { num_output: 8 kernel_size: %s group: 8 weight_filler { type: "%s" } }'


def layer(name, bottom, top, rest=KERNEL, kind="Convolution"):
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {rest} }}\n'


def analysed(*layers):
    return analyse(Source(HEAD + "".join(layers)))


def test_layers_that_differ_in_names_alone_are_one():
    a, b = analysed(layer("a", "x", "a"), layer("b", "a", "b")).require().graph.nodes
    assert a.layer is b.layer
    assert (a.name, b.name) == ("a", "b")


@pytest.mark.parametrize(
    "other",
    [
        layer("b", "a", "b", KERNEL.replace("8", "4")),
        layer("b", "a", "b", f"{KERNEL} param {{ lr_mult: 2 }}"),
        layer("b", "a", "a"),
        layer("b", "a", "b", KERNEL, "Deconvolution"),
        'layer { name: "b" type: "Convolution" bottom: "a" bottom: "a" top: "b" top: "c" ' + KERNEL + " }",
    ],
    ids=["number", "param", "in place", "type", "bottoms"],
)
def test_what_is_written_otherwise_is_another_layer(other):
    a, b = analysed(layer("a", "x", "a"), other).graph.nodes
    assert a.layer is not b.layer


@pytest.mark.parametrize(("filler", "one"), [("xavier", True), ("bilinear", False), ("positive_unitball", False)])
def test_a_filler_that_asks_for_a_shape_is_told_by_its_own_place(filler, one):
    rest = UP % ("2", filler)
    a, b = analysed(layer("a", "x", "a", rest), layer("b", "a", "b", rest)).require().graph.nodes
    assert (a.layer is b.layer) == one


def test_mistakes_and_warnings_are_told_of_every_layer():
    wrong, unread = KERNEL.replace("8", "0"), "pooling_param { pool: MAX }"
    found = analyse(Source(HEAD + layer("a", "x", "a", unread, "ReLU") + layer("b", "a", "b", unread, "ReLU"))).notes
    assert [note.span.line for note in found if note.code == "unused-param"] == [2, 3]
    with pytest.raises(NetError) as caught:
        analysed(layer("a", "x", "a", wrong), layer("b", "a", "b", wrong))
    assert [problem.span.line for problem in caught.value.diagnostics] == [2, 3]
