from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.layers.harness import (
    Array,
    check_text,
    compile_text,
    draw_blobs,
    inputs_text,
    module_of,
    refusals,
    run_text,
    specs_of,
)
from tests.oracles.recurrent import ORACLES

Shapes = dict[str, tuple[int, ...]]
OUTPUTS = 4


def net(type_name: str, shapes: Shapes, params: str = f"num_output: {OUTPUTS}", tops: str = "out") -> str:
    bottoms = " ".join(f'bottom: "{name}"' for name in shapes)
    made = " ".join(f'top: "{name}"' for name in tops.split())
    param = f"recurrent_param {{ {params} }}" if params else ""
    return inputs_text(**shapes) + f'layer {{ name: "x" type: "{type_name}" {bottoms} {made} {param} }}\n'


def draw(shapes: Shapes, seed: int = 0) -> dict[str, Array]:
    """Random numbers; cont is 0 or 1."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.integers(0, 2, shape).astype(float) if name == "cont" else rng.normal(size=shape)
        for name, shape in shapes.items()
    }


BASE: Shapes = {"data": (5, 2, 3), "cont": (5, 2)}
STATIC: Shapes = {**BASE, "static": (2, 3, 2)}
STATE: Shapes = {"h0": (1, 2, OUTPUTS)}
EXPOSED = f"num_output: {OUTPUTS} expose_hidden: true"

CASES: list[tuple[str, Shapes, str, str]] = [
    *[
        case
        for kind in ("LSTM", "RNN")
        for case in [
            (kind, BASE, f"num_output: {OUTPUTS}", "out"),
            (kind, {"data": (4, 3, 2, 2, 1), "cont": (4, 3)}, "num_output: 2 debug_info: true", "out"),
            (kind, {"data": (1, 1, 3), "cont": (1, 1)}, "num_output: 1", "out"),
            (kind, STATIC, f"num_output: {OUTPUTS}", "out"),
        ]
    ],
    ("LSTM", {**BASE, **STATE, "c0": (1, 2, OUTPUTS)}, EXPOSED, "out hT cT"),
    ("LSTM", {**STATIC, **STATE, "c0": (1, 2, OUTPUTS)}, EXPOSED, "out hT cT"),
    ("RNN", {**BASE, **STATE}, EXPOSED, "out hT"),
    ("RNN", {**STATIC, **STATE}, EXPOSED, "out hT"),
    ("LSTMUnit", {"c": (1, 3, 4), "gates": (1, 3, 16), "cont": (1, 3)}, "", "cell out"),
]


@pytest.mark.parametrize(("kind", "shapes", "params", "tops"), CASES)
def test_equals_the_oracle(kind: str, shapes: Shapes, params: str, tops: str) -> None:
    check_text(net(kind, shapes, params, tops), draw(shapes), ORACLES)


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
def test_cont_scales_the_state(kind: str) -> None:
    inputs = {**draw(BASE), "cont": np.linspace(-1, 2, 10).reshape(5, 2)}
    check_text(net(kind, BASE), inputs, ORACLES)


def test_blobs_lie_in_caffes_order() -> None:
    n = OUTPUTS
    shapes = {
        kind: [spec.shape for spec in specs_of(compile_text(net(kind, STATIC))[0])["x"]] for kind in ("LSTM", "RNN")
    }
    assert shapes["LSTM"] == [(4 * n, 3), (4 * n,), (4 * n, 6), (4 * n, n)]
    assert shapes["RNN"] == [(n, 3), (n,), (n, 6), (n, n), (n, n), (n,)]


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
def test_streams_do_not_mix_and_steps_look_back_only(kind: str) -> None:
    text = net(kind, BASE)
    made, _ = compile_text(text)
    blobs, inputs = draw_blobs(made), draw(BASE)
    inputs["cont"][:] = 1
    before = run_text(text, inputs, blobs)["out"]
    inputs["data"][2, 1] += 1
    changed = (run_text(text, inputs, blobs)["out"] != before).any(axis=2)
    assert changed.tolist() == [[False, t >= 2] for t in range(5)]


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
def test_gradient(kind: str) -> None:
    made, module = compile_text(net(kind, STATIC))
    run = module_of(made, module, draw_blobs(made))
    inputs = draw(STATIC)
    cont = torch.from_numpy(inputs["cont"])
    data, static = (torch.from_numpy(inputs[name]).requires_grad_() for name in ("data", "static"))
    assert torch.autograd.gradcheck(lambda x, s: run(x, cont, s), (data, static))


@pytest.mark.parametrize(("kind", "shapes", "params", "tops"), [c for c in CASES if "expose" in c[2]])
def test_no_gradient_through_states_and_cont(kind: str, shapes: Shapes, params: str, tops: str) -> None:
    made, module = compile_text(net(kind, shapes, params, tops))
    feed = [torch.from_numpy(v).requires_grad_() for v in draw(shapes).values()]
    result = module_of(made, module, draw_blobs(made))(*feed)
    assert [v.requires_grad for v in result.values()] == [True] + [False] * (len(result) - 1)
    result["out"].sum().backward()
    trained = {"data", "static"}
    assert [t.grad is not None for t in feed] == [name in trained for name in shapes]


def test_unit_gives_cont_no_gradient() -> None:
    shapes = CASES[-1][1]
    made, module = compile_text(net("LSTMUnit", shapes, "", "cell out"))
    feed = [torch.from_numpy(v).requires_grad_() for v in draw(shapes).values()]
    sum(t.sum() for t in module_of(made, module)(*feed).values()).backward()
    assert [t.grad is not None for t in feed] == [True, True, False]


def test_shared_weights_are_one_tensor() -> None:
    param = 'param { name: "a" } param { name: "b" } param { name: "c" }'
    layers = [
        f'layer {{ name: "{name}" type: "LSTM" bottom: "data" bottom: "cont" top: "{name}" {param} '
        f"recurrent_param {{ num_output: 2 }} }}\n"
        for name in ("one", "two")
    ]
    text = inputs_text(**BASE) + "".join(layers)
    made, _ = compile_text(text)
    found = run_text(text, draw(BASE), {"one": draw_blobs(made)["one"]})
    assert np.array_equal(found["one"], found["two"])


def test_macs() -> None:
    made, _ = compile_text(net("LSTM", STATIC))
    (node,) = made.graph.nodes
    assert node.layer.macs([STATIC["data"], STATIC["cont"], STATIC["static"]], [(5, 2, 4)]) == (
        5 * 2 * 16 * (3 + 4) + 2 * 16 * 6
    )


def test_bfloat16() -> None:
    for kind in ("LSTM", "RNN"):
        text, inputs = net(kind, BASE), draw(BASE)
        blobs = {"x": [0.3 * b for b in draw_blobs(compile_text(text)[0])["x"]]}
        exact, rough = (run_text(text, inputs, blobs, dtype=d)["out"] for d in ("float64", "bfloat16"))
        np.testing.assert_allclose(exact, rough, rtol=0, atol=0.05)


GATES: Shapes = {"c": (1, 3, 4), "gates": (1, 3, 16), "cont": (1, 3)}
REFUSED: list[tuple[str, Shapes, str, str, str, str]] = [
    ("LSTM", BASE, "", "out", "num_output must be positive, not 0", '"LSTM"'),
    ("RNN", BASE, "num_output: 0", "out", "num_output must be positive, not 0", "0"),
    (
        "LSTM",
        {"data": (5, 2), "cont": (5, 2)},
        "num_output: 2",
        "out",
        "layer 'x': LSTM wants at least 3 axes, not 2",
        '"data"',
    ),
    (
        "LSTM",
        {"data": (5, 2, 3), "cont": (5, 2, 1)},
        "num_output: 2",
        "out",
        "layer 'x': cont must be steps × streams",
        '"cont"',
    ),
    (
        "RNN",
        {"data": (5, 2, 3), "cont": (2, 5)},
        "num_output: 2",
        "out",
        "layer 'x': cont must be steps × streams",
        '"cont"',
    ),
    (
        "RNN",
        {**BASE, "static": (3, 4)},
        "num_output: 2",
        "out",
        "layer 'x': the static input must have one row per stream",
        '"static"',
    ),
    (
        "RNN",
        {**BASE, "static": (2,)},
        "num_output: 2",
        "out",
        "layer 'x': a static input wants at least 2 axes, not 1",
        '"static"',
    ),
    ("LSTM", BASE, EXPOSED, "out h c", "LSTM takes 4 or 5 bottoms, not 2", '"LSTM"'),
    ("LSTM", {**STATIC, "h": (1, 2, 4)}, "num_output: 4", "out", "LSTM takes 2 or 3 bottoms, not 4", '"h"'),
    ("RNN", {**BASE, **STATE}, EXPOSED, "out", "RNN takes 2 tops, not 1", '"RNN"'),
    ("RNN", BASE, "num_output: 4", "out h", "RNN takes 1 top, not 2", '"h"'),
    (
        "RNN",
        {**BASE, "h0": (2, 4)},
        EXPOSED,
        "out h",
        "layer 'x': the first state has another shape",
        '"h0"',
    ),
    (
        "LSTM",
        {**BASE, **STATE, "c0": (1, 2, 3)},
        EXPOSED,
        "out h c",
        "layer 'x': the first state has another shape",
        '"c0"',
    ),
    ("Recurrent", BASE, "num_output: 4", "out", "Recurrent is abstract", '"Recurrent"'),
    ("LSTMUnit", {**GATES, "gates": (1, 3, 15)}, "", "a b", "layer 'x': 15 gates for a cell of 4", '"gates"'),
    ("LSTMUnit", {**GATES, "cont": (1, 2)}, "", "a b", "layer 'x': streams differ", '"cont"'),
    ("LSTMUnit", {**GATES, "c": (2, 3, 4)}, "", "a b", "layer 'x': LSTMUnit computes one step", '"c"'),
    (
        "LSTMUnit",
        {**GATES, "cont": (3,)},
        "",
        "a b",
        "layer 'x': LSTMUnit wants 2 axes here, not 1",
        '"cont"',
    ),
    ("LSTMUnit", GATES, "", "a", "LSTMUnit takes 2 tops, not 1", '"LSTMUnit"'),
]


@pytest.mark.parametrize(("kind", "shapes", "params", "tops", "what", "at"), REFUSED)
def test_refused(kind: str, shapes: Shapes, params: str, tops: str, what: str, at: str) -> None:
    (found,) = refusals(net(kind, shapes, params, tops))
    assert found.what == what
    assert found.span is not None
    assert found.span.line == len(shapes) + 1
    assert found.span.source.text[found.span.start : found.span.end] == at
