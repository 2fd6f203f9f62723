"""Reduction, ArgMax, Filter and BatchReindex against their oracles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.layers.harness import check_text, compile_text, inputs_text, module_of, refusals, run_text
from tests.oracles.reducing import ORACLES

RNG = np.random.default_rng(8)
SHAPE = (2, 3, 4, 5)


def one(kind: str, params: str = "", shape: tuple[int, ...] = SHAPE) -> str:
    text = inputs_text(data=shape)
    return f'{text}layer {{ name: "x" type: "{kind}" bottom: "data" top: "out" {params} }}'


@pytest.mark.parametrize("operation", ["SUM", "ASUM", "SUMSQ", "MEAN"])
@pytest.mark.parametrize(
    ("params", "shape"),
    [
        ("", SHAPE),
        ("axis: 1", SHAPE),
        ("axis: 3 coeff: -0.1", SHAPE),
        ("axis: -2", SHAPE),
        ("coeff: 2", (4,)),
        ("axis: -1", (2, 1)),
    ],
)
def test_reduction(operation: str, params: str, shape: tuple[int, ...]) -> None:
    text = one("Reduction", f"reduction_param {{ operation: {operation} {params} }}", shape)
    check_text(text, {"data": RNG.normal(size=shape)}, ORACLES)


@pytest.mark.parametrize("out_max_val", ["", "out_max_val: true"])
@pytest.mark.parametrize("top_k", ["", "top_k: 2", "top_k: 3"])
@pytest.mark.parametrize(
    ("axis", "shape"),
    [
        ("", SHAPE),
        ("axis: 1", SHAPE),
        ("axis: -1", SHAPE),
        ("axis: 0", (3, 2)),
        ("", (3, 4)),
        ("", (2, 3, 4)),
        ("", (1, 2, 3, 1, 2)),
        ("axis: 0", (3,)),
        ("axis: 2", (1, 1, 3, 2, 2)),
    ],
)
def test_arg_max(out_max_val: str, top_k: str, axis: str, shape: tuple[int, ...]) -> None:
    text = one("ArgMax", f"argmax_param {{ {axis} {top_k} {out_max_val} }}", shape)
    check_text(text, {"data": RNG.normal(size=shape)}, ORACLES)
    check_text(text, {"data": RNG.integers(0, 2, size=shape).astype(float)}, ORACLES)


def test_arg_max_of_single_numbers() -> None:
    check_text(one("ArgMax", "argmax_param { out_max_val: true }", (4,)), {"data": np.arange(4.0)}, ORACLES)


def test_of_equals_the_last_comes_first() -> None:
    data = np.array([[[5.0, 7.0, 7.0, 5.0, 7.0]]])
    for params, wanted in [("axis: 2", [4]), ("axis: 2 top_k: 4", [4, 2, 1, 3])]:
        found = run_text(one("ArgMax", f"argmax_param {{ {params} }}", (1, 1, 5)), {"data": data})
        assert found["out"].ravel().tolist() == wanted


@pytest.mark.parametrize(
    ("kind", "params", "message", "at"),
    [
        ("ArgMax", "argmax_param { top_k: 0 }", "top_k must be positive, not 0", "0"),
        ("ArgMax", "argmax_param { axis: 1 top_k: 4 }", "layer 'x': top_k 4 of 3 elements", "4"),
        ("ArgMax", "argmax_param { top_k: 61 }", "layer 'x': top_k 61 of 60 elements", "61"),
        ("ArgMax", "argmax_param { axis: 4 }", "layer 'x': axis 4 of 4", "4"),
        ("Reduction", "reduction_param { axis: 4 }", "layer 'x': axis 4 of 4", "4"),
        ("Reduction", "reduction_param { axis: -5 }", "layer 'x': axis -5 of 4", "-5"),
    ],
)
def test_refused(kind: str, params: str, message: str, at: str) -> None:
    (found,) = refusals(one(kind, params))
    assert found.what == message
    assert found.span is not None
    assert found.span.source.text[found.span.start : found.span.end] == at


@pytest.mark.parametrize("operation", ["SUM", "ASUM", "SUMSQ", "MEAN"])
def test_gradient_of_reduction(operation: str) -> None:
    net, module = compile_text(one("Reduction", f"reduction_param {{ operation: {operation} axis: 2 coeff: 3 }}"))
    x = torch.randn(2, 2, 3, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module_of(net, module), (x,))


# Filter, BatchReindex ------------------------------------------------------------------------------


def chosen(kind: str, *shapes: tuple[int, ...], tops: int = 1) -> str:
    names = "abcd"[: len(shapes)]
    text = inputs_text(**dict(zip(names, shapes, strict=True)))
    bottoms = " ".join(f'bottom: "{name}"' for name in names)
    made = " ".join(f'top: "{top}"' for top in "pqr"[:tops])
    return f'{text}layer {{ name: "x" type: "{kind}" {bottoms} {made} }}'


@pytest.mark.parametrize("selector", [(5,), (5, 1), (5, 1, 1, 1)])
@pytest.mark.parametrize("picked", [[1, 0, 1, 0.5, 0], [0, 0, 0, 0, 0], [1, -1, 1, 2, 3]])
def test_filter(selector: tuple[int, ...], picked: list[float]) -> None:
    a, b = RNG.normal(size=(5, 3, 2)), RNG.normal(size=(5,))
    chooser = np.array(picked).reshape(selector)
    text = chosen("Filter", (5, 3, 2), selector)
    found = run_text(text, {"a": a, "b": chooser})
    np.testing.assert_array_equal(found["p"], a[np.array(picked) != 0])
    text = chosen("Filter", (5, 3, 2), (5,), selector, tops=2)
    found = run_text(text, {"a": a, "b": b, "c": chooser})
    np.testing.assert_array_equal(found["q"], b[np.array(picked) != 0])


def test_filter_with_all_items_has_the_declared_shape() -> None:
    inputs = {"a": RNG.normal(size=(3, 2)), "b": np.ones(3)}
    check_text(chosen("Filter", (3, 2), (3,)), inputs, ORACLES)


def test_batch_reindex() -> None:
    inputs = {"a": RNG.normal(size=(4, 3, 2)), "b": np.array([3.0, 0, 0, 2, 3, 1])}
    check_text(chosen("BatchReindex", (4, 3, 2), (6,)), inputs, ORACLES)
    net, module = compile_text(chosen("BatchReindex", (4, 3, 2), (6,)))
    a = torch.randn(4, 1, dtype=torch.float64, requires_grad=True)
    module_of(net, module)(a, torch.from_numpy(inputs["b"])).sum().backward()
    assert a.grad is not None
    assert a.grad.ravel().tolist() == [2.0, 1.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            chosen("Filter", (5, 3), (5, 2)),
            "layer 'x': the selector of a Filter has one number for each item",
        ),
        (chosen("Filter", (5, 3), (4,)), "layer 'x': 5 items, and a selector for 4"),
        (chosen("Filter", (5, 3), ()), "layer 'x': the selector of a Filter has no axis"),
        (chosen("Filter", (), (1,)), "layer 'x': a scalar has no items to filter"),
        (chosen("Filter", (5, 3), (5,), tops=2), "Filter makes 1 tops of 2 bottoms, not 2"),
        (chosen("BatchReindex", (4, 3), (6, 1)), "layer 'x': the list of items wants 1 axis, not 2"),
        (chosen("BatchReindex", (), (6,)), "layer 'x': a scalar has no items to choose from"),
    ],
)
def test_choice_refused(text: str, message: str) -> None:
    assert [d.what for d in refusals(text)] == [message]
