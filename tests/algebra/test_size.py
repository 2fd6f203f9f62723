"""Sizes against Caffe's C++ evaluated number by number, and every answer for all n against brute force."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from netcompile.algebra import NSet, Size, SizeTooComplex, conv_size, crop_slack, deconv_size, pool_size
from tests.algebra.oracles import (
    FAR,
    NEAR,
    Step,
    caffe_conv,
    caffe_deconv,
    caffe_pool,
    chain_number,
    chain_size,
    chains,
    or_too_complex,
    sizes,
)

H = Size.variable("H")


def values(size: Size, numbers: range = NEAR) -> dict[int, int]:
    """The defined values by brute force."""
    listed = {n: size.at(n) for n in numbers}
    return {n: value for n, value in listed.items() if value is not None}


def where(these: NSet, numbers: range = NEAR) -> set[int]:
    return {n for n in numbers if n in these}


# Caffe's rules


@given(st.integers(1, 300), st.integers(1, 9), st.integers(1, 6), st.integers(0, 20), st.integers(1, 4))
def test_int_rules_are_caffes(n: int, k: int, s: int, p: int, d: int) -> None:
    assert conv_size(n, k, s, p, d) == caffe_conv(n, k, s, p, d)
    assert deconv_size(n, k, s, p, d) == caffe_deconv(n, k, s, p, d)


def test_pooling_is_rounding_down_after_adding_t() -> None:
    # ceil with clip is floor((n+2p-k+t)/s)+1 with t = min(s-1, k-p-1): all small cases
    for n in range(1, 30):
        for k in range(1, 8):
            for s in range(1, 8):
                for p in range(k):
                    for clip in (False, True):
                        assert pool_size(n, k, s, p, clip=clip) == caffe_pool(n, k, s, p, True, clip)
                        assert pool_size(n, k, s, p, "FLOOR", clip) == caffe_pool(n, k, s, p, False, clip)


RULES = [
    # C++ divides toward zero: one pixel is too few for a 3 × 3 window, and still gives one output
    (conv_size(2, 3, 2), 1),
    (conv_size(1, 3, 2), 0),
    (conv_size(1, 5, 2), -1),
    (conv_size(224, 7, 2, 3), 112),
    (conv_size(7, 3, 1, 2, 2), 7),
    (pool_size(112, 3, 2), 56),
    (pool_size(112, 3, 2, round_mode="FLOOR"), 55),
    (pool_size(5, 3, 2, 1), 3),
    (pool_size(4, 2, 2, 1), 3),
    (pool_size(3, 2, 3, 1), 2),
    (pool_size(4, 1, 3), 2),
    (pool_size(3, 1, 3, clip=True), 1),  # the other axis has padding: this one is clipped as well
    (pool_size(3, 1, 3), 2),  # no padding, no clip: a window beyond the input
    (deconv_size(16, 64, 32), 544),
    (deconv_size(1, 2, 1, 2), -2),
    (crop_slack(544, 500, 19), 25),
]


@pytest.mark.parametrize(("result", "expected"), RULES)
def test_rules_in_numbers(result: int, expected: int) -> None:
    assert result == expected


def test_pooling_refuses_what_caffe_refuses() -> None:
    with pytest.raises(ValueError, match="pad 2 must be less than kernel 2"):
        pool_size(10, 2, 1, 2)
    with pytest.raises(ValueError, match="unknown round mode 'ROUND'"):
        pool_size(10, 2, round_mode="ROUND")


# chains of layers


@settings(max_examples=200)
@given(chains())
def test_a_chain_of_layers_for_every_n(chain: list[Step]) -> None:
    size = chain_size(chain, H)
    for n in (*NEAR, *FAR):
        assert size.at(n) == chain_number(chain, n)


@settings(max_examples=60)
@given(chains(length=12), st.integers(10**9, 10**14))
def test_a_long_chain_far_out(chain: list[Step], n: int) -> None:
    size = or_too_complex(lambda: chain_size(chain, H))
    assume(size is not None)
    assert size is not None
    assert size.at(n) == _exact(chain, n)


def _exact(chain: list[Step], n: int) -> int | None:
    """The int rules, which are exact where the oracle's floats are not."""
    for kind, v in chain:
        if kind == "conv":
            n = conv_size(n, *v)
        elif kind == "deconv":
            n = deconv_size(n, *v)
        elif kind == "pool":
            n = pool_size(n, v[0], v[1], v[2], "CEIL" if v[3] else "FLOOR", bool(v[4]))
        else:
            n += v[0]
        if n < 1:
            return None
    return n


@given(chains(), st.integers(1, 300))
def test_a_chain_on_a_constant_is_a_constant(chain: list[Step], n: int) -> None:
    size = chain_size(chain, Size.constant(n))
    assert size.as_int() == chain_number(chain, n)
    assert size == (Size.undefined() if size.as_int() is None else size.as_int())


@given(chains())
def test_size_is_a_value(chain: list[Step]) -> None:
    a, b = chain_size(chain, H), chain_size(chain, H)
    assert a == b
    assert hash(a) == hash(b)
    if a.name:
        assert a != chain_size(chain, Size.variable("W"))
        assert a != a + 1


