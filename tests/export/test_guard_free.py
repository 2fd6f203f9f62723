"""The guard-free forms compute what the emitted calls do."""

from __future__ import annotations

from itertools import product

import pytest
import torch
import torch.nn.functional as F

from netcompile.export.guard_free import GuardFree

# (kernel, stride, pad), where PyTorch allows the pad
WINDOWS = [
    (kernel, stride, pad)
    for kernel, stride, pad in product((1, 2, 3, (2, 3)), (1, 2, 3, (1, 2)), (0, 1))
    if not pad or kernel != 1
]


@pytest.mark.parametrize(("kernel", "stride", "pad"), WINDOWS)
def test_pooling_that_rounds_up(kernel: int, stride: int, pad: int) -> None:
    window = {"kernel_size": kernel, "stride": stride, "padding": pad, "ceil_mode": True}
    for height, width in ((5, 6), (7, 8), (9, 4)):
        x = torch.randn(2, 3, height, width, dtype=torch.float64) - 3
        wanted = F.max_pool2d(x, **window), F.avg_pool2d(x, **window), F.max_pool2d(x, **window, return_indices=True)
        with GuardFree():
            given = F.max_pool2d(x, **window), F.avg_pool2d(x, **window), F.max_pool2d(x, **window, return_indices=True)
        assert torch.equal(given[0], wanted[0])
        assert torch.allclose(given[1], wanted[1], rtol=1e-14)
        assert torch.equal(given[2][0], wanted[2][0])
        assert torch.equal(given[2][1], wanted[2][1])


def test_pooling_that_rounds_down() -> None:
    x = torch.randn(1, 2, 7, 8)
    with GuardFree():
        given = F.max_pool2d(x, 3, 2, 1), F.avg_pool2d(x, 3, 2, 1), F.avg_pool2d(x, 2), F.max_pool2d(x, 3)
    assert torch.equal(given[0], F.max_pool2d(x, 3, 2, 1))
    assert torch.equal(given[1], F.avg_pool2d(x, 3, 2, 1))
    assert torch.equal(given[2], F.avg_pool2d(x, 2))
    assert torch.equal(given[3], F.max_pool2d(x, 3))


@pytest.mark.parametrize("ceil", [False, True])
def test_a_divisor_becomes_a_factor(ceil: bool) -> None:
    x = torch.randn(1, 2, 6, 7, dtype=torch.float64)
    options = {"stride": 2, "ceil_mode": ceil, "divisor_override": 5}
    with GuardFree():
        given = F.avg_pool2d(x, 3, **options)
    assert torch.allclose(given, F.avg_pool2d(x, 3, **options), rtol=1e-14)


def test_slices_of_plain_numbers_stay_as_they_are() -> None:
    x = torch.arange(24).reshape(2, 3, 4)
    with GuardFree():
        given = x[:, 1:9], x[0], x[..., ::2], x[:, :, 1:3]
    assert [g.tolist() for g in given] == [v.tolist() for v in (x[:, 1:9], x[0], x[..., ::2], x[:, :, 1:3])]


def test_the_remainder_by_a_plain_number_stays_as_it_is() -> None:
    x = torch.tensor([-3, 7])
    with GuardFree():
        assert (x % 4).tolist() == [1, 3]
