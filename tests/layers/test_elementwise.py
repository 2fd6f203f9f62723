"""Eltwise, Bias and Scale against their oracles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.layers.harness import check_text, compile_text, draw_blobs, inputs_text, module_of, refusals
from tests.oracles.elementwise import ORACLES

RNG = np.random.default_rng(4)
SHAPE = (2, 3, 4, 5)


def eltwise(bottoms: int, params: str = "") -> str:
    names = "abcd"[:bottoms]
    text = inputs_text(**dict.fromkeys(names, SHAPE))
    bottoms = " ".join(f'bottom: "{name}"' for name in names)
    return f'{text}layer {{ name: "x" type: "Eltwise" {bottoms} top: "out" {params} }}'


@pytest.mark.parametrize(
    ("bottoms", "params"),
    [
        (2, ""),
        (4, "eltwise_param { operation: SUM }"),
        (2, "eltwise_param { coeff: -1 coeff: 0.1 }"),
        (3, "eltwise_param { coeff: -2 coeff: 1 coeff: -1 }"),
        (3, "eltwise_param { operation: PROD }"),
        (2, "eltwise_param { operation: MAX }"),
        (4, "eltwise_param { operation: MAX }"),
        (2, "eltwise_param { operation: MAX coeff: 2 coeff: 3 }"),
    ],
)
@pytest.mark.parametrize("train", [False, True])
def test_eltwise(bottoms: int, params: str, train: bool) -> None:
    inputs = {name: RNG.normal(size=SHAPE) for name in "abcd"[:bottoms]}
    check_text(eltwise(bottoms, params), inputs, ORACLES, train=train)


@pytest.mark.parametrize(
    ("bottoms", "params", "message"),
    [
        (2, "eltwise_param { coeff: 1 }", "1 coeff for 2 bottoms"),
        (2, "eltwise_param { operation: MAX coeff: 1 }", "1 coeff for 2 bottoms"),
        (2, "eltwise_param { operation: PROD coeff: 1 coeff: 2 }", "coeff only with SUM"),
        (1, "", "Eltwise takes 2 or more bottoms, not 1"),
    ],
)
def test_eltwise_refused(bottoms: int, params: str, message: str) -> None:
    assert [d.what for d in refusals(eltwise(bottoms, params))] == [message]


def test_the_gradient_of_equal_maxima_goes_where_caffe_sends_it() -> None:
    net, module = compile_text(eltwise(3, "eltwise_param { operation: MAX }"), train=True)
    xs = [torch.ones(1, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    module_of(net, module)(*xs).sum().backward()
    assert [None if x.grad is None else x.grad.item() for x in xs] == [0.0, 1.0, 0.0]


def one(kind: str, params: str = "", shape: tuple[int, ...] = SHAPE, other: tuple[int, ...] | None = None) -> str:
    field = f"{kind.lower()}_param {{ {params} }}"
    text = inputs_text(data=shape, **({} if other is None else {"other": other}))
    second = "" if other is None else 'bottom: "other"'
    return f'{text}layer {{ name: "x" type: "{kind}" bottom: "data" {second} top: "out" {field} }}'


@pytest.mark.parametrize("kind", ["Bias", "Scale"])
@pytest.mark.parametrize("bias", ["", "bias_term: true"])
@pytest.mark.parametrize(
    ("params", "shape"),
    [
        ("", SHAPE),
        ("axis: 0", SHAPE),
        ("axis: -1", SHAPE),
        ("axis: -2 num_axes: -1", SHAPE),
        ("axis: 1 num_axes: 2", SHAPE),
        ("axis: 0 num_axes: -1", SHAPE),
        ("axis: 2 num_axes: 0", SHAPE),
        ("num_axes: 0", SHAPE),
        ("", (4, 6)),
        ("axis: 0", (7,)),
        ("axis: 2 num_axes: 3", (1, 2, 2, 3, 2, 2)),
    ],
)
def test_learned(kind: str, bias: str, params: str, shape: tuple[int, ...]) -> None:
    if bias and kind == "Bias":
        bias = ""
    check_text(one(kind, f"{params} {bias}", shape), {"data": RNG.normal(size=shape)}, ORACLES)


@pytest.mark.parametrize("kind", ["Bias", "Scale"])
@pytest.mark.parametrize("bias", ["", "bias_term: true"])
@pytest.mark.parametrize(
    ("params", "other"),
    [
        ("", (3,)),
        ("axis: 0", (2, 3)),
        ("axis: 0 num_axes: 5", SHAPE),
        ("axis: 1", (3, 4)),
        ("axis: -1", (5,)),
        ("axis: -3", (3, 4, 5)),
        ("", ()),
    ],
)
def test_two_bottoms(kind: str, bias: str, params: str, other: tuple[int, ...]) -> None:
    if kind == "Bias":
        bias = ""
    inputs = {"data": RNG.normal(size=SHAPE), "other": RNG.normal(size=other)}
    check_text(one(kind, f"{params} {bias}", other=other), inputs, ORACLES)


def test_in_place() -> None:
    text = one("Scale", "bias_term: true").replace('"out"', '"data"')
    check_text(text, {"data": RNG.normal(size=SHAPE)}, ORACLES)


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        (one("Scale", "axis: 4"), "layer 'x': axis 4 of 4", "4"),
        (one("Scale", "axis: -5 num_axes: 0"), "layer 'x': axis -5 of 4", "-5"),
        (one("Bias", "axis: 2 num_axes: 3"), "layer 'x': 3 axes from axis 2 on, of 4", "3"),
        (one("Bias", "num_axes: -2"), "num_axes -2 is less than -1", "-2"),
        (one("Scale", "", (5,)), "layer 'x': axis 1 of 1", "scale_param"),
        (one("Scale", "axis: 1", other=(4,)), "layer 'x': scale shape does not match axis 1", '"other"'),
        (one("Scale", "", other=(3, 4, 6)), "layer 'x': scale shape does not match axis 1", '"other"'),
        (one("Bias", "", other=(3, 4, 5, 1)), "layer 'x': bias shape does not match axis 1", '"other"'),
        (one("Bias", "axis: 9", other=(3,)), "layer 'x': axis 9 of 4", "9"),
        (one("Scale", "bias_term: true", (5,), ()), "layer 'x': axis 1 of 1", "scale_param"),
    ],
)
def test_refused(text: str, message: str, at: str) -> None:
    (found,) = refusals(text)
    assert found.what == message
    assert found.span is not None
    assert found.span.source.text[found.span.start : found.span.end] == at


def test_a_scalar_needs_no_axis() -> None:
    check_text(one("Scale", "", (5,), ()), {"data": np.arange(5.0), "other": np.array(3.0)}, ORACLES)


def test_what_a_new_scale_is_filled_with() -> None:
    net, _ = compile_text(one("Scale", "bias_term: true"))
    weight, bias = net.graph.nodes[0].layer.blobs(SHAPE)
    assert weight.filler is not None
    assert weight.filler.get("value") == 1
    assert bias.filler is None
    filled = one("Scale", 'filler { type: "xavier" } bias_term: true bias_filler { value: 2 }')
    weight, bias = compile_text(filled)[0].graph.nodes[0].layer.blobs(SHAPE)
    assert weight.filler is not None
    assert bias.filler is not None
    assert (weight.filler.get("type"), bias.filler.get("value")) == ("xavier", 2)


def test_gradient() -> None:
    net, module = compile_text(one("Scale", "axis: 0 bias_term: true", other=(2, 3)))
    made = module_of(net, module, draw_blobs(net))
    data = torch.randn(2, 3, 2, 1, dtype=torch.float64, requires_grad=True)
    other = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(made, (data, other))


def test_shared_blobs_are_one_tensor() -> None:
    text = one("Scale").replace('name: "x"', 'name: "x" param { name: "w" }')
    text += 'layer { name: "y" type: "Scale" bottom: "out" top: "y" param { name: "w" } }'
    net, module = compile_text(text)
    made = module_of(net, module, draw_blobs(net))
    assert made.get_parameter("x_weight") is made.get_parameter("y_weight")


def test_the_code_is_what_a_person_would_write() -> None:
    source = compile_text(one("Scale", "bias_term: true"))[1].source
    assert "self.x_weight = nn.Parameter(torch.ones(3))" in source
    assert "self.x_bias = nn.Parameter(torch.zeros(3))" in source
    assert "out: Tensor = data * self.x_weight[:, None, None] + self.x_bias[:, None, None]" in source


def test_attributes_of_layers_stay_apart() -> None:
    text = one("Scale", "bias_term: true")
    for name in ("x_weight", "x_bias", "X"):
        text += f'layer {{ name: "{name}" type: "Bias" bottom: "out" top: "{name}" }}'
    net, module = compile_text(text)
    keys = [weight.key for weight in module.weights]
    assert keys == ["x_weight", "x_bias", "x_weight_2_bias", "x_bias_2_bias", "X_bias"]
    assert module_of(net, module, draw_blobs(net)).state_dict().keys() == set(keys)
