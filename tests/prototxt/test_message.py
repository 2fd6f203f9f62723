"""Messages: reading values and places, making, replacing, comparing; floats as text."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcompile.diagnostics.source import Source
from netcompile.prototxt.message import Message, float_text
from netcompile.prototxt.parser import parse
from netcompile.prototxt.printer import to_text
from netcompile.prototxt.schema import enum_type, float32, message_names, message_type
from tests.prototxt.oracle import ours, theirs

TEXT = """name: "net"
layer {
  name: "conv" type: "Convolution"
  convolution_param { num_output: 3 kernel_size: [5, 7] }
}
"""


@pytest.fixture
def net() -> Message:
    return parse(Source(TEXT, "n.prototxt"))


def test_get_has_all(net: Message) -> None:
    layer = net.get("layer")[0]
    conv = layer.get("convolution_param")
    assert (net.get("name"), layer.get("type")) == ("net", "Convolution")
    assert conv.get("kernel_size") == conv.all("kernel_size") == (5, 7)
    assert (conv.has("num_output"), conv.has("group"), conv.get("group"), conv.get("bias_term")) == (
        True,
        False,
        1,
        True,
    )
    assert (conv.all("pad"), conv.get("pad"), conv.entry("pad"), conv.entry("kernel_size", 2)) == (
        (),
        (),
        None,
        None,
    )
    assert conv.get("engine") == "DEFAULT"
    empty = layer.get("pooling_param")
    assert (empty.type.name, empty.entries, empty.get("pool")) == ("PoolingParameter", (), "MAX")
    for ask in (net.get, net.has, net.all, net.entry, net.span_of):
        with pytest.raises(KeyError):
            ask("no_such_field")


def test_places(net: Message) -> None:
    layer = net.get("layer")[0]
    conv = layer.get("convolution_param")
    assert str(conv.span_of("kernel_size", 1)) == "n.prototxt:4:54"
    assert conv.span_of("kernel_size", 1).text == "7"
    assert conv.name_span_of("kernel_size", 1).text == "kernel_size"
    assert layer.span.text.startswith("layer {")
    assert layer.span.text.endswith("}\n}")
    assert (layer.head.text, str(layer.head)) == ("layer", "n.prototxt:2:1")
    assert conv.span_of("group") == conv.head
    assert layer.span_of("convolution_param").text.startswith("{ num_output")


def test_replace_keeps_the_rest(net: Message) -> None:
    layer = net.get("layer")[0]
    conv = layer.get("convolution_param").replace(kernel_size=[3], group=2, num_output=None)
    assert to_text(conv) == "kernel_size: 3\ngroup: 2\n"
    assert conv.span_of("kernel_size").text == "5"
    assert conv.span_of("group") == conv.head
    other = layer.replace(convolution_param=conv, name="x")
    assert (other.get("name"), other.span_of("name").text, other.span_of("type").text) == (
        "x",
        '"conv"',
        '"Convolution"',
    )
    assert layer.get("name") == "conv"


@pytest.mark.parametrize(
    ("kind", "fields", "error"),
    [
        ("NoSuch", {}, KeyError),
        ("NetParameter", {"no_such": 1}, KeyError),
        ("NetParameter", {"layer": {}}, TypeError),
        ("NetParameter", {"layer": "x"}, TypeError),
        ("NetParameter", {"layer": [Message.make("BlobShape")]}, TypeError),
        ("NetParameter", {"name": 3}, TypeError),
        ("BlobShape", {"dim": [2**63]}, ValueError),
        ("BlobShape", {"dim": [1.5]}, TypeError),
        ("BlobShape", {"dim": [True]}, TypeError),
        ("PoolingParameter", {"pad": -1}, ValueError),
        ("PoolingParameter", {"pool": "MAXIMUM"}, ValueError),
        ("PoolingParameter", {"pool": 1}, TypeError),
        ("PoolingParameter", {"global_pooling": 1}, TypeError),
    ],
)
def test_make_refuses(kind: str, fields: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        Message.make(kind, **fields)


def test_make_and_equality(net: Message) -> None:
    conv = {"kernel_size": [5, 7], "num_output": 3}
    made = Message.make(
        "NetParameter", name="net", layer=[{"type": "Convolution", "name": "conv", "convolution_param": conv}]
    )
    assert made == net
    assert hash(made) == hash(net)
    assert str(made.span_of("name")) == "<made>:1:1"
    assert Message.make("NetParameter", net.get("layer")[0].span, name="x").span_of("name").line == 2
    differ: list[dict[str, Any]] = [
        {},
        {"name": "net"},
        {"name": "net", "force_backward": False},
        {"name": "net", "input": ["a", "b"]},
    ]
    differ.append({"name": "net", "input": ["b", "a"]})
    messages = [Message.make("NetParameter", **fields) for fields in differ]
    assert all((a == b) == (i == j) for i, a in enumerate(messages) for j, b in enumerate(messages))
    nan, zero = (Message.make("PowerParameter", power=x) for x in (math.nan, 0.0))
    assert nan == Message.make("PowerParameter", power=math.nan) != zero
    assert Message.make("BiasParameter", axis=1) != Message.make("ELUParameter")
    assert net != "net"


@given(st.floats(width=32))
def test_float_text_is_the_shortest_that_reads_back(x: float) -> None:
    text = float_text(x)
    assert math.isnan(x) or float32(float(text)) == x
    assert repr(float(text)) == text
    if math.isfinite(x) and x:
        digits = len(text.split("e")[0].lstrip("-").replace(".", "").strip("0"))
        for fewer in range(1, digits):
            assert float32(float(f"{x:.{fewer}g}")) != x


def test_float_text_examples() -> None:
    cases = {
        0.75: "0.75",
        1e-5: "1e-05",
        0.1: "0.1",
        16777216: "16777216.0",
        3.4028234663852886e38: "3.4028235e+38",
    }
    assert {x: float_text(float32(x)) for x in cases} == cases
    assert [float_text(x) for x in (math.inf, -math.inf, math.nan, -0.0)] == ["inf", "-inf", "nan", "-0.0"]
    assert float_text(0.1, double=True) == "0.1"
    assert float32(1e39) == math.inf
    assert float32(-1e39) == -math.inf


SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "float": st.floats(width=32),
    "double": st.floats(),
    "bool": st.booleans(),
    "string": st.text(max_size=8),
    "bytes": st.binary(max_size=8),
}


@st.composite
def messages(draw: st.DrawFn, name: str, depth: int = 3) -> Message:
    """A random message of a type: some of its fields, in random order, required ones always."""
    kind = message_type(name)
    names = draw(st.lists(st.sampled_from(sorted(kind.fields)), unique=True, max_size=6 if depth == 3 else 3))
    fields: dict[str, Any] = {}
    for field in dict.fromkeys([*names, *kind.required]):
        described = kind.fields[field]
        if described.message is not None:
            if depth == 0 and not described.required:
                continue
            value: st.SearchStrategy[Any] = messages(described.message, depth - 1)
        elif described.enum is not None:
            value = st.sampled_from(sorted(enum_type(described.enum).numbers))
        else:
            value = SCALARS[described.type]
        fields[field] = draw(st.lists(value, max_size=3) if described.repeated else value)
    return Message.make(name, **fields)


@given(st.data())
def test_print_and_parse_give_the_same_message(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["NetParameter", "LayerParameter", "V1LayerParameter", *message_names()]))
    message = data.draw(messages(name))
    text = to_text(message)
    assert ours(text, name) == message
    assert theirs(text, name) == message
    assert bytes(text, "utf-8").decode() == text


@given(st.binary(max_size=12), st.text(max_size=12))
def test_strings_survive(data: bytes, text: str) -> None:
    message = Message.make("Datum", data=data)
    assert parse(Source(to_text(message)), "Datum") == message == theirs(to_text(message), "Datum")
    net = Message.make("NetParameter", name=text)
    assert parse(Source(to_text(net))) == net == theirs(to_text(net))


@given(st.floats(width=32).filter(lambda x: not math.isnan(x)))
def test_float32_rounds_as_c(x: float) -> None:
    assert float32(x) == x
    assert struct.unpack("<f", struct.pack("<f", x))[0] == x
