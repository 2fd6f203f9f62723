"""Within a bound exact sizes end in SizeTooComplex when their steps are spent; outside of it there is none."""

from __future__ import annotations

import pytest
from hypothesis import example, given

from netcompile.algebra.effort import SizeTooComplex, allow, bounded, spend
from netcompile.algebra.size import Size
from netcompile.algebra.volume import Volume
from tests.algebra.oracles import sizes

N = Size.variable("n")


def table() -> Size:
    """Two staircases of 97 and 101 pixels: a table of their product."""
    return N // 97 + N // 101


def test_without_a_bound() -> None:
    allow(1)
    spend(10**9)
    assert table().at(9797) == 101 + 97


def test_steps_are_spent() -> None:
    with bounded(25_000):
        table()
        table()
        with pytest.raises(SizeTooComplex):
            table()
        allow(10_000)
        table()
        assert (N // 2 + 1).at(8) == 5  # what has a closed form takes no steps
    table()


@given(sizes())
@example(table())
@example(N.ceil_div(16) - N.ceil_div(32) * 2)
def test_sizes_are_written_without_steps(size: Size) -> None:
    """A message about a size that is too complex can say which one it is."""
    allowed = size.where_defined()
    with bounded(0):
        written = [str(size), repr(size), size.formula(), size.python(), str(Volume({frozenset({(size, 1)}): 2}))]
        written += [allowed.describe("H"), str(allowed.to_json())]
    assert all(written)
