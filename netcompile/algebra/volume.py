"""Extents that depend on the height and the width at once: sums of products of sizes, or not known at all.

A Flatten of a plane has ``H·W`` elements for every channel, and what SSD's heads put behind one another are sums of
such products. They are kept as polynomials whose variables are `Size`s, so that two of them can be compared term by
term: equal terms prove equality for every height and width. Where they cannot be compared, or an operation leads out
of these polynomials (a quotient that does not divide, a size too complex to write down), the answer is a volume that
is unknown: it takes part in every operation and proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd
from typing import TypeAlias

from netcompile.algebra.extent import Size
from netcompile.algebra.nset import AxesMeet, SizeTooComplex
from netcompile.algebra.pieces import Staircase

Term: TypeAlias = frozenset[tuple[Size, int]]  # sizes with their powers
Extent: TypeAlias = "int | Size | Volume"

MOST_TERMS = 256


class Volume:
    """A sum of products of sizes, each with a whole factor; without terms (`terms` None) it is unknown.

    Immutable. What becomes a number or a function of one variable again is an int or a `Size`: see `simplest`.
    """

    __slots__ = ("terms",)

    terms: Mapping[Term, int] | None

    def __init__(self, terms: Mapping[Term, int] | None) -> None:
        if terms is not None:
            terms = {term: factor for term, factor in terms.items() if factor}
            if len(terms) > MOST_TERMS:
                terms = None
        self.terms = terms

    @property
    def known(self) -> bool:
        """Whether the terms are known."""
        return self.terms is not None

    def as_int(self) -> None:
        """No number: as `Size.as_int` for a size that depends on the input."""
        return None

    def at(self, extents: Mapping[str, int]) -> int | None:
        """The value for an input extent of each axis, ``{"H": 300, "W": 500}``; None where it is not known."""
        if self.terms is None:
            return None
        total = 0
        for term, factor in self.terms.items():
            for size, power in term:
                value = size.at(extents[size.name])
                if value is None:
                    return None
                factor *= value**power
            total += factor
        return total

    def sizes(self) -> tuple[Size, ...]:
        """The sizes that the terms are made of."""
        return tuple(dict.fromkeys(size for term in self.terms or () for size, _ in term))

    def __add__(self, other: Extent) -> Extent:
        more = _terms(other)
        if self.terms is None or more is None:
            return UNKNOWN
        total = dict(self.terms)
        for term, factor in more.items():
            total[term] = total.get(term, 0) + factor
        return simplest(Volume(total))

    __radd__ = __add__

    def __neg__(self) -> Extent:
        return self * -1

    def __sub__(self, other: Extent) -> Extent:
        return self + other * -1

    def __rsub__(self, other: Extent) -> Extent:
        return self * -1 + other

    def __mul__(self, other: Extent) -> Extent:
        more = _terms(other)
        if self.terms is None or more is None or len(self.terms) * len(more) > MOST_TERMS:
            return UNKNOWN
        total: dict[Term, int] = {}
        for a, factor in self.terms.items():
            for b, by in more.items():
                powers = dict(a)
                for size, power in b:
                    powers[size] = powers.get(size, 0) + power
                term = frozenset(powers.items())
                total[term] = total.get(term, 0) + factor * by
        return simplest(Volume(total))

    __rmul__ = __mul__

    def __floordiv__(self, by: int) -> Extent:
        """The quotient where every term divides, else unknown."""
        if self.terms is None or any(factor % by for factor in self.terms.values()):
            return UNKNOWN
        return Volume({term: factor // by for term, factor in self.terms.items()})

    def __eq__(self, other: object) -> bool:
        """Equal terms; an unknown volume equals itself alone."""
        if not isinstance(other, Volume):
            return False
        return self is other if self.terms is None or other.terms is None else self.terms == other.terms

    def __hash__(self) -> int:
        return id(self) if self.terms is None else hash(frozenset(self.terms.items()))

    def __str__(self) -> str:
        """``H·W``, ``12·⌈H/8⌉·⌈W/8⌉ + 6``; ``?`` where it is not known."""
        if self.terms is None:
            return "?"
        parts = []
        for term, factor in self.terms.items():
            names = [_text(size) + (f"^{power}" if power > 1 else "") for size, power in sorted(term, key=by_name)]
            head = [str(factor)] if factor != 1 or not names else []
            parts.append("·".join(head + names))
        return " + ".join(parts)

    def __repr__(self) -> str:
        return f"<Volume {self}>"


UNKNOWN = Volume(None)


def by_name(item: tuple[Size, int]) -> tuple[str, str]:
    """The order of a term's sizes, for `sorted`: a set has none."""
    return item[0].name, str(item[0])


def _text(size: Size) -> str:
    text = size.formula()
    return f"({text})" if " " in text else text


def _terms(extent: Extent) -> Mapping[Term, int] | None:
    if isinstance(extent, Volume):
        return extent.terms
    number = extent if isinstance(extent, int) else extent.as_int()
    if number is not None:
        return {frozenset(): number}
    assert isinstance(extent, Size)
    content = _content(extent)
    return {frozenset(((extent // content, 1),)): content}


def _content(size: Size) -> int:
    """The greatest number that divides every value: ``12·H`` and ``H·12`` are one term of one size."""
    found = 0
    for _, f in size.pieces:
        if isinstance(f, Staircase):
            found = gcd(found, f.a, f.q, f.d)
        else:
            found = gcd(found, f.rise, *(value for value in f.values if value is not None))
    return found or 1


def simplest(volume: Volume) -> Extent:
    """The same as an int, or as a size of one variable, where it is one."""
    if volume.terms is None:
        return UNKNOWN
    if not volume.terms:
        return 0
    sizes = volume.sizes()
    if not sizes:
        return volume.terms[frozenset()]
    linear = all(sum(power for _, power in term) <= 1 for term in volume.terms)
    if not linear or len({size.name for size in sizes}) > 1:
        return volume
    total: Size | int = 0
    try:
        for term, factor in volume.terms.items():
            part: Size | int = factor
            for size, _ in term:
                part = size * factor
            total = total + part
    except SizeTooComplex:
        return UNKNOWN
    return total


def product(*extents: Extent) -> Extent:
    """The product of extents, of any kind."""
    found: Extent = 1
    for extent in extents:
        if isinstance(extent, int):
            found = found * extent
        elif isinstance(found, int):
            found = extent * found
        else:
            found = Volume(_terms(found)) * extent
    return found


def total(a: Extent, b: Extent) -> Extent:
    """The sum of two extents, of any kind."""
    if isinstance(a, Volume) or isinstance(b, Volume):
        return Volume(_terms(a)) + b
    try:
        return a + b
    except AxesMeet:
        return Volume(_terms(a)) + b
    except SizeTooComplex:
        return UNKNOWN
