"""Extents as exact functions of the input extent.

A `Size` says what the height (or width) of a blob is for *every* height (width) n >= 1 of the net's
input. It is a sequence of pieces, ``(1, f1), (n2, f2), …``: from n = n2 on the function is f2. Every
piece is quasi-affine (see `pieces`), and so is every size that Caffe's layers make of it. Equality,
bounds and "for which n?" are therefore finite checks and their answers proofs for all n.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from math import lcm
from operator import or_

from netcompile.algebra import bounds, closed_form
from netcompile.algebra import pieces as bodies
from netcompile.algebra.effort import spend
from netcompile.algebra.nset import AxesMeet, NSet, SizeTooComplex
from netcompile.algebra.pieces import UNDEFINED, Body, Pieces, Staircase


class Size:
    """An exact integer function of one input extent n >= 1, undefined where Caffe would refuse the net.

    Immutable. Arithmetic with ints and with sizes of the same variable; `//` rounds down. A size that is
    the same everywhere has no variable (`name == ""`), combines with any and equals its int.
    Operations raise `SizeTooComplex` when the answer would need a table of more than 65536 values and
    `AxesMeet`, which is one, when two sizes depend on different variables.
    """

    __slots__ = ("hashed", "name", "pieces", "text")

    name: str
    pieces: Pieces
    text: str  # as it was written before; "" before that
    hashed: int | None  # likewise

    def __init__(self, name: str, pieces: Iterable[tuple[int, Body]]) -> None:
        """From pieces (first n, function) in order, the first at n = 1."""
        self.pieces = _merged(tuple(pieces))
        constant = len(self.pieces) == 1 and (self.pieces[0][1].is_constant or self.pieces[0][1] == UNDEFINED)
        self.name = "" if constant else name
        self.text = ""
        self.hashed = None

    @staticmethod
    def variable(name: str = "n") -> Size:
        """The extent of the input itself: n ↦ n."""
        return Size(name, ((1, Staircase(1, 0, 0, 1, 0)),))

    @staticmethod
    def constant(value: int) -> Size:
        """n ↦ value"""
        return Size("", ((1, bodies.constant(value)),))

    @staticmethod
    def undefined() -> Size:
        """Defined for no n."""
        return Size("", ((1, UNDEFINED),))

    @staticmethod
    def of(value: Size | int) -> Size:
        """An int as a constant size; a size as it is."""
        return value if isinstance(value, Size) else Size.constant(value)

    # values

    def at(self, n: int) -> int | None:
        """The extent for the input extent n >= 1; None where it is undefined."""
        if n < 1:
            return None
        for start, f in reversed(self.pieces):
            if n >= start:
                return f.at(n)
        return None

    def as_int(self) -> int | None:
        """The value of a constant size; None for one that depends on n."""
        return self.at(1) if not self.name else None

    def segments(self) -> Iterator[tuple[int, int | None, Body]]:
        """(first n, first n beyond or None, function) per piece."""
        return bodies.segments(self.pieces)

    # arithmetic

    def _map(self, op: Callable[[Body], Body]) -> Size:
        return Size(self.name, [(start, op(f)) for start, f in self.pieces])

    def __add__(self, other: Size | int) -> Size:
        if isinstance(other, int):
            if other == 0:
                return self
            made = Size.__new__(Size)  # different values stay apart: the pieces stay canonical
            made.name, made.text, made.hashed = self.name, "", None
            made.pieces = tuple([(start, bodies.shift(f, other)) for start, f in self.pieces])
            return made
        pairs = self._aligned(other)
        return Size(self.name or other.name, [(lo, bodies.add(f, g)) for lo, f, g in pairs])

    __radd__ = __add__

    def __neg__(self) -> Size:
        return self * -1

    def __sub__(self, other: Size | int) -> Size:
        if isinstance(other, int):
            return self + -other
        pairs = self._aligned(other)
        return Size(self.name or other.name, [(lo, bodies.add(f, bodies.scale(g, -1))) for lo, f, g in pairs])

    def __rsub__(self, other: int) -> Size:
        return -self + other

    def __mul__(self, by: int) -> Size:
        if by == 1:
            return self
        if by == 0:
            return self._map(lambda f: bodies.scale(f, 0))
        made = Size.__new__(Size)
        made.name, made.text, made.hashed = self.name, "", None
        made.pieces = tuple([(start, bodies.scale(f, by)) for start, f in self.pieces])
        return made

    __rmul__ = __mul__

    def __floordiv__(self, by: int) -> Size:
        """floor(self / by) for by >= 1."""
        if by < 1:
            raise ValueError(f"divisor must be positive, not {by}")
        return self if by == 1 else self._map(lambda f: bodies.floor_div(f, by))

    def ceil_div(self, by: int) -> Size:
        """ceil(self / by) for by >= 1."""
        return (self + (by - 1)) // by

    def truncating_div(self, by: int) -> Size:
        """self / by as C++ divides integers, toward zero; by >= 1."""
        down = self // by
        if by == 1 or self._is_at_least(0):
            return down
        return _choose(self.where_at_least(0), down, self.ceil_div(by))

    def min_with(self, other: Size | int) -> Size:
        """The smaller of the two; undefined where either is."""
        return _choose(self.where_at_least(other), Size.of(other), self, self + other)

    def max_with(self, other: Size | int) -> Size:
        """The larger of the two; undefined where either is."""
        return _choose(self.where_at_least(other), self, Size.of(other), self + other)

    def restrict(self, to: NSet, name: str = "") -> Size:
        """The same function, undefined outside a set of n.

        `name` says whose n that is when self is a constant; without it the variable stays unnamed.
        """
        if to.is_all:
            return self
        cut = _choose(to, self, Size.undefined())
        return cut if cut.name or not name else Size(name, cut.pieces)

    def where_positive(self) -> Size:
        """The same function, undefined where it is zero or negative: a blob has at least one pixel."""
        if self._is_at_least(1):
            return self
        start, f = self.pieces[-1]
        if isinstance(f, Staircase) and bodies.is_monotone(f) and len(self.pieces) <= 2:
            first = bodies.first_at_least(f, 1)
            if first is not None and (start == 1 or self.pieces[0][1] == UNDEFINED):
                return Size(self.name, ((1, UNDEFINED), (max(first, start), f)))
        return self.restrict(self.where_at_least(1))

    def _is_at_least(self, bound: int) -> bool:
        """Cheap and sufficient: does every piece begin at or above the bound and never fall?"""
        for start, f in self.pieces:
            if isinstance(f, Staircase):
                if f.at(start) < bound or not bodies.is_monotone(f):
                    return False
            elif f != UNDEFINED:
                return False
        return True

    def _aligned(self, other: Size) -> Iterator[tuple[int, Body, Body]]:
        """Both functions on the common refinement of their pieces."""
        if self.name and other.name and self.name != other.name:
            raise AxesMeet(f"sizes of two axes meet: {self.name} and {other.name}")
        if len(self.pieces) == len(other.pieces) == 1:
            yield 1, self.pieces[0][1], other.pieces[0][1]
            return
        for start in sorted({start for start, _ in (*self.pieces, *other.pieces)}):
            yield start, self._body_at(start), other._body_at(start)

    def _body_at(self, n: int) -> Body:
        return next(f for start, f in reversed(self.pieces) if n >= start)

    # questions, answered for all n

    def where_defined(self) -> NSet:
        """The n for which the size is defined."""
        return _union(bodies.where_defined(f, lo, hi) for lo, hi, f in self.segments())

    def where_at_least(self, other: Size | int) -> NSet:
        """The n where both are defined and self >= other."""
        if isinstance(other, int):
            return _union(bodies.where_at_least(f, lo, hi, other) for lo, hi, f in self.segments())
        return (self - other).where_at_least(0)

    def where_at_most(self, other: Size | int) -> NSet:
        """The n where both are defined and self <= other."""
        return (-self).where_at_least(-other) if isinstance(other, int) else (other - self).where_at_least(0)

    def where_equal(self, other: Size | int) -> NSet:
        """The n where both are defined and equal."""
        if isinstance(other, int):
            return self.where_at_least(other) - self.where_at_least(other + 1)
        if self.pieces == other.pieces:
            return self.where_defined()
        return (self - other).where_equal(0)

    def fibre(self, value: int) -> NSet:
        """The input extents that collapse to this value."""
        return self.where_equal(value)

    def minimum(self) -> int | None:
        """The least value over all n; None when it falls without end or is nowhere defined."""
        return bounds.least(self.pieces)

    def maximum(self) -> int | None:
        """The greatest value over all n; None when it grows without end or is nowhere defined."""
        lowest = bounds.least((-self).pieces)
        return None if lowest is None else -lowest

    def largest_fibre(self) -> int | None:
        """How many input extents share one value at most; None when there is no limit."""
        return bounds.largest_fibre(self.pieces, lambda value: self.fibre(value).count() or 0)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if isinstance(other, int):
            return self.as_int() == other
        if not isinstance(other, Size):
            return NotImplemented
        if self.name != other.name:
            return False
        if self.pieces == other.pieces:
            return True
        # the last pieces are canonical; below them only values count
        if self.pieces[-1] != other.pieces[-1]:
            return False
        return all(self.at(n) == other.at(n) for n in range(1, self.pieces[-1][0]))

    def __hash__(self) -> int:
        if self.hashed is None:
            value = self.as_int()
            self.hashed = hash((self.name, self.pieces[-1])) if value is None else hash(value)
        return self.hashed

    # printing

    def __str__(self) -> str:
        """Closed form and where it holds: ``⌈(H+6)/32⌉``, ``⌊H/2⌋ (H >= 2)``."""
        if not self.text:  # layers that change no size share one, and every page writes it several times
            self.text = closed_form.text(self.pieces, self.name or "n")
        return self.text

    def __repr__(self) -> str:
        return f"<Size {self.ascii()}>"

    def ascii(self) -> str:
        """As `str`, in ASCII: ``ceil((H+6)/32)``."""
        return closed_form.text(self.pieces, self.name or "n", closed_form.ASCII)

    def formula(self) -> str:
        """The closed form for large n alone, without the exceptions for small n."""
        return closed_form.formula(self.pieces[-1][1], self.name or "n")

    def python(self) -> str:
        """A Python expression of the variable, exact for all n >= 1, None where undefined."""
        return closed_form.python(self.pieces, self.name or "n")

    def when_divisible(self) -> str | None:
        """The form without rounding, as in published tables: ``(H+6)/16 + 12``; None if there is none."""
        return closed_form.when_divisible(self.pieces[-1][1], self.name or "n")

    def divisibility(self) -> tuple[int, int]:
        """(b, m): `when_divisible` holds for large n where m divides n + b; (0, 1): always."""
        return closed_form.divisibility(self.pieces[-1][1])

    def to_json(self) -> dict[str, object]:
        """``{"variable", "pieces": [{"from", …}]}``, each piece one of

        ``"a", "q", "b", "m", "d"``: a·n + q·floor((n + b)/m) + d;
        ``"rise", "values"``: values[n mod p] + rise·floor(n/p), p values, null where undefined;
        ``"undefined": true``.
        """
        return {"variable": self.name, "pieces": closed_form.to_json(self.pieces)}


def _union(sets: Iterable[NSet]) -> NSet:
    return reduce(or_, sets)


def _merged(pieces: Pieces) -> Pieces:
    """The same function in fewer pieces, the last one from the least possible n on."""
    if len(pieces) == 1:
        return pieces
    merged: list[tuple[int, Body]] = []
    for index, (start, f) in enumerate(pieces):
        if index + 1 < len(pieces) and isinstance(f, Staircase) and bodies.is_monotone(f):
            value = f.at(start)
            if value == f.at(pieces[index + 1][0] - 1):
                f = bodies.constant(value)
        if not merged or merged[-1][1] != f:
            merged.append((start, f))
    start, last = merged.pop()
    while merged:
        lo, f = merged[-1]
        if not isinstance(f, Staircase) or not isinstance(last, Staircase):
            spend(min(start - lo, f.period + last.period))
        while start > lo and f.at(start - 1) == last.at(start - 1):
            start = max(lo, bodies.run_start(f, start - 1, lo), bodies.run_start(last, start - 1, lo))
        if start > lo:
            break
        merged.pop()
    return (*merged, (start, last))


def _choose(condition: NSet, yes: Size, no: Size, defined: Size | None = None) -> Size:
    """`yes` on the set, `no` elsewhere; undefined where `defined` is."""
    if defined is not None:
        yes, no = (x.restrict(defined.where_defined()) for x in (yes, no))
    # the condition may be periodic from earlier on than the sizes are: below `tail` its runs are taken
    tail = max(condition.start, yes.pieces[-1][0], no.pieces[-1][0])
    edges = {1, tail, *(edge for run in condition.runs_below(tail) for edge in run)}
    edges.update(start for start, _ in (*yes.pieces, *no.pieces))
    spend(len(edges))
    chosen: list[tuple[int, Body]] = []
    for start in sorted(edges):
        f, g = yes._body_at(start), no._body_at(start)
        if start < tail or condition.period == 1:
            chosen.append((start, f if start in condition else g))
        else:
            chosen.append((start, _interleave(condition, f, g)))
    return Size(yes.name or no.name, chosen)


def _interleave(condition: NSet, f: Body, g: Body) -> Body:
    """f on the residues of the condition, g on the others; those that are defined there rise alike."""
    period = lcm(condition.period, f.period, g.period)
    if period > bodies.PERIOD_CAP:
        raise SizeTooComplex(f"a size with period {period}")
    spend(period)
    mask = condition.mask
    sources = [f if mask >> n % condition.period & 1 else g for n in range(period)]
    rises = {h.rise * (period // h.period) for n, h in enumerate(sources) if h.at(n) is not None}
    if len(rises) > 1:
        raise SizeTooComplex("no quasi-affine function: its parts rise differently")
    return bodies.table(max(rises, default=0), tuple(h.at(n) for n, h in enumerate(sources)))
