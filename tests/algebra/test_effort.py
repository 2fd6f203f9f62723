"""Within a bound exact sizes end in SizeTooComplex when their steps are spent; outside of it there is none."""

from __future__ import annotations

import pytest

from netcompile.algebra.effort import SizeTooComplex, allow, bounded, spend
from netcompile.algebra.size import Size


def table() -> Size:
    """Two staircases of 97 and 101 pixels: a table of their product."""
    n = Size.variable("n")
    return n // 97 + n // 101


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
        assert (Size.variable("n") // 2 + 1).at(8) == 5  # what has a closed form takes no steps
    table()
