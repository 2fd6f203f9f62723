"""Activations and functions of single elements against their oracles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netcompile.runtime.execute import load_source
from tests.layers.harness import analyse_text, check_text, compile_text, inputs_text, module_of, refusals
from tests.oracles.activation import ORACLES

RNG = np.random.default_rng(3)
DATA = RNG.normal(size=(2, 3, 4, 5)) * 3
NET = inputs_text(data=DATA.shape)


def one(kind: str, params: str = "", top: str = "out") -> str:
    return f'{NET}layer {{ name: "x" type: "{kind}" bottom: "data" top: "{top}" {params} }}'


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("ReLU", ""),
        ("ReLU", "relu_param { negative_slope: 0.1 engine: CUDNN }"),
        ("ReLU", "relu_param { negative_slope: -2 }"),
        ("ELU", ""),
        ("ELU", "elu_param { alpha: 0.3 }"),
        ("ELU", "elu_param { alpha: 0 }"),
        ("Sigmoid", "sigmoid_param { engine: CAFFE }"),
        ("TanH", "tanh_param { engine: CAFFE }"),
        ("Swish", ""),
        ("Swish", "swish_param { beta: -1.7 }"),
        ("BNLL", ""),
        ("PReLU", ""),
        ("PReLU", "prelu_param { channel_shared: true }"),
        ("Dropout", "dropout_param { dropout_ratio: 0.9 }"),
        ("Dropout", "dropout_param { dropout_ratio: 0 }"),
        ("Dropout", "dropout_param { dropout_ratio: 2 }"),
        ("AbsVal", ""),
        ("Threshold", ""),
        ("Threshold", "threshold_param { threshold: -0.3 }"),
        ("Clip", "clip_param { min: -0.5 max: 0.75 }"),
        ("Clip", "clip_param { min: 1 max: 1 }"),
        ("Clip", "clip_param { min: 2 max: -2 }"),
        ("Clip", ""),
        ("Power", ""),
        ("Power", "power_param { power: 2 }"),
        ("Power", "power_param { power: 3 scale: -0.7 shift: 0.1 }"),
        ("Power", "power_param { power: -1 scale: 0.5 }"),
        ("Power", "power_param { power: 0.5 }"),
        ("Power", "power_param { power: 0 scale: 3 }"),
        ("Power", "power_param { scale: 0 shift: 2 power: 3 }"),
        ("Power", "power_param { scale: 0 shift: -2 power: 0.5 }"),
        ("Power", "power_param { scale: 0 power: -1 }"),
        ("Power", "power_param { scale: 0 shift: -3e38 power: 41 }"),
        ("Power", "power_param { scale: -1 shift: -1 }"),
        ("Exp", ""),
        ("Exp", "exp_param { base: 2 scale: 0.5 shift: -1 }"),
        ("Exp", "exp_param { base: 0.1 }"),
        ("Exp", "exp_param { base: 1 scale: 4 shift: 1 }"),
        ("Exp", "exp_param { base: 10 scale: -0.3 shift: 0.2 }"),
        ("Log", ""),
        ("Log", "log_param { base: 2 scale: 0.5 shift: 20 }"),
        ("Log", "log_param { base: 10 scale: -1 shift: 20 }"),
        ("Log", "log_param { base: 0.3 shift: 20 }"),
        ("Log", "log_param { scale: 0 }"),
    ],
)
def test_equals_its_oracle(kind: str, params: str) -> None:
    check_text(one(kind, params), {"data": DATA}, ORACLES)
    if kind != "AbsVal":
        check_text(one(kind, params, top="data"), {"data": DATA}, ORACLES)


@pytest.mark.parametrize("kind", ["BNLL", "Sigmoid", "TanH", "ELU", "Swish", "Exp"])
def test_far_from_zero(kind: str) -> None:
    data = np.concatenate([np.linspace(-700, 40, 60), [0.0, -0.0, 29.9, 30.0, 30.1]])
    check_text(one(kind).replace(NET, inputs_text(data=(65,))), {"data": data}, ORACLES)


@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 5), (2, 3, 1, 1)])
@pytest.mark.parametrize("shared", ["", "prelu_param { channel_shared: true }"])
def test_prelu_of_other_ranks(shape: tuple[int, ...], shared: str) -> None:
    text = one("PReLU", shared).replace(NET, inputs_text(data=shape))
    check_text(text, {"data": RNG.normal(size=shape)}, ORACLES)


@pytest.mark.parametrize("kind", ["ReLU", "Power", "Sigmoid", "Threshold"])
def test_a_scalar_and_a_vector(kind: str) -> None:
    for shape in ((), (3,)):
        text = one(kind).replace(NET, inputs_text(data=shape))
        check_text(text, {"data": RNG.normal(size=shape)}, ORACLES)


@pytest.mark.parametrize(
    ("kind", "params", "at", "message"),
    [
        ("Exp", "exp_param { base: 0 }", "0", "base 0 is not positive"),
        ("Exp", "exp_param { base: -2 }", "-2", "base -2 is not positive"),
        ("Exp", "exp_param { base: nan }", "nan", "base nan is not positive"),
        ("Exp", "exp_param { base: inf }", "inf", "base has no finite logarithm"),
        ("Log", "log_param { base: 1 }", "1", "there is no logarithm to base 1"),
        ("Log", "log_param { base: -3 }", "-3", "base -3 is not positive"),
        ("Log", "log_param { base: inf }", "inf", "there is no logarithm to base inf"),
    ],
)
def test_refused(kind: str, params: str, at: str, message: str) -> None:
    (found,) = refusals(one(kind, params))
    assert found.what == message
    assert found.span is not None
    assert found.span.source.text[found.span.start : found.span.end] == at


def test_absval_does_not_work_in_place() -> None:
    (found,) = refusals(one("AbsVal", top="data"))
    assert (found.code, found.what) == ("in-place", "AbsVal does not work in place")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2,), "layer 'x': PReLU wants 2 to 4 axes, not 1"),
        ((1, 2, 1, 2, 1), "layer 'x': PReLU wants 2 to 4 axes, not 5"),
    ],
)
def test_prelu_wants_channels(shape: tuple[int, ...], message: str) -> None:
    (found,) = refusals(one("PReLU").replace(NET, inputs_text(data=shape)))
    assert found.what == message


def test_dropout_in_training() -> None:
    assert [d.what for d in refusals(one("Dropout", "dropout_param { dropout_ratio: 2 }"), train=True)] == [
        "dropout_ratio 2 is not between 0 and 1"
    ]
    net, module = compile_text(one("Dropout", "dropout_param { dropout_ratio: 0.25 }"), train=True)
    made, x = module_of(net, module), torch.ones(200, 200, dtype=torch.float64)
    y = made(x)
    assert set(y.unique().tolist()) == {0.0, 1 / 0.75}
    assert abs(float((y == 0).double().mean()) - 0.25) < 0.02
    assert torch.equal(made.eval()(x), x)


@pytest.mark.parametrize(
    "params",
    [
        "power_param { power: 2 scale: 0.5 shift: 4 }",
        "power_param { scale: -2 }",
    ],
)
def test_gradient_of_power(params: str) -> None:
    net, module = compile_text(one("Power", params))
    x = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module_of(net, module), (x,))


@pytest.mark.parametrize(
    ("kind", "params", "at_zero"),
    [
        ("ReLU", "", 0.0),
        ("ReLU", "relu_param { negative_slope: 0.3 }", 0.3),
        ("ELU", "elu_param { alpha: 0.7 }", 0.7),
        ("AbsVal", "", 0.0),
        ("BNLL", "", 0.5),
        ("Clip", "clip_param { min: 0 max: 1 }", 1.0),
    ],
)
def test_gradient_where_caffe_has_to_choose(kind: str, params: str, at_zero: float) -> None:
    net, module = compile_text(one(kind, params))
    x = torch.zeros(1, 3, 1, 1, dtype=torch.float64, requires_grad=True)
    module_of(net, module)(x).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), at_zero)


def test_power_that_changes_nothing_is_dropped() -> None:
    chain = one("Power") + 'layer { name: "y" type: "ReLU" bottom: "out" top: "y" }'
    assert "F.relu(out)" in compile_text(chain, level=0)[1].source
    assert "F.relu(data)" in compile_text(chain, level=1)[1].source


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_types_are_kept(dtype: torch.dtype) -> None:
    layers = [
        ("BNLL", ""),
        ("PReLU", ""),
        ("Threshold", ""),
        ("Clip", "clip_param { min: -1 max: 1 }"),
        ("Exp", "exp_param { base: 3 }"),
        ("Log", "log_param { base: 3 shift: 30 }"),
        ("Power", "power_param { scale: 0 shift: 2 }"),
        ("Swish", "swish_param { beta: 2 }"),
    ]
    for kind, params in layers:
        made = load_source(compile_text(one(kind, params))[1]).to(dtype)
        assert made(torch.zeros(2, 3, 1, 1, dtype=dtype)).dtype == dtype, kind


def test_the_code_is_what_a_person_would_write() -> None:
    def line(kind: str, params: str) -> str:
        source = compile_text(one(kind, params), level=0)[1].source
        return next(
            text.split("  #")[0].strip()
            for text in source.replace(": Tensor = ", " = ").split("\n")
            if " out = " in text
        )

    assert line("Power", "power_param { power: 2 }") == "out = data**2"
    assert line("Power", "power_param { power: 3 shift: 1 }") == "out = (data + 1.0) ** 3"
    assert line("Power", "power_param { scale: -1 shift: 1 }") == "out = 1.0 - data"
    assert line("ReLU", "relu_param { negative_slope: 0.1 }") == "out = F.leaky_relu(data, 0.1)"
    assert line("Power", "power_param { power: 0.5 scale: -1 shift: -2 }") == "out = (-2.0 - data) ** 0.5"
    assert line("Exp", "exp_param { base: 2 }") == "out = torch.exp2(data)"
    assert line("Log", "log_param { scale: 0.1 shift: 1 }") == "out = torch.log(0.1 * data + 1.0)"
    assert line("Clip", "clip_param { min: 0 max: 6 }") == "out = data.clamp(0.0, 6.0)"


def test_shapes_follow_the_input() -> None:
    net = analyse_text(one("PReLU")).require()
    (out,) = (net.symbolic.shapes[v] for v in net.graph.nodes[0].tops)
    assert [str(d) for d in out or ()] == ["2", "3", "H", "W"]
