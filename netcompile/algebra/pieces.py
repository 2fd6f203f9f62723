"""The two kinds of integer function that a size is made of, each on the whole number line.

`Staircase` is the closed form ``a*n + q*floor((n + b)/m) + d``; `Table` is any quasi-affine function,
``f(n + period) = f(n) + rise``, by its values over one period. Both are canonical: equal functions are
equal values, and a table that is a staircase becomes one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import gcd, lcm

from netcompile.algebra.effort import spend
from netcompile.algebra.nset import NSet, SizeTooComplex
from netcompile.algebra.residues import prime_factors

PERIOD_CAP = 1 << 16
SCAN_CAP = 1 << 20


@dataclass(frozen=True, slots=True)
class Staircase:
    """a*n + q*floor((n + b)/m) + d with 0 <= b < m; affine when m == 1 (then q == b == 0)."""

    a: int
    q: int
    b: int
    m: int
    d: int

    def at(self, n: int) -> int:
        return self.a * n + self.q * ((n + self.b) // self.m) + self.d

    @property
    def period(self) -> int:
        return self.m

    @property
    def rise(self) -> int:
        """How much the function grows over one period."""
        return self.a * self.m + self.q

    @property
    def is_constant(self) -> bool:
        return self.m == 1 and self.a == 0


@dataclass(frozen=True, slots=True)
class Table:
    """values[n % period] + rise*(n // period); None where undefined. The period is the least one."""

    rise: int
    values: tuple[int | None, ...]

    def at(self, n: int) -> int | None:
        turn, phase = divmod(n, len(self.values))
        value = self.values[phase]
        return None if value is None else value + self.rise * turn

    @property
    def period(self) -> int:
        return len(self.values)

    @property
    def is_constant(self) -> bool:
        return False


Body = Staircase | Table
Pieces = tuple[tuple[int, Body], ...]  # (first n, function) in order, the first at n = 1
UNDEFINED = Table(0, (None,))


def constant(value: int) -> Staircase:
    return Staircase(0, 0, 0, 1, value)


def staircase(a: int, q: int, b: int, m: int, d: int) -> Staircase:
    """The canonical staircase of this function."""
    if q == 0 or m == 1:
        return Staircase(a + q, 0, 0, 1, d + q * b)
    steps, b = divmod(b, m)
    d += q * steps
    # floor(n/2) + floor((n+1)/2) = n: with m = 2 there are two ways to write it; keep the smaller slope
    if m == 2 and (abs(a + q) < abs(a) or (abs(a + q) == abs(a) and q < 0)):
        return Staircase(a + q, -q, 1 - b, 2, d)
    return Staircase(a, q, b, m, d)


def table(rise: int, values: tuple[int | None, ...]) -> Body:
    """The canonical body of a table: least period, and a staircase if it is one."""
    for factor in prime_factors(len(values)):
        while len(values) % factor == 0:
            shorter = _shorten(rise, values, factor)
            if shorter is None:
                break
            rise, values = shorter
    if None in values:
        return UNDEFINED if all(v is None for v in values) else Table(rise, values)
    whole = [v for v in values if v is not None]
    return _as_staircase(rise, whole) or Table(rise, values)


def _shorten(rise: int, values: tuple[int | None, ...], factor: int) -> tuple[int, tuple[int | None, ...]] | None:
    if all(v is None for v in values):
        return 0, (None,)
    size = len(values) // factor
    if rise % factor:
        return None
    step = rise // factor
    head = values[:size]
    for k in range(1, factor):
        part = values[k * size : (k + 1) * size]
        if part != tuple(None if v is None else v + k * step for v in head):
            return None
    return step, head


def _as_staircase(rise: int, values: list[int]) -> Staircase | None:
    period = len(values)
    if period == 1:
        return staircase(rise, 0, 0, 1, values[0])
    following = [*values[1:], values[0] + rise]
    steps = [after - before for before, after in zip(values, following, strict=True)]
    ordinary = steps[0] if steps[0] in steps[1:3] else steps[1]
    jumps = [n for n, step in enumerate(steps) if step != ordinary]
    if len(jumps) != 1:
        return None
    jump = steps[jumps[0]] - ordinary
    # the jump lies between n and n + 1, so n + 1 + b is a multiple of the period
    return staircase(ordinary, jump, -(jumps[0] + 1) % period, period, values[0])


def two_staircases(f: Table) -> tuple[Staircase, Staircase] | None:
    """f as a fine staircase plus a coarse one of f's period: so are slacks between two levels of a net.

    Looked for only up to a period of 1024; it is used for printing alone.
    """
    if None in f.values or f.period > 1024:
        return None
    period = f.period
    values = [v for v in f.values if v is not None]
    following = [*values[1:], values[0] + f.rise]
    steps = [after - before for before, after in zip(values, following, strict=True)]
    common = sorted(set(steps), key=lambda step: (-steps.count(step), abs(step)))
    for ordinary in common[:2]:
        first = next(n for n, step in enumerate(steps) if step != ordinary)
        for width in range(2, period // 2 + 1):
            # one of two jumps that are a width apart is a jump of the fine staircase alone
            for n in (first, first + width):
                jump = steps[n % period] - ordinary
                if period % width or not jump:
                    continue
                fine = staircase(ordinary, jump, -(n + 1) % width, width, 0)
                rest = add(f, scale(fine, -1))
                if isinstance(rest, Staircase):
                    return fine, rest
    return None


def affine_where_defined(f: Table) -> tuple[int, int, int] | None:
    """(u, c, v) with f(n) = (u*n + c)/v wherever f is defined, in lowest terms; None if there is none."""
    level = {f.period * v - f.rise * n for n, v in enumerate(f.values) if v is not None}
    if len(level) != 1:
        return None
    c = level.pop()
    common = gcd(f.rise, c, f.period)
    return f.rise // common, c // common, f.period // common


def sample(period: int, rise: int, at: Callable[[int], int | None]) -> Body:
    """The body with these values at n = 0 … period - 1; raises `SizeTooComplex` above the cap."""
    if period > PERIOD_CAP:
        raise SizeTooComplex(f"a size with period {period}")
    spend(period)
    return table(rise, tuple(at(n) for n in range(period)))


def shift(f: Body, by: int) -> Body:
    """f + by"""
    if isinstance(f, Staircase):
        return Staircase(f.a, f.q, f.b, f.m, f.d + by)
    if f == UNDEFINED:
        return f
    spend(f.period)
    return Table(f.rise, tuple([None if v is None else v + by for v in f.values]))


def scale(f: Body, by: int) -> Body:
    """f * by"""
    if isinstance(f, Staircase):
        return staircase(f.a * by, f.q * by, f.b, f.m, f.d * by)
    spend(f.period)
    return table(f.rise * by, tuple(None if v is None else v * by for v in f.values))


def add(f: Body, g: Body) -> Body:
    """f + g, undefined where either is."""
    if f == UNDEFINED or g == UNDEFINED:
        return UNDEFINED
    if isinstance(f, Staircase) and isinstance(g, Staircase):
        if g.m == 1:
            return staircase(f.a + g.a, f.q, f.b, f.m, f.d + g.d)
        if f.m == 1:
            return staircase(f.a + g.a, g.q, g.b, g.m, f.d + g.d)
        if f.m == g.m and f.b == g.b:
            return staircase(f.a + g.a, f.q + g.q, f.b, f.m, f.d + g.d)
    return combine(f, g, lambda x, y: x + y)


def combine(f: Body, g: Body, op: Callable[[int, int], int]) -> Body:
    """op(f, g) by tables, for an op that commutes with adding the rises (sums and differences)."""
    period = lcm(f.period, g.period)
    rise = op(f.rise * (period // f.period), g.rise * (period // g.period))

    def at(n: int) -> int | None:
        x, y = f.at(n), g.at(n)
        return None if x is None or y is None else op(x, y)

    return sample(period, rise, at)


def floor_div(f: Body, s: int) -> Body:
    """floor(f / s) for s >= 1."""
    if isinstance(f, Staircase):
        ka, ra = divmod(f.a, s)
        kq, rq = divmod(f.q, s)
        if ra == 0 and rq == 0:
            return staircase(ka, kq, f.b, f.m, f.d // s)
        if ra == 0 and kq == 0 and s % rq == 0:
            # floor((r*x + d)/(r*t)) = floor((x + floor(d/r))/t), and floor of floor collapses
            t = s // rq
            return staircase(ka, 1, f.b + f.d // rq * f.m, f.m * t, 0)
        if rq == 0 and f.m == 1 and s % ra == 0:
            return staircase(ka, 1, f.d // ra, s // ra, 0)
    period = f.period * (s // gcd(f.rise, s))

    def at(n: int) -> int | None:
        value = f.at(n)
        return None if value is None else value // s

    return sample(period, f.rise * (period // f.period) // s, at)


def run_start(f: Body, n: int, lo: int) -> int:
    """The smallest number from which on f is plainly constant up to n; lo if it is constant everywhere."""
    if isinstance(f, Table) or f.a != 0:
        return n
    return lo if f.m == 1 else n - (n + f.b) % f.m


def is_monotone(f: Body) -> bool:
    """Does f never fall? (Decided without looking at tables, which count as not.)"""
    return isinstance(f, Staircase) and f.a >= 0 and f.a + f.q >= 0


def first_at_least(f: Staircase, bound: int) -> int | None:
    """The smallest integer n with f(n) >= bound, for an f that never falls; None for a constant."""
    if f.a == 0:
        if f.q == 0:
            return None
        return -((f.d - bound) // f.q) * f.m - f.b
    if f.q == 0:
        return -((f.d - bound) // f.a)
    # f lies within `width` of the line rise/m * n + d
    width = abs(f.q) + abs(f.a) * f.m
    lo = (bound - f.d - width) * f.m // f.rise - f.m
    hi = (bound - f.d + width) * f.m // f.rise + f.m
    while hi - lo > 1:
        middle = (lo + hi) // 2
        if f.at(middle) >= bound:
            hi = middle
        else:
            lo = middle
    return hi


def where_at_least(f: Body, lo: int, hi: int | None, bound: int) -> NSet:
    """The n in lo … hi - 1 (without end if hi is None) where f is defined and f(n) >= bound."""
    if isinstance(f, Staircase) and is_monotone(f):
        first = first_at_least(f, bound)
        if first is None:
            return NSet.none() if f.d < bound else _span(lo, hi)
        return _span(max(lo, first), hi)
    if isinstance(f, Staircase) and is_monotone(scale(f, -1)):
        return _span(lo, hi) - where_at_least(scale(f, -1), lo, hi, 1 - bound)
    if f == UNDEFINED:
        return NSet.none()
    if hi is not None and hi - lo <= 2 * f.period:
        spend(hi - lo)
        return NSet(_runs(range(lo, hi), f, bound), hi, 1, 0)
    if f.period > PERIOD_CAP:
        raise SizeTooComplex(f"a comparison of sizes with period {f.period}")
    found = _periodic_at_least(f, lo, bound)
    return found if hi is None else found & NSet.between(lo, hi - 1)


def _periodic_at_least(f: Body, lo: int, bound: int) -> NSet:
    period, rise = f.period, f.rise
    spend(period)
    turns = []  # per residue: the turn from which (rise > 0) or up to which (rise < 0) the bound holds
    bits = bytearray(b"0" * period)  # the mask's digits, the highest first
    for n in range(lo, lo + period):
        value = f.at(n)
        if value is None:
            continue
        if rise > 0 or (rise == 0 and value >= bound):
            bits[-1 - n % period] = ord("1")
        if rise > 0:
            turns.append(max(0, -((value - bound) // rise)))
        elif rise < 0:
            turns.append(max(0, (value - bound) // -rise + 1))
    mask = int(bits, 2)
    if not turns:
        return NSet((), lo, period, mask)
    start, settled = lo + period * min(turns), lo + period * max(turns)
    if settled - start > SCAN_CAP:
        raise SizeTooComplex(f"a comparison of sizes that settles only from {settled} on")
    spend(settled - start)
    runs = list(_runs(range(start, settled), f, bound))
    if rise < 0:  # everything defined below `start` is in, nothing from `settled` on
        defined = NSet((), lo, period, _defined_mask(f))
        runs += (defined & NSet.between(lo, start - 1)).runs if start > lo else ()
    return NSet(runs, settled, period, mask)


def _defined_mask(f: Body) -> int:
    return int("".join("01"[f.at(n) is not None] for n in reversed(range(f.period))), 2)


def is_total(f: Body) -> bool:
    """Is f defined everywhere?"""
    return isinstance(f, Staircase) or None not in f.values


def where_defined(f: Body, lo: int, hi: int | None) -> NSet:
    """The n in lo … hi - 1 where f is defined."""
    if isinstance(f, Staircase):
        return _span(lo, hi)
    return NSet((), 1, f.period, _defined_mask(f)) & _span(lo, hi)


def _span(lo: int, hi: int | None) -> NSet:
    if hi is None:
        return NSet((), lo, 1, 1) if lo > 1 else NSet.all()
    return NSet(((lo, hi),), max(hi, 1), 1, 0)


def _runs(numbers: range, f: Body, bound: int) -> Iterable[tuple[int, int]]:
    for n in numbers:
        value = f.at(n)
        if value is not None and value >= bound:
            yield n, n + 1


def segments(pieces: Pieces) -> Iterator[tuple[int, int | None, Body]]:
    """(first n, first n beyond or None, function) per piece."""
    for index, (start, f) in enumerate(pieces):
        yield start, pieces[index + 1][0] if index + 1 < len(pieces) else None, f
