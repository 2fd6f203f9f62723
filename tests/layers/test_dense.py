"""InnerProduct and Embed against their oracles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.layers.harness import (
    analyse_text,
    check_text,
    compile_text,
    draw_blobs,
    inputs_text,
    module_of,
    refusals,
)
from tests.oracles.dense import ORACLES

RNG = np.random.default_rng(6)
SHAPE = (2, 3, 4, 5)


def one(kind: str, params: str, shape: tuple[int, ...] = SHAPE) -> str:
    field = "inner_product_param" if kind == "InnerProduct" else "embed_param"
    text = inputs_text(data=shape)
    return f'{text}layer {{ name: "x" type: "{kind}" bottom: "data" top: "out" {field} {{ {params} }} }}'


@pytest.mark.parametrize("transpose", ["", "transpose: true"])
@pytest.mark.parametrize("bias", ["", "bias_term: false"])
@pytest.mark.parametrize(
    ("axis", "shape"),
    [
        ("", SHAPE),
        ("axis: 0", SHAPE),
        ("axis: 2", SHAPE),
        ("axis: -1", SHAPE),
        ("axis: -4", SHAPE),
        ("", (3, 7)),
        ("axis: 0", (7,)),
        ("axis: -1", (7,)),
        ("axis: 3", (1, 2, 1, 2, 3)),
    ],
)
def test_inner_product(transpose: str, bias: str, axis: str, shape: tuple[int, ...]) -> None:
    text = one("InnerProduct", f"num_output: 6 {axis} {transpose} {bias}", shape)
    check_text(text, {"data": RNG.normal(size=shape)}, ORACLES)


@pytest.mark.parametrize("shape", [(3, 4), (5,), (), (2, 1, 3, 1)])
@pytest.mark.parametrize("bias", ["", "bias_term: false"])
def test_embed(shape: tuple[int, ...], bias: str) -> None:
    data = RNG.integers(0, 11, size=shape).astype(float)
    check_text(one("Embed", f"num_output: 5 input_dim: 11 {bias}", shape), {"data": data}, ORACLES)


def test_an_index_is_cut_off() -> None:
    check_text(one("Embed", "num_output: 2 input_dim: 4", (3,)), {"data": np.array([0.9, 2.5, 3.99])}, ORACLES)


@pytest.mark.parametrize(
    ("kind", "params", "messages"),
    [
        ("InnerProduct", "num_output: 2 axis: 7", ["layer 'x': axis 7 of 4"]),
        ("InnerProduct", "num_output: 2 axis: -5", ["layer 'x': axis -5 of 4"]),
        ("InnerProduct", "", ["num_output missing"]),
        ("InnerProduct", "num_output: 0", ["num_output must be positive, not 0"]),
        ("Embed", "", ["num_output missing", "input_dim missing"]),
        ("Embed", "num_output: 3 input_dim: 0", ["input_dim must be positive, not 0"]),
    ],
)
def test_refused(kind: str, params: str, messages: list[str]) -> None:
    assert [d.what for d in refusals(one(kind, params))] == messages


def test_tied_weights_of_an_autoencoder_are_one_tensor() -> None:
    text = (
        inputs_text(data=(2, 6))
        + """
        layer { name: "e" type: "InnerProduct" bottom: "data" top: "code" param { name: "w" }
                inner_product_param { num_output: 3 } }
        layer { name: "d" type: "InnerProduct" bottom: "code" top: "out" param { name: "w" }
                inner_product_param { num_output: 6 transpose: true } }
        """
    )
    net, module = compile_text(text)
    made = module_of(net, module, draw_blobs(net))
    assert made.get_parameter("e.weight") is made.get_parameter("d_weight")
    x = RNG.normal(size=(2, 6))
    e, d = draw_blobs(net)["e"], draw_blobs(net)["d"]
    wanted = (x @ e[0].T + e[1]) @ e[0] + d[1]
    np.testing.assert_allclose(made(torch.from_numpy(x)).detach().numpy(), wanted, atol=1e-12)


def test_an_inner_product_ties_the_net_to_its_size() -> None:
    net = analyse_text(one("InnerProduct", "num_output: 2")).require()
    assert [[n for n in range(1, 20) if n in valid] for valid in net.valid] == [[4], [5]]
    free = analyse_text(one("InnerProduct", "num_output: 2 axis: -1", (2, 3, 4, 5))).require()
    assert free.shapes[free.graph.nodes[0].tops[0]] == (2, 3, 4, 2)


def test_gradient() -> None:
    net, module = compile_text(one("InnerProduct", "num_output: 2 transpose: true", (2, 3)))
    made = module_of(net, module, draw_blobs(net))
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(made, (x,))


def test_the_code_is_what_a_person_would_write() -> None:
    source = compile_text(one("InnerProduct", "num_output: 6"))[1].source
    assert "self.x = nn.Linear(60, 6)" in source
    assert "out: Tensor = self.x(data.flatten(1))" in source
    source = compile_text(one("InnerProduct", "num_output: 6 transpose: true"))[1].source
    assert "self.x_weight = nn.Parameter(torch.empty(60, 6))" in source
    assert "self.x_bias = nn.Parameter(torch.zeros(6))" in source
    assert "out: Tensor = data.flatten(1) @ self.x_weight + self.x_bias" in source
    source = compile_text(one("Embed", "num_output: 2 input_dim: 4"))[1].source
    assert "self.x = nn.Embedding(4, 2)" in source
    assert "self.x_bias = nn.Parameter(torch.zeros(2))" in source
    assert "out: Tensor = self.x(data.long()) + self.x_bias" in source
