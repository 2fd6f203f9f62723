"""A layer's rules (shapes, conditions, blobs, coordinates), with failures as values instead of exceptions.

A rule fails where it needs a number and the extent is a function of the input's size, where it refuses the shapes that
it gets, and where a size is too complex to write down. The functions here then return `Unfollowed`, a type of its own,
so that the type checker makes every caller handle it. Analyses, reports and commands call layers through this module
only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from netcompile.algebra.nset import NSet, SizeTooComplex
from netcompile.algebra.size import Size
from netcompile.ir.graph import Node
from netcompile.layers.base import Axes, BlobSpec, Condition, Dim, IntShape, NeedsNumber, Refused, Shape
from netcompile.layers.traits import Reach

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unfollowed:
    """That there is no answer, and why; `number`: because a rule needs an extent as a number."""

    why: str
    number: bool = False


def follow(ask: Callable[[], T]) -> T | Unfollowed:
    """What `ask` returns, or `Unfollowed` where it raises one of the three errors."""
    try:
        return ask()
    except NeedsNumber as needed:
        return Unfollowed(f"needs {needed} as a number", number=True)
    except Refused as refused:
        return Unfollowed(refused.what)
    except SizeTooComplex as complex_:
        return Unfollowed(f"is not followed: {complex_}")


def tops(node: Node, bottoms: Sequence[Shape]) -> tuple[Shape, ...] | Unfollowed:
    """The shapes of a layer's tops."""
    return follow(lambda: node.layer.shapes(*bottoms))


def conditions(node: Node, bottoms: Sequence[Shape]) -> tuple[Condition, ...] | Unfollowed:
    """What a layer asks of its bottoms' extents."""
    return follow(lambda: tuple(node.layer.conditions(*bottoms)))


def blobs(node: Node, bottoms: Sequence[Shape]) -> tuple[BlobSpec, ...] | Unfollowed:
    """A layer's learnable blobs."""
    return follow(lambda: node.layer.blobs(*bottoms))


def coords(node: Node, bottoms: Sequence[Shape]) -> tuple[Axes | None, ...] | Unfollowed | None:
    """Where a layer's pixels lie on its bottoms; None where that is undefined."""
    return follow(lambda: node.layer.coords(*bottoms))


def reach(node: Node, bottoms: Sequence[Shape]) -> tuple[tuple[Reach, Reach] | None, ...] | Unfollowed | None:
    """Which pixels of its bottoms a layer's pixels see; None where that is undefined."""
    return follow(lambda: node.layer.reach(*bottoms))


def macs(node: Node, bottoms: Sequence[IntShape], made: Sequence[IntShape]) -> int | Unfollowed:
    """Multiply-accumulates of a layer."""
    return follow(lambda: node.layer.macs(bottoms, made))


def wants(node: Node, index: int, bottoms: Sequence[IntShape]) -> Sequence[Sequence[int | None]] | Unfollowed:
    """Shapes that a layer would take as one of its bottoms."""
    return follow(lambda: node.layer.wants(index, *bottoms))


# sizes ---------------------------------------------------------------------------------------------------------


def size(dim: Dim) -> Size | None:
    """An extent as a function of one axis; None for one that depends on both axes, or is unknown."""
    return dim if isinstance(dim, Size) else Size.constant(dim) if isinstance(dim, int) else None


def variable(*dims: Dim) -> str | None:
    """The axis, "H" or "W", that extents depend on; "" for numbers, None for more than one axis or unknown ones."""
    names = set()
    for dim in dims:
        if isinstance(dim, Size):
            names.add(dim.name)
        elif not isinstance(dim, int):
            return None
    names.discard("")
    return None if len(names) > 1 else next(iter(names), "")


def where(condition: Condition) -> NSet | Unfollowed:
    """The input extents for which a condition holds."""
    left, right = size(condition.left), size(condition.right)
    if left is None or right is None or variable(left, right) is None:
        return Unfollowed(f"{condition.left} {condition.relation} {condition.right}, over both axes")
    if condition.relation == "==":
        return follow(lambda: left.where_equal(right))
    return follow(lambda: left.where_at_least(right))


def at_least(these: Size, bound: Dim) -> NSet | Unfollowed:
    """The input extents for which one extent is at least another."""
    other = size(bound)
    return Unfollowed(f"{these} >= {bound}") if other is None else follow(lambda: these.where_at_least(other))


def both(a: NSet | Unfollowed, b: NSet | Unfollowed) -> NSet | Unfollowed:
    """The members of both sets."""
    if isinstance(a, Unfollowed) or isinstance(b, Unfollowed):
        return a if isinstance(a, Unfollowed) else b
    return follow(lambda: a & b)


def fibre(dim: Dim, value: int) -> NSet | Unfollowed:
    """The input extents for which an extent has a value."""
    made = size(dim)
    return Unfollowed(f"{dim}, over both axes") if made is None else follow(lambda: made.fibre(value))
