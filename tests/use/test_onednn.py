"""The one fallback for oneDNN's operators, which torch may drop, change or refuse; and other ways of one layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from netcompile.prelude.convolution import Conv2d
from netcompile.prelude.large_kernel import LargeKernel
from netcompile.prelude.linear import Linear
from netcompile.prelude.onednn import onednn_as_known, onednn_serves
from netcompile.prelude.winograd import Winograd

OPERATORS = ("_convolution_pointwise", "_linear_pointwise", "_reorder_convolution_weight")


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    onednn_as_known.cache_clear()
    with torch.no_grad():
        yield
    onednn_as_known.cache_clear()


class Without:
    """torch.ops.mkldnn with another operator in the place of one, or none."""

    def __init__(self, name: str, other: Callable[..., Any] | None) -> None:
        self.name, self.other, self.real = name, other, torch.ops.mkldnn

    def __getattr__(self, name: str) -> Any:
        if name != self.name:
            return getattr(self.real, name)
        if self.other is None:
            raise AttributeError(name)
        return SimpleNamespace(default=self.other) if name.endswith("_pointwise") else self.other


def refuses(*arguments: object) -> None:
    raise RuntimeError("not supported on this machine")


def fewer() -> None:
    """Another signature."""


def wrong(*arguments: object) -> torch.Tensor:
    """Another meaning."""
    return torch.zeros(3)


def layers() -> list[nn.Conv2d | nn.Linear]:
    torch.manual_seed(1)
    made: list[nn.Conv2d | nn.Linear] = [
        Conv2d(3, 8, 3, padding=1, relu=True),
        Conv2d(4, 8, 3, stride=2, groups=2),
        Winograd(256, 256, 3, padding=1, relu=True),
        LargeKernel(4, 6, 5, (0.0, 1.0, -1.0, 2.0, -2.0), relu=True),
        Linear(64, 7),
    ]
    nn.init.normal_(made[-2].weight)
    return [layer.requires_grad_(False) for layer in made]


def results(made: list[nn.Conv2d | nn.Linear]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [layer(torch.randn(1, getattr(layer, "in_channels", 3), 70, 64, generator=generator)) for layer in made]


@pytest.mark.parametrize("other", [None, refuses, fewer, wrong], ids=["absent", "refuses", "fewer", "wrong"])
@pytest.mark.parametrize("name", OPERATORS)
def test_without_an_operator(name: str, other: Callable[..., Any] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if not onednn_serves(torch.float32):
        pytest.skip("this machine's torch has no oneDNN")
    wanted = results(layers())
    onednn_as_known.cache_clear()
    monkeypatch.setattr(torch.ops, "mkldnn", Without(name, other))
    assert not onednn_serves(torch.float32)
    made = layers()
    for found, value in zip(results(made), wanted, strict=True):
        torch.testing.assert_close(found, value, rtol=0, atol=1e-5 * float(value.abs().max()))
    assert not any(getattr(layer, "packed", None) for layer in made)


def test_what_onednn_is_used_for() -> None:
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this machine's torch has no oneDNN")
    assert onednn_serves(torch.float32)
    assert not onednn_serves(torch.float64)
    assert not onednn_serves(torch.float16)
    made = layers()
    results(made)
    packed = [list(layer.packed) for layer in made[:-1]]  # type: ignore[union-attr,arg-type]
    assert packed == [["onednn"], ["onednn"], ["tiles of 4"], []]


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("shape", [(40,), (1, 40), (2, 40), (90, 40), (2, 3, 40), (0, 40), (2, 0, 40)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_product_is_that_of_torch(
    bias: bool, shape: tuple[int, ...], parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For rows of any number and any arrangement, also where threads share it out, and for what is not finite."""
    monkeypatch.setattr("netcompile.prelude.linear.part_count", lambda work: parts)
    torch.manual_seed(3)
    layer = Linear(40, 70, bias=bias)
    x = torch.randn(shape)
    if x.numel():
        x.flatten()[:1] = torch.inf
        x.flatten()[-1:] = torch.nan if len(shape) > 1 else 1.0
    wanted = nn.Linear.forward(layer, x)
    assert layer.serves(x) == bool(x.numel()) == onednn_serves(torch.float32) & bool(x.numel())
    torch.testing.assert_close(layer(x), wanted, rtol=1e-5, atol=1e-5, equal_nan=True)
    rows = x[None].transpose(0, 1) if x.dim() > 1 else x  # not contiguous
    torch.testing.assert_close(layer(rows).view_as(wanted), wanted, rtol=1e-5, atol=1e-5, equal_nan=True)


