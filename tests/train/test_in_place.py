"""Layers whose gradient in Caffe differs when they work in place, against Caffe's arithmetic on overwritten memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from netcompile.analyser import analyse
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options
from netcompile.train.in_place import noticed
from netcompile.train.net import compiled

INPUT = 'layer { name: "d" type: "Input" top: "data" input_param { shape { dim: 2 dim: 6 } } }\n'
CONV = 'layer { name: "i" type: "InnerProduct" bottom: "data" top: "data2" inner_product_param { num_output: 6 } }\n'

Gradient = Callable[[np.ndarray, np.ndarray], np.ndarray]  # of what came from above, and the output

# Power and Log square their derivative, taken at the output, and lose what came from above.
CASES: list[tuple[str, str, Gradient]] = [
    ("BNLL", "", lambda g, y: g * np.exp(y) / (np.exp(y) + 1)),
    ("Log", "log_param { scale: 2 shift: 3 }", lambda g, y: (2 / (2 * y + 3)) ** 2),
    ("Log", "log_param { base: 10 shift: 3 }", lambda g, y: (1 / np.log(10) / (y + 3)) ** 2),
    ("Power", "power_param { scale: 2 shift: 1 }", lambda g, y: np.full_like(y, 4)),
    ("Power", "power_param { power: 2 scale: 2 shift: 1 }", lambda g, y: (8 * y + 4) ** 2),
    ("Power", "power_param { power: 3 scale: 2 }", lambda g, y: np.full_like(y, 9)),
    ("Power", "power_param { power: 3 scale: 2 shift: 1 }", lambda g, y: (6 * y / (2 * y + 1)) ** 2),
    ("Power", "power_param { power: 0 }", lambda g, y: np.zeros_like(y)),
]


@pytest.mark.parametrize(("kind", "more", "gradient"), CASES, ids=[f"{c[0]} {c[1]}" for c in CASES])
def test_gradient_in_place(kind: str, more: str, gradient: Gradient) -> None:
    text = INPUT + f'layer {{ name: "x" type: "{kind}" bottom: "data" top: "data" {more} }}'
    net = compiled(analyse(Source(text), Options(train=True, with_loss=True)).require())
    data = torch.rand((2, 6), generator=torch.Generator().manual_seed(1)).requires_grad_()
    above = torch.rand((2, 6), generator=torch.Generator().manual_seed(2))
    top = net({}, {"data": data}, torch.device("cpu"))["data"]
    top.backward(above)
    assert data.grad is not None
    wanted = gradient(above.double().numpy(), top.detach().double().numpy())
    np.testing.assert_allclose(data.grad.numpy(), wanted, rtol=1e-5)


@pytest.mark.parametrize(("top", "count"), [("data2", 1), ("other", 0)])
def test_it_is_noticed_where_something_is_learned_below(top: str, count: int) -> None:
    text = INPUT + CONV + f'layer {{ name: "x" type: "Power" bottom: "data2" top: "{top}" power_param {{ scale: 2 }} }}'
    found = noticed(analyse(Source(text), Options(train=True, with_loss=True)).require())
    assert [d.code for d in found] == ["in-place-gradient"] * count
