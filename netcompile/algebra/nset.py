"""Exact sets of sizes: subsets of {1, 2, 3, …} that are periodic from some point on.

"For which H is this net valid?" has such a set as its answer, because every size is an eventually
quasi-affine function of H (see `size`). Sets are canonical, so `==` is equality of sets.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, pairwise
from math import lcm

from netcompile.algebra.effort import SizeTooComplex as SizeTooComplex
from netcompile.algebra.effort import spend, unbounded
from netcompile.algebra.residues import full, minimal_period, periodic_runs, repeat, shift_runs

MODULUS_CAP = 1 << 20
LISTED = 8  # in words at most so many numbers or ranges, then "…"

Runs = tuple[tuple[int, int], ...]
"""Disjoint, sorted, non-adjacent half-open intervals."""


class AxesMeet(SizeTooComplex, ValueError):
    """Sizes of two axes meet in one operation, whose answer depends on the height and the width at once."""


class NSet:
    """An eventually periodic set of positive integers.

    For n < start, n is a member when one of the runs holds it; for n >= start, when bit ``n % period``
    of the mask is set. Immutable; `start` and `period` are the least possible ones.
    """

    __slots__ = ("mask", "period", "runs", "start")

    runs: Runs
    start: int
    period: int
    mask: int

    def __init__(self, runs: Iterable[tuple[int, int]], start: int, period: int, mask: int) -> None:
        """The set in any form, canonical or not; raises `SizeTooComplex` above a period of 2**20."""
        if period > MODULUS_CAP:
            raise SizeTooComplex(f"a set of sizes with period {period}")
        if period == 1 and runs == ():
            self.runs, self.start, self.period, self.mask = (), max(start, 1) if mask else 1, 1, mask
            return
        period, mask = minimal_period(period, mask)
        clipped = _merge((max(lo, 1), min(hi, start)) for lo, hi in runs)
        self.runs, self.start = _least_start(clipped, max(start, 1), period, mask)
        self.period, self.mask = period, mask

    @staticmethod
    def all() -> NSet:
        """Every n >= 1."""
        return _ALL

    @staticmethod
    def none() -> NSet:
        """No n."""
        return _NONE

    @staticmethod
    def of(values: Iterable[int]) -> NSet:
        """Just these n; values below 1 are dropped."""
        wanted = sorted({v for v in values if v >= 1})
        return NSet(((v, v + 1) for v in wanted), wanted[-1] + 1 if wanted else 1, 1, 0)

    @staticmethod
    def between(first: int, last: int | None = None) -> NSet:
        """first <= n <= last; without `last`, every n >= first."""
        if last is None:
            return NSet((), max(first, 1), 1, 1)
        return NSet(((first, last + 1),), max(last + 1, 1), 1, 0)

    @staticmethod
    def congruent(residue: int, modulus: int) -> NSet:
        """n ≡ residue (mod modulus)."""
        return NSet((), 1, modulus, 1 << residue % modulus)

    def __contains__(self, n: int) -> bool:
        if n < 1:
            return False
        if n >= self.start:
            return bool(self.mask >> n % self.period & 1)
        at = bisect_right(self.runs, n, key=lambda run: run[0])
        return at > 0 and n < self.runs[at - 1][1]

    def __and__(self, other: NSet) -> NSet:
        if self is _ALL or other is _ALL:  # which most sets are
            return other if self is _ALL else self
        return self._combine(other, lambda a, b: a & b)

    def __or__(self, other: NSet) -> NSet:
        if self is _NONE or other is _NONE:
            return other if self is _NONE else self
        return self._combine(other, lambda a, b: a | b)

    def __sub__(self, other: NSet) -> NSet:
        return self._combine(other, lambda a, b: a & ~b)

    def __xor__(self, other: NSet) -> NSet:
        return self._combine(other, lambda a, b: a ^ b)

    def __invert__(self) -> NSet:
        return _ALL._combine(self, lambda a, b: a & ~b)

    def __le__(self, other: NSet) -> bool:
        """Is this a subset of `other`?"""
        return (self - other).is_empty

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NSet):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"<NSet {self.describe('n')}>"

    def _key(self) -> tuple[Runs, int, int, int]:
        return self.runs, self.start, self.period, self.mask

    def _combine(self, other: NSet, op: Callable[[int, int], int]) -> NSet:
        period = lcm(self.period, other.period)
        if period > MODULUS_CAP:
            raise SizeTooComplex(f"a set of sizes with period {period}")
        start = max(self.start, other.start)
        mask = op(repeat(self.mask, self.period, period), repeat(other.mask, other.period, period))
        mine, theirs = self.runs_below(start), other.runs_below(start)
        spend(len(mine) + len(theirs))
        edges = sorted({1, start, *(e for run in (*mine, *theirs) for e in run)})
        runs = []
        i = j = 0
        for lo, hi in pairwise(edges):
            while i < len(mine) and mine[i][1] <= lo:
                i += 1
            while j < len(theirs) and theirs[j][1] <= lo:
                j += 1
            inside = op(int(i < len(mine) and mine[i][0] <= lo), int(j < len(theirs) and theirs[j][0] <= lo))
            if inside & 1:
                runs.append((lo, hi))
        return NSet(runs, start, period, mask)

    # questions

    @property
    def is_all(self) -> bool:
        """Is every n >= 1 a member?"""
        return self.start == self.period == self.mask == 1

    @property
    def is_empty(self) -> bool:
        """Is no n a member?"""
        return not self.mask and not self.runs

    @property
    def is_finite(self) -> bool:
        """Are there finitely many members?"""
        return not self.mask

    @property
    def is_cofinite(self) -> bool:
        """Are all n from some point on members?"""
        return self.mask == full(self.period)

    def holds_from(self) -> int | None:
        """The smallest n0 such that every n >= n0 is a member; None when there is none."""
        return self.start if self.is_cofinite else None

    def first(self) -> int | None:
        """The smallest member."""
        return next(iter(self.members(1)), None)

    def last(self) -> int | None:
        """The largest member; None when there is none or no end."""
        return self.runs[-1][1] - 1 if self.runs and self.is_finite else None

    def __iter__(self) -> Iterator[int]:
        """The members, smallest first; endless unless `is_finite`."""
        for lo, hi in self.runs:
            yield from range(lo, hi)
        if self.mask:
            base = self.start
            while True:
                for lo, hi in self._period_runs(base):
                    yield from range(lo, hi)
                base += self.period

    def members(self, limit: int) -> tuple[int, ...]:
        """The `limit` smallest members, or fewer."""
        return tuple(islice(self, limit))

    def exceptions(self, limit: int) -> tuple[int, ...]:
        """The `limit` smallest n >= 1 that are no members, or fewer."""
        with unbounded():
            return (~self).members(limit)

    def count(self) -> int | None:
        """How many members there are; None for infinitely many."""
        return sum(hi - lo for lo, hi in self.runs) if self.is_finite else None

    def residues(self) -> tuple[int, ...]:
        """The residues modulo `period` of the members from `start` on."""
        return tuple(r for lo, hi in periodic_runs(self.mask, self.period) for r in range(lo, hi))

    def runs_below(self, end: int) -> Runs:
        """The members below `end`, as half-open intervals."""
        if end <= self.start:
            return _merge((lo, min(hi, end)) for lo, hi in self.runs)
        if self.period == 1:
            return _merge((*self.runs, (self.start, end))) if self.mask else self.runs
        if end - self.start > MODULUS_CAP * 4:
            raise SizeTooComplex(f"a set of sizes that is periodic only from {end} on")
        spend((end - self.start) // 8)
        runs = list(self.runs)
        for base in range(self.start, end, self.period):
            runs += self._period_runs(base)
        return _merge((lo, min(hi, end)) for lo, hi in runs)

    def _period_runs(self, base: int) -> list[tuple[int, int]]:
        return shift_runs(self.mask, self.period, base)

    def describe(self, variable: str = "n") -> str:
        """The set in words: "every H >= 7", "all but H = 3, 5", "H ≡ 0 (mod 32)", "no H"."""
        return _in_words(self, variable)

    def to_json(self, limit: int = 1000) -> dict[str, object]:
        """``{"always": bool, "from": int | null, "invalid": [int, …]}``, the `limit` smallest invalid n."""
        return {"always": self.is_all, "from": self.holds_from(), "invalid": list(self.exceptions(limit))}


def _merge(runs: Iterable[tuple[int, int]]) -> Runs:
    merged: list[tuple[int, int]] = []
    for lo, hi in sorted(runs):
        if lo >= hi:
            continue
        if merged and lo <= merged[-1][1]:
            if hi > merged[-1][1]:
                merged[-1] = (merged[-1][0], hi)
        else:
            merged.append((lo, hi))
    return tuple(merged)


def _least_start(runs: Runs, start: int, period: int, mask: int) -> tuple[Runs, int]:
    """Move `start` down while the periodic part already says what the runs say."""
    left = list(runs)
    if period == 1:
        if not mask:
            return runs, (left[-1][1] if left else 1)
        if left and left[-1][1] == start:
            start = left.pop()[0]
        return tuple(left), start
    while start > 1:
        inside = bool(left) and left[-1][1] == start
        if inside != bool(mask >> (start - 1) % period & 1):
            break
        start -= 1
        if inside:
            lo, hi = left.pop()
            if hi - 1 > lo:
                left.append((lo, hi - 1))
    return tuple(left), start


def _in_words(these: NSet, variable: str) -> str:
    """The set in a few words; exact unless it ends in "…"."""
    if these.is_empty:
        return f"no {variable}"
    if these.is_finite:
        return f"only {variable} = {_listed(these.runs)}"
    if these.is_cofinite:
        if not these.runs:
            return f"every {variable} >= {these.start}"
        missing = (~these).runs
        if len(_parts(missing)) <= len(_parts(these.runs)):
            return f"all but {variable} = {_listed(missing)}"
        return f"{variable} = {_listed(these.runs)} and every {variable} >= {these.start}"
    return _periodic(these, variable)


def _periodic(these: NSet, variable: str) -> str:
    mask, period = these.mask, these.period
    inside, outside = periodic_runs(mask, period), periodic_runs(~mask & (1 << period) - 1, period)
    sign, runs = ("≡", inside) if _weight(inside) <= _weight(outside) else ("≢", outside)
    text = f"{variable} {sign} {_listed(tuple(runs))} (mod {period})"
    if these.start == 1:
        return text
    base = these.start
    if sign == "≡":  # say where the pattern begins at a member, not between two
        base = next(n for n in range(base, base + period) if mask >> n % period & 1)
        if base <= period and not any(mask >> n & 1 for n in range(1, base)):
            return f"{variable} = {_listed(these.runs)} and {text}"
    early = f"{variable} = {_listed(these.runs)} and " if these.runs else ""
    return f"{early}{text}, {variable} >= {base}"


def _weight(runs: list[tuple[int, int]]) -> int:
    return sum(1 if hi - lo == 1 else 2 for lo, hi in runs)


def _parts(runs: Runs) -> list[str]:
    parts = []
    for lo, hi in runs:
        if hi - lo <= 2:
            parts += [str(n) for n in range(lo, hi)]
        else:
            parts.append(f"{lo} to {hi - 1}")
    return parts


def _listed(runs: Runs) -> str:
    parts = _parts(runs)
    if len(parts) > LISTED:
        parts = [*parts[: LISTED - 1], "…", parts[-1]]
    return ", ".join(parts)


_ALL = NSet((), 1, 1, 1)
_NONE = NSet((), 1, 1, 0)
