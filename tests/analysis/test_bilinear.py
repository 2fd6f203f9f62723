"""Whether a kernel can be bilinear, against upsampling a constant and a ramp by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from netcompile.analysis.bilinear import Kernel, exact_kernel


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
            "not bilinear for stride 2 (the weights of Caffe's filler sum to 2, not 1)",
        ),
        (
            3,
            2,
            "kernel 3, not 2·2 − 2 mod 2 = 4: "
            "bilinear with the triangle around its middle tap, not with Caffe's filler",
        ),
    ],
)
def test_in_words(size, factor, text):
    assert str(Kernel(size, factor)) == text
