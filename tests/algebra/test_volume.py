"""Extents of both axes: their arithmetic is that of their values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcompile.algebra.size import Size, conv_size, deconv_size, pool_size
from netcompile.algebra.volume import UNKNOWN, Volume, product, total

H, W = Size.variable("H"), Size.variable("W")
KINDS = [2, 7, H, W, pool_size(H, 3, 2), conv_size(W, 3, 4, 1), H * 3 + 1]


def value(extent, h, w):
    if isinstance(extent, int):
        return extent
    if isinstance(extent, Size):
        return extent.at(h if extent.name == "H" else w)
    return extent.at({"H": h, "W": w})


extents = st.lists(st.sampled_from(KINDS), min_size=1, max_size=4)


@given(extents, extents, st.integers(3, 60), st.integers(3, 60))
def test_sums_and_products_are_those_of_the_values(a, b, h, w):
    x, y = product(*a), product(*b)
    left, right = value(x, h, w), value(y, h, w)
    assert value(total(x, y), h, w) == left + right
    assert value(product(x, y), h, w) == left * right
    assert product(x, y) == product(y, x)


def test_what_depends_on_less_is_simpler():
    assert product(2, 3) == 6
    assert product(2, H) == H * 2
    assert total(product(H, W), product(H, W) * -1) == 0
    assert product(product(12, H), W) == product(H, product(W, 12)) == product(H, W) * 12


@pytest.mark.parametrize(("by", "left"), [(4, "3·H·W"), (12, "H·W"), (5, "?")])
def test_quotients(by, left):
    assert str(product(12, H, W) // by) == left


def test_the_unknown_proves_nothing():
    assert UNKNOWN * 2 is UNKNOWN
    assert total(UNKNOWN, H) is UNKNOWN
    assert product(H, UNKNOWN) is UNKNOWN
    assert Volume({}) != UNKNOWN
    assert conv_size(product(H, W), 3) is UNKNOWN
    assert pool_size(product(H, W), 3) is UNKNOWN
    assert deconv_size(product(H, W), 3) is UNKNOWN


def test_text():
    assert str(total(product(3, conv_size(H, 1, 2), W), 4)) == "3·⌈H/2⌉·W + 4"
