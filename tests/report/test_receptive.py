"""Receptive fields against brute force: follow every pixel back through the windows, one by one."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcompile.analysis.receptive import ONE, join, through
from netcompile.layers.traits import Reach


@st.composite
def reaches(draw):
    extent = draw(st.integers(1, 7))
    return Reach(extent, draw(st.integers(1, 3)), draw(st.integers(0, 5)), draw(st.booleans()))


def seen(chain, pixel):
    """The input pixels that `pixel` of the last top can see: lowest and highest, or None."""
    pixels = {pixel}
    for reach in reversed(chain):
        if reach.transposed:
            pixels = {
                j
                for i in pixels
                for j in range((i + reach.pad - reach.extent) // reach.stride, (i + reach.pad) // reach.stride + 1)
                if 0 <= i + reach.pad - reach.stride * j < reach.extent
            }
        else:
            pixels = {reach.stride * i - reach.pad + k for i in pixels for k in range(reach.extent)}
    return (min(pixels), max(pixels)) if pixels else None


def sight_of(chain):
    sight = ONE
    for reach in chain:
        sight = through(sight, reach)
        assert sight is not None
    return sight


@given(st.lists(reaches(), max_size=4), st.integers(-9, 9))
def test_chains(chain, pixel):
    expected = seen(chain, pixel)
    sight = sight_of(chain)
    if expected is not None and all(r.extent >= r.stride for r in chain):
        assert (sight.lo(pixel), sight.hi(pixel)) == expected
    elif expected is not None:  # gaps: the hull may be wider than what is seen
        assert sight.lo(pixel) <= expected[0]
        assert sight.hi(pixel) >= expected[1]


@given(st.lists(reaches(), max_size=3))
def test_stride_and_size(chain):
    sight = sight_of(chain)
    stride = Fraction(1)
    for reach in chain:
        stride *= Fraction(1, reach.stride) if reach.transposed else reach.stride
    assert sight.stride == stride
    kinds = range(len(sight.ends))
    assert sight.size == max(sight.hi(i) - sight.lo(i) + 1 for i in kinds)


@given(st.lists(reaches(), max_size=3), st.integers(-9, 9))
def test_the_centre_is_that_of_the_coordinates(chain, pixel):
    """Where windows leave no gaps, and come in one kind, the field is centred where the coordinate map points."""
    sight = sight_of(chain)
    if len(sight.ends) > 1 or any(r.transposed for r in chain):
        return
    stride, offset = Fraction(1), Fraction(0)
    for reach in chain:
        offset += stride * (Fraction(reach.extent - 1, 2) - reach.pad)
        stride *= reach.stride
    assert sight.centre + sight.stride * pixel == offset + stride * pixel
    assert Fraction(sight.lo(pixel) + sight.hi(pixel), 2) == sight.centre + sight.stride * pixel


def test_join_takes_the_hull():
    a, b = through(ONE, Reach(3, 1, 1)), through(ONE, Reach(7, 1, 2))
    both = join(a, b)
    assert (both.lo(0), both.hi(0)) == (-2, 4)
    assert join(a, through(ONE, Reach(2, 2))) is None


def test_up_and_down_is_back_at_period_one():
    up = through(ONE, Reach(4, 2, 1, transposed=True))
    assert len(up.ends) == 2
    down = through(up, Reach(2, 2, 0))
    assert len(down.ends) == 1
    assert down.stride == 1


@pytest.mark.parametrize("stride", [2, 40])
def test_too_many_kinds_of_pixels_are_given_up(stride):
    sight = ONE
    for _ in range(12):
        sight = through(sight, Reach(stride, stride, 0, transposed=True)) if sight is not None else None
    assert sight is None
