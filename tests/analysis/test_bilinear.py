"""Whether a kernel can be bilinear, against upsampling a constant and a ramp by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from netcompile.analysis.bilinear import Kernel, bilinear, exact_kernel


def upsample(taps: np.ndarray, factor: int, x: np.ndarray) -> np.ndarray:
    y = np.zeros(factor * (len(x) - 1) + len(taps))
    for index, value in enumerate(x):
        y[factor * index : factor * index + len(taps)] += value * taps
    return y


@pytest.mark.parametrize("factor", range(1, 40))
def test_the_exact_kernel_is_exact(factor):
    kernel = Kernel(exact_kernel(factor), factor)
    assert kernel.exact
    assert kernel.gain() == (1, 1)
    assert kernel.shift() == 0
    taps = np.array([float(tap) for tap in kernel.filler()])
    inside = slice(2 * factor, -2 * factor)
    np.testing.assert_allclose(upsample(taps, factor, np.ones(12))[inside], 1)
    ramp = upsample(taps, factor, np.arange(12.0))[inside]
    np.testing.assert_allclose(np.diff(ramp), 1 / factor)


@pytest.mark.parametrize("factor", range(2, 33))
@pytest.mark.parametrize("change", [-3, -2, -1, 1, 2, 3])
def test_other_kernels_are_told_by_their_gain(factor, change):
    size = exact_kernel(factor) + change
    if size < 1:
        return
    kernel = Kernel(size, factor)
    assert not kernel.exact
    taps = np.array([float(tap) for tap in kernel.filler()])
    flat = upsample(taps, factor, np.ones(16))[3 * factor : -3 * factor]
    low, high = kernel.gain()
    assert (flat.min(), flat.max()) == pytest.approx((float(low), float(high)))
    tip = max(range(size), key=lambda i: (taps[i], taps[i + 1] if i + 1 < size else 0))
    tie = tip + 1 < size and taps[tip] == taps[tip + 1]
    assert kernel.shift() == Fraction(2 * tip + tie, 2) - Fraction(size - 1, 2)


def test_the_alexnet_kernel_needs_its_own_filler():
    kernel = Kernel(63, 32)
    assert kernel.centred
    assert kernel.shift() == Fraction(1, 2)
    assert kernel.gain() == (Fraction(63, 64), 1)
    triangle = 1 - np.abs(np.arange(63) - 31) / 32  # around the middle tap
    flat = upsample(triangle, 32, np.ones(9))[96:-96]
    np.testing.assert_allclose(flat, 1)


@pytest.mark.parametrize(
    ("size", "factor", "text"),
    [
        (4, 2, "kernel 4 = 2·2 − 2 mod 2: exactly bilinear for stride 2"),
        (5, 3, "kernel 5 = 2·3 − 3 mod 2: exactly bilinear for stride 3"),
        (2, 2, "kernel 2, not 2·2 − 2 mod 2 = 4: not bilinear, every pixel becomes a block of its own"),
        (
            8,
            2,
            "kernel 8, not 2·2 − 2 mod 2 = 4: "
            "not bilinear for stride 2 (the weights of Caffe 1.0's filler sum to 2, not 1)",
        ),
        (
            6,
            3,
            "kernel 6, not 2·3 − 3 mod 2 = 5: bilinear, but Caffe 1.0's filler has its tip 1/2 pixel off the middle",
        ),
        (
            3,
            2,
            "kernel 3, not 2·2 − 2 mod 2 = 4: "
            "bilinear with the triangle around its middle tap, not with Caffe 1.0's filler",
        ),
    ],
)
def test_in_words(size, factor, text):
    assert str(Kernel(size, factor)) == text


@pytest.mark.parametrize("size", range(1, 70))
def test_the_fillers_of_both_versions_agree_on_exact_kernels(size):
    """Caffe 1.0 has the tip elsewhere than today's Caffe, but for kernels of 2f - f mod 2 (BVLC/caffe pull 5713)."""
    old, today = [float(tap) for tap in Kernel(size, 1).filler()], bilinear(size, 1)[:, 0]
    exact = size in {exact_kernel(factor) for factor in range(1, 40)}
    assert np.allclose(old, today) == exact


def test_the_fillers_by_the_numbers_that_the_pull_request_gives():
    assert [float(tap) for tap in Kernel(3, 2).filler()] == [0.25, 0.75, 0.75]
    assert bilinear(3)[1].tolist() == [0.5, 1, 0.5]
