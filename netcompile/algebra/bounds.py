"""Extremes and collapse: what a function in pieces is at least, and how many inputs share one output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from netcompile.algebra.nset import SizeTooComplex
from netcompile.algebra.pieces import (
    PERIOD_CAP,
    SCAN_CAP,
    UNDEFINED,
    Body,
    Pieces,
    Staircase,
    segments,
)


def least(pieces: Pieces) -> int | None:
    """The least value; None when there is none or it falls without end."""
    found: list[int] = []
    for lo, hi, f in segments(pieces):
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


def largest_fibre(pieces: Pieces, inputs_of: Callable[[int], int]) -> int | None:
    """The greatest number of n with one and the same value; 0 if nowhere defined; None if infinite.

    `inputs_of` counts the n of a value. Raises SizeTooComplex.
    """
    start, f = pieces[-1]
    early = _early_values(pieces)
    if f == UNDEFINED:
        return max(Counter(early).values(), default=0)
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
    return max([tail, *(inputs_of(value) for value in set(early))])


def _early_values(pieces: Pieces) -> list[int]:
    """The values below the last piece."""
    start = pieces[-1][0]
    if start > SCAN_CAP:
        raise SizeTooComplex(f"the collapse of a size that settles only from {start} on")
    values = (f.at(n) for lo, hi, f in segments(pieces) if hi is not None for n in range(lo, hi))
    return [value for value in values if value is not None]
