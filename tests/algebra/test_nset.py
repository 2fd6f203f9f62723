"""Sets of sizes against plain Python sets."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcompile.algebra import NSet, SizeTooComplex

UP_TO = 400
Plain = tuple[NSet, set[int]]


@st.composite
def nsets(draw: st.DrawFn) -> Plain:
    """A set in a form that need not be canonical, and its members below UP_TO."""
    start = draw(st.integers(1, 40))
    period = draw(st.integers(1, 12))
    mask = draw(st.integers(0, (1 << period) - 1))
    runs = draw(st.lists(st.tuples(st.integers(-3, 50), st.integers(-3, 50)), max_size=4))
    early = {n for lo, hi in runs for n in range(lo, hi) if 1 <= n < start}
    late = {n for n in range(start, UP_TO) if mask >> n % period & 1}
    return NSet(runs, start, period, mask), early | late


def members(these: NSet) -> set[int]:
    return {n for n in range(-3, UP_TO) if n in these}


@given(nsets())
def test_membership_and_listing(case: Plain) -> None:
    these, plain = case
    assert members(these) == plain
    assert list(these.members(30)) == sorted(plain)[:30]
    assert list(these.exceptions(30)) == [n for n in range(1, UP_TO) if n not in plain][:30]
    assert these.first() == min(plain, default=None)
    assert {n for lo, hi in these.runs_below(200) for n in range(lo, hi)} == {n for n in plain if n < 200}


@given(nsets(), nsets())
def test_set_algebra(a: Plain, b: Plain) -> None:
    everything = set(range(1, UP_TO))
    assert members(a[0] & b[0]) == a[1] & b[1]
    assert members(a[0] | b[0]) == a[1] | b[1]
    assert members(a[0] - b[0]) == a[1] - b[1]
    assert members(a[0] ^ b[0]) == a[1] ^ b[1]
    assert members(~a[0]) == everything - a[1]
    assert (a[0] <= b[0]) == (a[1] <= b[1])


@given(nsets(), nsets())
def test_equal_sets_are_equal_values(a: Plain, b: Plain) -> None:
    # periods up to 12 from 40 on: the first 400 numbers decide
    assert (a[0] == b[0]) == (a[1] == b[1])
    assert ~~a[0] == a[0]
    assert hash((a[0] | b[0]) - (b[0] - a[0])) == hash(a[0])
    assert (a[0] | ~a[0]).is_all
    assert (a[0] & ~a[0]).is_empty


@given(nsets())
def test_what_holds_from_where(case: Plain) -> None:
    these, plain = case
    tail = set(range(60, UP_TO))
    assert these.is_finite == (not plain & tail)
    assert these.is_cofinite == (tail <= plain)
    assert these.count() == (len(plain) if these.is_finite else None)
    assert these.last() == (max(plain, default=None) if these.is_finite else None)
    missing = [n for n in range(1, UP_TO) if n not in plain]
    assert these.holds_from() == (max(missing, default=0) + 1 if these.is_cofinite else None)


@given(nsets())
def test_canonical_form_is_the_least(case: Plain) -> None:
    these, _ = case
    for period in range(1, these.period):
        assert not all((n in these) == (n + period in these) for n in range(these.start, these.start + 200))
    if these.start > 1:
        before = these.start - 1
        assert (before in these) != (before + these.period in these)


WORDS: list[tuple[NSet, str]] = [
    (NSet.all(), "every H >= 1"),
    (NSet.none(), "no H"),
    (NSet.between(7), "every H >= 7"),
    (~NSet.of([3, 5]), "all but H = 3, 5"),
    (NSet.congruent(0, 32), "H ≡ 0 (mod 32)"),
    (NSet.congruent(7, 32), "H ≡ 7 (mod 32)"),
    (NSet.congruent(0, 32) & NSet.between(64), "H ≡ 0 (mod 32), H >= 64"),
    (NSet.congruent(0, 32) | NSet.of([3, 5]), "H = 3, 5 and H ≡ 0 (mod 32)"),
    (NSet.congruent(0, 2) | NSet.of([9]), "H = 2, 4, 6, 8, 9 and H ≡ 0 (mod 2), H >= 10"),
    (~NSet.congruent(0, 32), "H ≢ 0 (mod 32)"),
    (NSet.congruent(1, 4) | NSet.congruent(2, 4), "H ≡ 1, 2 (mod 4)"),
    (NSet.of([224]), "only H = 224"),
    (NSet.between(3, 40), "only H = 3 to 40"),
    (NSet.of([5]) | NSet.between(9), "H = 5 and every H >= 9"),
    (NSet.of([5, 6]) | NSet.between(8, 90) | NSet.between(100), "all but H = 1 to 4, 7, 91 to 99"),
    (NSet.of(range(1, 40, 2)), "only H = 1, 3, 5, 7, 9, 11, 13, …, 39"),
]


@pytest.mark.parametrize(("these", "words"), WORDS, ids=[words for _, words in WORDS])
def test_words(these: NSet, words: str) -> None:
    assert these.describe("H") == words


JSON: list[tuple[NSet, dict[str, object]]] = [
    (NSet.all(), {"always": True, "from": 1, "invalid": []}),
    (NSet.between(4), {"always": False, "from": 4, "invalid": [1, 2, 3]}),
    (~NSet.of([3, 5]), {"always": False, "from": 6, "invalid": [3, 5]}),
    (NSet.congruent(0, 2), {"always": False, "from": None, "invalid": [1, 3, 5, 7]}),
    (NSet.none(), {"always": False, "from": None, "invalid": [1, 2, 3, 4]}),
]


@pytest.mark.parametrize(("these", "expected"), JSON)
def test_json(these: NSet, expected: dict[str, object]) -> None:
    assert these.to_json(limit=4) == expected


@pytest.mark.parametrize(
    "make",
    [
        lambda: NSet.congruent(1, (1 << 20) + 1),
        lambda: NSet.congruent(1, 1021) & NSet.congruent(1, 1031),
    ],
)
def test_too_long_a_period_is_said_not_guessed(make: Callable[[], NSet]) -> None:
    with pytest.raises(SizeTooComplex, match="a set of sizes with period"):
        make()


def test_far_members_need_no_listing() -> None:
    far = NSet.between(10**15, 10**16) | NSet.between(10**18)
    assert 10**15 in far
    assert 10**17 not in far
    assert far.holds_from() == 10**18
    assert far.describe() == f"n = {10**15} to {10**16} and every n >= {10**18}"
    assert repr(NSet.all()) == "<NSet every n >= 1>"
    assert NSet.all() != "every n"