def test_a_product_that_onednn_has_no_part_in() -> None:
    """Another type, a device without numbers, a derivative, autocast, the wrong number of columns."""
    layer, x = Linear(4, 3), torch.randn(2, 4)
    assert not layer.serves(x.double())
    assert layer.double()(x.double()).dtype == torch.float64
    assert layer.to("meta", torch.float32)(x.to("meta")).shape == (2, 3)
    layer = Linear(4, 3)
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        layer(x[:, :3])
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    with torch.enable_grad():
        layer(x).sum().backward()
    torch.testing.assert_close(layer.weight.grad, x.sum(0).expand(3, 4))


def test_kernels_are_laid_out_for_each_size_and_number_of_threads() -> None:
    """Those for another size or number of threads oneDNN takes as well, and computes with them many times as slowly."""
    if not onednn_serves(torch.float32):
        pytest.skip("this machine's torch has no oneDNN")
    layer = Conv2d(64, 128, 3, padding=1).requires_grad_(False)
    layouts = 4 + (1 << 19) // layer.weight.numel()
    for size in (*range(10, 24), 10, 23):
        x = torch.randn(1, 64, size, size)
        plain = nn.functional.conv2d(x, layer.weight, layer.bias, padding=1)
        torch.testing.assert_close(layer(x), plain, rtol=0, atol=1e-4)
    known = layer.packed["onednn"][2]
    assert len(known) == layouts < 14
    assert {shape[-1] for shape, _, _ in known} == {*range(24 - layouts + 1, 24), 10}  # the last ones
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        layer(x)
    finally:
        torch.set_num_threads(threads)
    assert {case[2] for case in known} == {1, max(threads, 2)}
    layer.weight[0, 0, 0, 0] += 1  # then all are void
    layer(x)
    assert [case[0][-1] for case in layer.packed["onednn"][2]] == [23]
    assert layer(x).equal(layer(x))


def test_parts_are_laid_out_for_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netcompile.prelude.convolution.part_count", lambda work: 3)
    layer = Conv2d(8, 16, 3, stride=2, padding=1, relu=True).requires_grad_(False)
    x = torch.randn(2, 8, 19, 17)
    plain = nn.functional.conv2d(x, layer.weight, layer.bias, stride=2, padding=1).relu()
    torch.testing.assert_close(layer(x), plain, rtol=0, atol=1e-5)
    if onednn_serves(torch.float32):
        assert sorted(shape for shape, _, _ in layer.packed["onednn"][2]) == [(1, 8, 11, 17)]


@pytest.mark.parametrize("padding", [0, 1])
def test_a_product_keeps_what_is_not_finite(padding: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights too large for a second copy."""
    monkeypatch.setattr(Conv2d, "large", 1)
    torch.manual_seed(4)
    for value in (float("nan"), float("inf"), -float("inf")):
        for kernel in (1, 3):
            layer = Conv2d(5, 6, kernel, padding=padding, relu=True).requires_grad_(False)
            x = torch.randn(2, 5, 8, 9)
            plain = nn.functional.conv2d(x, layer.weight, layer.bias, padding=padding).relu()
            torch.testing.assert_close(layer(x), plain, rtol=0, atol=1e-5)
            for spoilt in (x[1, 2, 3], layer.weight[4, 1, -1]):
                spoilt[-1] = value
                plain = nn.functional.conv2d(x, layer.weight, layer.bias, padding=padding).relu()
                found = layer(x)
                assert torch.equal(found.isnan(), plain.isnan())
                assert torch.equal(found.isinf(), plain.isinf())
            assert not layer.packed