@given(sizes(length=3), sizes(length=3))
def test_equality_is_equality_of_functions(a: Size, b: Size) -> None:
    same = all(a.at(n) == b.at(n) for n in (*NEAR, *FAR))
    assert (a == b) == same
    assert a + b - b == a.restrict(b.where_defined(), "H")
    if same:
        assert hash(a) == hash(b)


WAYS = [
    ("floor of floor", (H // 2) // 3, H // 6),
    ("ceil of ceil", H.ceil_div(2).ceil_div(3), H.ceil_div(6)),
    ("ceil as floor", H.ceil_div(4), (H + 3) // 4),
    ("both halves", H // 2 + H.ceil_div(2), H),
    ("half away", H - H // 2, H.ceil_div(2)),
    ("three thirds", H // 3 + (H + 1) // 3 + (H + 2) // 3, H),
    ("a table that is none", (H * 3) // 2 - H, H // 2),
    ("negated", -(-H // 2), H.ceil_div(2)),
    ("max with itself", (H // 2).max_with(H // 2), H // 2),
    ("max decided", (H + 1).max_with(H), H + 1),
    ("a constant", H - H + 7, Size.constant(7)),
    ("even and odd", H.restrict(NSet.congruent(0, 2)) + H.restrict(NSet.congruent(1, 2)), Size.undefined()),
    (
        "even, and odd but for 1",
        H.restrict(NSet.congruent(0, 2)) + (H // 2).max_with(1).restrict(NSet.congruent(1, 2)),
        Size.undefined(),
    ),
    ("cut at 1", H.restrict(NSet.between(1)), H),
]


@pytest.mark.parametrize(("a", "b"), [way[1:] for way in WAYS], ids=[way[0] for way in WAYS])
def test_one_function_is_one_value(a: Size, b: Size) -> None:
    assert a == b
    assert hash(a) == hash(b)
    assert str(a) == str(b)


# arithmetic and answers for all n


@settings(max_examples=100)
@given(sizes(), st.integers(-40, 40), st.integers(1, 9))
def test_arithmetic_with_ints(a: Size, c: int, s: int) -> None:
    made = {
        "+": (a + c, lambda v: v + c),
        "r+": (c + a, lambda v: c + v),
        "-": (a - c, lambda v: v - c),
        "r-": (c - a, lambda v: c - v),
        "*": (a * c, lambda v: v * c),
        "//": (a // s, lambda v: v // s),
        "ceil": (a.ceil_div(s), lambda v: -(-v // s)),
        "trunc": (a.truncating_div(s), lambda v: abs(v) // s * (1 if v >= 0 else -1)),
        "min": (a.min_with(c), lambda v: min(v, c)),
        "max": (a.max_with(c), lambda v: max(v, c)),
    }
    plain = values(a)
    for name, (size, op) in made.items():
        assert values(size) == {n: op(v) for n, v in plain.items()}, name


@settings(max_examples=100)
@given(sizes(length=3), sizes(length=3))
def test_arithmetic_of_two(a: Size, b: Size) -> None:
    x, y = values(a), values(b)
    both = x.keys() & y.keys()
    assert values(a + b) == {n: x[n] + y[n] for n in both}
    assert values(a - b) == {n: x[n] - y[n] for n in both}
    assert values(a.min_with(b)) == {n: min(x[n], y[n]) for n in both}
    assert values(a.max_with(b)) == {n: max(x[n], y[n]) for n in both}


@settings(max_examples=150)
@given(sizes(length=3), sizes(length=3), st.integers(-2, 2))
def test_comparisons_hold_exactly_where_they_say(a: Size, b: Size, near: int) -> None:
    for other in (b, a + near, a * 2 - b):
        x, y = values(a), values(other)
        both = x.keys() & y.keys()
        assert where(a.where_at_least(other)) == {n for n in both if x[n] >= y[n]}
        assert where(a.where_at_most(other)) == {n for n in both if x[n] <= y[n]}
        assert where(a.where_equal(other)) == {n for n in both if x[n] == y[n]}
        for n in FAR:
            p, q = a.at(n), other.at(n)
            assert (n in a.where_at_least(other)) == (p is not None and q is not None and p >= q)
            assert (n in a.where_equal(other)) == (p is not None and p == q)


@settings(max_examples=100)
@given(sizes(), st.integers(-30, 90))
def test_comparisons_with_a_number(a: Size, bound: int) -> None:
    plain = values(a)
    assert where(a.where_defined()) == set(plain)
    assert where(a.where_at_least(bound)) == {n for n, v in plain.items() if v >= bound}
    assert where(a.where_at_most(bound)) == {n for n, v in plain.items() if v <= bound}
    assert where(a.fibre(bound)) == {n for n, v in plain.items() if v == bound}
    assert values(a.where_positive()) == {n: v for n, v in plain.items() if v >= 1}
    assert values(a.restrict(a.where_at_least(bound))) == {n: v for n, v in plain.items() if v >= bound}


@settings(max_examples=150)
@given(sizes(largest=3, length=3))
def test_extremes_and_collapse(a: Size) -> None:
    plain = values(a, range(1, 3000))
    start, body = a.pieces[-1]
    assume(start + 20 * body.period < 3000)
    if a.minimum() is None:
        assert not plain or body.rise < 0
    else:
        assert a.minimum() == min(plain.values())
    if a.maximum() is None:
        assert not plain or body.rise > 0
    else:
        assert a.maximum() == max(plain.values())
    early = [value for n, value in plain.items() if n < start]
    late = [value for n, value in plain.items() if n >= 3000 - body.period]
    if early and late and body.rise:  # brute force must see every value of the early pieces come again
        assume(min(late) > max(early) if body.rise > 0 else max(late) < min(early))
    most = max(Counter(plain.values()).values(), default=0)
    if a.largest_fibre() is None:
        assert most > 5
    else:
        assert a.largest_fibre() == most


def test_a_choice_that_is_periodic_before_its_sizes_are() -> None:
    # half <= kinked holds for even H from H = 18 on, though kinked is flat up to H = 19
    half, kinked = H.ceil_div(2), (H // 2).max_with(9)
    assert half.where_at_most(kinked).start < 20
    low = half.min_with(kinked)
    assert values(low) == {n: min(-(-n // 2), max(n // 2, 9)) for n in NEAR}


def test_the_three_ways_a_difference_can_go() -> None:
    half, ceil = H // 2, H.ceil_div(2)
    # it stays: periodic
    assert ceil.where_equal(half).describe("H") == "H ≡ 0 (mod 2)"
    assert ceil.where_at_least(half).is_all
    # it grows: all but some
    assert (H - half).where_at_least(5).describe("H") == "every H >= 9"
    # it falls: some at most
    assert (half + 3).where_at_least(H).describe("H") == "only H = 1 to 6"
    assert (half + 3).where_equal(H).describe("H") == "only H = 5, 6"
    assert (H + 1).where_equal(H).describe("H") == "no H"


def test_a_unet_tells_its_sizes() -> None:
    def unet(n: Size, depth: int) -> Size:
        skips = []
        for _ in range(depth):
            skips.append(n)
            n = pool_size(n, 2, 2)
        for skip in reversed(skips):
            n = deconv_size(n, 2, 2)
            n = n.restrict(n.where_equal(skip))  # Concat demands equal extents
        return n

    out = unet(H, 4)
    assert str(out) == "H (H ≡ 0 (mod 16))"
    assert out.where_defined() == NSet.congruent(0, 16)
    assert out.where_equal(H) == NSet.congruent(0, 16)


def test_collapse_of_a_pooling() -> None:
    pool5 = (H + 198).ceil_div(32)
    assert pool5.fibre(8).describe("H") == "only H = 27 to 58"
    assert pool5.largest_fibre() == 32
    assert pool5.fibre(7).count() == 26  # the first group is cut off at H = 1
    assert H.largest_fibre() == 1
    assert deconv_size(H, 4, 2).largest_fibre() == 1
    assert Size.constant(3).largest_fibre() is None
    assert Size.undefined().largest_fibre() == 0


def test_too_small_for_a_strided_window() -> None:
    size = conv_size(conv_size(H, 3, 2), 3, 2)
    assert str(size) == "⌊(H-3)/4⌋ (H >= 7), 1 (H = 5 to 6)"
    assert size.where_defined().describe("H") == "every H >= 5"


def test_long_nets_stay_small() -> None:
    size = H
    for _ in range(2500):
        size = deconv_size(conv_size(conv_size(size, 3, 2), 3, 1, 1), 4, 2)
        size = pool_size(size, 3, 1, 1)
    assert len(size.pieces) <= 3
    assert all(size.at(n) == value for n, value in {1: None, 2: 4, 3: 4, 4: 4, 5: 6, 600: 600}.items())


def test_what_cannot_be_combined() -> None:
    with pytest.raises(ValueError, match="sizes of two axes meet: H and W"):
        H + Size.variable("W")
    with pytest.raises(ValueError, match="divisor must be positive, not 0"):
        H // 0
    assert H + Size.constant(3) == H + 3
    assert Size.constant(3) + H == H + 3
    assert (Size.variable("W") * 0 + 2) == Size.constant(2)
    assert H.at(0) is None
    assert str(Size.constant(5).restrict(NSet.between(2), "W")) == "5 (W >= 2)"
    assert str(Size.constant(5).restrict(NSet.between(2))) == "5 (n >= 2)"
    assert H != "H"


def test_too_complex_is_said_not_guessed() -> None:
    with pytest.raises(SizeTooComplex, match="a size with period"):
        H // 509 + H // 521
    with pytest.raises(SizeTooComplex, match="a comparison of sizes with period 65537"):
        (H // 65537 * 65537 - H).where_at_least(-3)
    # but far staircases alone are no trouble
    deep = H
    for _ in range(40):
        deep = conv_size(deep, 3, 2, 1)
    assert str(deep) == f"⌈H/{2**40}⌉"
    assert deep.where_at_least(2).describe("H") == f"every H >= {2**40 + 1}"
    assert (H // 65537 * 65537 - H).minimum() == -65536
