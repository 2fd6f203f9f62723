"""Plain, slow oracles: Caffe's C++ written out number by number, sets listed one by one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

from netcompile.algebra import NSet, Size, SizeTooComplex, conv_size, deconv_size, pool_size

Extent = Callable[[int], int | None]
Step = tuple[str, tuple[int, ...]]

NEAR = range(1, 601)
FAR = (1_000, 4_096, 65_537, 999_983, 10**7 + 3, 10**9 + 7)


def caffe_conv(n: int, k: int, s: int, p: int, d: int) -> int:
    kernel_extent = d * (k - 1) + 1
    return math.trunc((n + 2 * p - kernel_extent) / s) + 1


def caffe_pool(n: int, k: int, s: int, p: int, ceil: bool, clip: bool) -> int:
    rounding = math.ceil if ceil else math.floor
    out = rounding((n + 2 * p - k) / s) + 1
    if clip:
        if (out - 1) * s >= n + p:
            out -= 1
        assert out < 1 or (out - 1) * s < n + p  # Caffe's own CHECK_LT
    return out


def caffe_deconv(n: int, k: int, s: int, p: int, d: int) -> int:
    kernel_extent = d * (k - 1) + 1
    return s * (n - 1) + kernel_extent - 2 * p


def step_number(step: Step, n: int) -> int:
    kind, v = step
    if kind == "conv":
        return caffe_conv(n, *v)
    if kind == "deconv":
        return caffe_deconv(n, *v)
    if kind == "pool":
        return caffe_pool(n, v[0], v[1], v[2], bool(v[3]), bool(v[4]))
    return n + v[0]


def step_size(step: Step, n: Size) -> Size:
    kind, v = step
    if kind == "conv":
        return conv_size(n, *v)
    if kind == "deconv":
        return deconv_size(n, *v)
    if kind == "pool":
        return pool_size(n, v[0], v[1], v[2], "CEIL" if v[3] else "FLOOR", bool(v[4]))
    return (n + v[0]).where_positive()


def chain_number(chain: Sequence[Step], n: int | None) -> int | None:
    """What Caffe makes of an input extent; None where it refuses, which later layers inherit."""
    for step in chain:
        if n is None or n < 1:
            return None
        n = step_number(step, n)
    return n if n is not None and n >= 1 else None


def chain_size(chain: Sequence[Step], n: Size) -> Size:
    for step in chain:
        n = step_size(step, n)
    return n


@st.composite
def steps(draw: st.DrawFn, largest: int = 5) -> Step:
    kind = draw(st.sampled_from(["conv", "conv", "pool", "pool", "deconv", "crop"]))
    if kind == "crop":
        return kind, (draw(st.integers(-9, 9)),)
    k, s = draw(st.integers(1, 7)), draw(st.integers(1, largest))
    if kind == "pool":
        p = draw(st.integers(0, k - 1))
        return kind, (k, s, p, draw(st.integers(0, 1)), draw(st.integers(0, 1)))
    return kind, (k, s, draw(st.integers(0, 4)), draw(st.integers(1, 3)))


def chains(largest: int = 4, length: int = 7) -> st.SearchStrategy[list[Step]]:
    return st.lists(steps(largest), min_size=1, max_size=length)


@st.composite
def sizes(draw: st.DrawFn, largest: int = 4, length: int = 5) -> Size:
    """Sizes as nets have them, sums of them (the slack of a crop), with kinks and with holes."""
    variable = Size.variable("H")
    size = chain_size(draw(chains(largest, length)), variable)
    kind = draw(st.sampled_from(["plain", "plain", "sum", "sum", "kink", "holes"]))
    if kind == "sum":
        other = chain_size(draw(chains(2, 3)), variable)
        return size * draw(st.integers(-3, 3)) + other * draw(st.integers(-3, 3))
    if kind == "kink":
        return size.max_with(draw(st.integers(1, 60))) * draw(st.sampled_from([1, -1, 2]))
    if kind == "holes":
        period = draw(st.integers(2, 6))
        return size.restrict(NSet((), 1, period, draw(st.integers(1, (1 << period) - 1))))
    return size


def or_too_complex(make: Callable[[], Size]) -> Size | None:
    try:
        return make()
    except SizeTooComplex:
        return None
