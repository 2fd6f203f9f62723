from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.layers.harness import check_text, compile_text, inputs_text, module_of, refusals
from tests.oracles.softmax import ORACLES

LAYER = 'layer {{ name: "x" type: "Softmax" bottom: "data" top: "out" {} }}'


@pytest.mark.parametrize(
    ("shape", "param"),
    [
        ((2, 3, 4, 5), ""),
        ((2, 3), ""),
        ((2, 3, 4, 5), "softmax_param { axis: 0 }"),
        ((2, 3, 4, 5), "softmax_param { axis: 2 engine: CAFFE }"),
        ((2, 3, 4, 5), "softmax_param { axis: -1 }"),
        ((2, 3, 4, 5), "softmax_param { axis: -4 }"),
        ((4,), "softmax_param { axis: 0 }"),
        ((2, 3, 2, 2, 3), "softmax_param { axis: 3 }"),
        ((1, 1, 1, 1), ""),
    ],
)
def test_equals_the_oracle(shape: tuple[int, ...], param: str) -> None:
    data = np.random.default_rng(0).normal(size=shape) * 5
    check_text(inputs_text(data=shape) + LAYER.format(param), {"data": data}, ORACLES)


def test_large_numbers_do_not_overflow() -> None:
    data = np.array([[1e30, -1e30, 1e30], [-1e4, -1e4, -2e4]])
    check_text(inputs_text(data=(2, 3)) + LAYER.format(""), {"data": data}, ORACLES)


def test_in_place() -> None:
    text = inputs_text(data=(2, 3)) + LAYER.format("").replace('"out"', '"data"')
    check_text(text, {"data": np.arange(6.0).reshape(2, 3)}, ORACLES)


@pytest.mark.parametrize(("axis", "shape"), [(4, (2, 3, 4, 5)), (-5, (2, 3, 4, 5)), (1, (4,))])
def test_axis_outside(axis: int, shape: tuple[int, ...]) -> None:
    (found,) = refusals(inputs_text(data=shape) + LAYER.format(f"softmax_param {{ axis: {axis} }}"))
    assert found.what == f"layer 'x': axis {axis} of {len(shape)}"
    assert found.span is not None
    assert found.span.line == 2
    assert found.span.source.text[found.span.start : found.span.end] == str(axis)


def test_gradient() -> None:
    net, module = compile_text(inputs_text(data=(2, 3, 2)) + LAYER.format("softmax_param { axis: -1 }"))
    x = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module_of(net, module), (x,))
