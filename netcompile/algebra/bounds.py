"""Extremes and collapse: what a size is at least, and how many inputs share one output."""

from __future__ import annotations

from collections import Counter

from netcompile.algebra.extent import Size
from netcompile.algebra.nset import SizeTooComplex
from netcompile.algebra.pieces import PERIOD_CAP, SCAN_CAP, UNDEFINED, Body, Staircase


def least(size: Size) -> int | None:
    """The least value; None when there is none or it falls without end."""
    found: list[int] = []
    for lo, hi, f in size.segments():
        if f == UNDEFINED:
            continue
        if hi is None and f.rise < 0:
            return None
        values = (f.at(n) for n in _candidates(f, lo, hi))
        found += [value for value in values if value is not None]
    return min(found, default=None)


def _candidates(f: Body, lo: int, hi: int | None) -> set[int]:
    """Numbers of lo … hi - 1 among which f takes its least value there."""
    end = hi if hi is not None else lo + 2 * f.period
    if isinstance(f, Staircase):
        # straight between jumps, and equal phases lie on a line: ends and the outermost jumps suffice
        first = lo + -(lo + f.b) % f.m
        last = end - 1 - (end - 1 + f.b) % f.m
        near = {first - 1, first, first + f.m - 1, last - f.m, last - 1, last}
        return {lo, end - 1} | {n for n in near if lo <= n < end}
    if end - lo <= 2 * f.period:
        return set(range(lo, end))
    return {*range(lo, lo + f.period), *range(end - f.period, end)}


def largest_fibre(size: Size) -> int | None:
    """The greatest number of n with one and the same value; 0 if nowhere defined; None if infinite."""
    start, f = size.pieces[-1]
    early = Counter(_early_values(size, start))
    if f == UNDEFINED:
        return max(early.values(), default=0)
    if f.rise == 0:
        return None
    if isinstance(f, Staircase) and f.a == 0:
        tail = f.m
    else:
        if f.period > PERIOD_CAP:
            raise SizeTooComplex(f"the collapse of a size with period {f.period}")
        # n and n' of one residue never meet; those of two do if their values agree modulo the rise
        values = (f.at(n) for n in range(start, start + f.period))
        tail = max(Counter(v % f.rise for v in values if v is not None).values())
    return max([tail, *(size.fibre(value).count() or 0 for value in early)])


def _early_values(size: Size, start: int) -> list[int]:
    if start > SCAN_CAP:
        raise SizeTooComplex(f"the collapse of a size that settles only from {start} on")
    values = (size.at(n) for n in range(1, start))
    return [value for value in values if value is not None]
