"""Sets of residues as bit masks: bit r of a mask stands for the numbers that leave r."""

from __future__ import annotations

import re

_ONES = re.compile("1+")


def full(period: int) -> int:
    """The mask of all residues."""
    return (1 << period) - 1


def repeat(mask: int, period: int, longer: int) -> int:
    """The same set modulo `longer`, a multiple of `period`."""
    if period == longer or not mask:
        return mask
    # 1 + 2^p + 2^2p + … copies the mask side by side
    return mask * (full(longer) // full(period))


def prime_factors(number: int) -> list[int]:
    """The distinct prime factors."""
    factors = []
    trial = 2
    while trial * trial <= number:
        if number % trial == 0:
            factors.append(trial)
            while number % trial == 0:
                number //= trial
        trial += 1
    if number > 1:
        factors.append(number)
    return factors


def minimal_period(period: int, mask: int) -> tuple[int, int]:
    """The same set with the least period."""
    for factor in prime_factors(period):
        while period % factor == 0:
            shorter = period // factor
            part = mask & full(shorter)
            if repeat(part, shorter, period) != mask:
                break
            period, mask = shorter, part
    return period, mask


def periodic_runs(mask: int, period: int) -> list[tuple[int, int]]:
    """The residues in the mask as half-open intervals within 0 … period."""
    return [match.span() for match in _ONES.finditer(bin(mask)[:1:-1])]


def shift_runs(mask: int, period: int, base: int) -> list[tuple[int, int]]:
    """The members of base … base + period - 1 as half-open intervals."""
    turn = base % period
    turned = mask >> turn | (mask & full(turn)) << period - turn
    return [(base + lo, base + hi) for lo, hi in periodic_runs(turned, period)]
