"""The algebra of windows, held against counting pixel by pixel."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netcompile.algebra.size import Size
from netcompile.layers.traits import Reach
from netcompile.passes.windows import Span, always, backward, common, forward, hull, inside, larger, smaller

reaches = st.builds(
    Reach,
    extent=st.integers(1, 9),
    stride=st.integers(1, 4),
    pad=st.integers(0, 5),
    transposed=st.just(False),
)
spans = st.tuples(st.integers(-8, 8), st.integers(1, 12)).map(lambda t: (t[0], t[0] + t[1]))


def seen(pixel: int, r: Reach) -> range:
    """The bottom's pixels that a pixel of a convolution's top sees."""
    return range(r.stride * pixel - r.pad, r.stride * pixel - r.pad + r.extent)


@given(reaches, spans)
def test_forward_finds_every_pixel_that_sees_the_span(reach: Reach, span: tuple[int, int]) -> None:
    found = forward(Span(*span), reach)
    touched = [i for i in range(-60, 60) if not set(range(*span)).isdisjoint(seen(i, reach))]
    for i in touched:
        assert found.lo <= i < at(found.hi)
    if touched:
        assert (found.lo, found.hi) == (touched[0], touched[-1] + 1)


@given(reaches, spans)
def test_backward_is_what_the_span_sees(reach: Reach, span: tuple[int, int]) -> None:
    found = backward(Span(*span), reach)
    pixels = [p for i in range(*span) for p in seen(i, reach)]
    assert (found.lo, found.hi) == (min(pixels), max(pixels) + 1)


@given(reaches, spans)
def test_a_transposed_layer_swaps_the_two(reach: Reach, span: tuple[int, int]) -> None:
    turned = Reach(reach.extent, reach.stride, reach.pad, transposed=True)
    assert forward(Span(*span), turned) == backward(Span(*span), reach)
    assert backward(Span(*span), turned) == forward(Span(*span), reach)


@given(reaches, spans)
def test_inside_sees_nothing_else(reach: Reach, span: tuple[int, int]) -> None:
    lo, hi = inside(*span, reach)
    within = [i for i in range(-60, 60) if span[0] <= seen(i, reach)[0] and seen(i, reach)[-1] < span[1]]
    assert list(range(lo, hi)) == within


def test_ends_that_depend_on_the_size() -> None:
    n = Size.variable("H")
    assert smaller(n + 3, n) == n
    assert larger(n // 2, n) == n
    assert smaller(2, 5) == 2
    crossing = smaller(n, 7)
    assert [at(crossing, m) for m in (1, 7, 9)] == [1, 7, 7]
    assert always(n + 1, n)
    assert not always(n, 4)
    assert hull(Span(2, n), Span(1, n - 1)) == Span(1, n)
    assert common(Span(-3, n + 9), Span(0, n + 4)) == Span(0, n + 4)


def at(dim: int | Size, n: int = 1) -> int:
    value = dim if isinstance(dim, int) else dim.at(n)
    assert value is not None
    return value
