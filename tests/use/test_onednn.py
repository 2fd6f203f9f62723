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


def layers() -> list[nn.Conv2d]:
    torch.manual_seed(1)
    made: list[nn.Conv2d] = [
        Conv2d(3, 8, 3, padding=1, relu=True),
        Conv2d(4, 8, 3, stride=2, groups=2),
        Winograd(128, 128, 3, padding=1, relu=True),
        LargeKernel(4, 6, 5, (0.0, 1.0, -1.0, 2.0, -2.0), relu=True),
    ]
    nn.init.normal_(made[-1].weight)
    return [layer.requires_grad_(False) for layer in made]


def results(made: list[nn.Conv2d]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [layer(torch.randn(1, layer.in_channels, 70, 64, generator=generator)) for layer in made]


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
    assert [list(layer.packed) for layer in made] == [["onednn"], ["onednn"], ["tiles of 4"], []]  # type: ignore[union-attr,arg-type]


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
