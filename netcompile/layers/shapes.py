"""Arithmetic on shapes that layers share: extents as numbers, axes counted from 0, blobs as planes."""

from __future__ import annotations

from collections.abc import Sequence

from netcompile.algebra.volume import product
from netcompile.diagnostics.text import shape_text
from netcompile.layers.base import Condition, Dim, NeedsNumber, Refused, Shape


def number(dim: Dim) -> int:
    """The extent as a number; raises NeedsNumber if it depends on the input's size."""
    if isinstance(dim, int):
        return dim
    value = dim.as_int()
    if value is None:
        raise NeedsNumber(str(dim))
    return value


def count(shape: Sequence[Dim], start: int = 0) -> int:
    """Product of the extents from axis `start` on (Caffe's Blob::count)."""
    total = 1
    for dim in shape[start:]:
        total *= number(dim)
    return total


def volume(dims: Sequence[Dim]) -> Dim:
    """Product of the extents, as an exact function of the height and the width where they depend on both."""
    return product(*dims)


def canonical_axis(axis: int, rank: int, at: str) -> int:
    """Caffe's CanonicalAxisIndex: -1 is the last axis. Raises Refused outside -rank … rank-1."""
    if not -rank <= axis < rank:
        raise Refused(
            f"axis {axis} of {rank}",
            code="axis",
            at=at,
            why=f"the bottom has {rank} axes, so axis must lie in {-rank} … {rank - 1}",
        )
    return axis + rank if axis < 0 else axis


def same_shape(a: Shape, b: Shape, what: str, at: str = "bottom[1]", why: str = "") -> list[Condition]:
    """Conditions for two shapes to be equal. Raises Refused where the ranks differ."""
    if len(a) != len(b):
        raise Refused(what, at=at, why=why or f"{shape_text(a)} and {shape_text(b)} have {len(a)} and {len(b)} axes")

    def refusal() -> Refused:
        return Refused(what, at=at, why=why or f"{shape_text(a)} against {shape_text(b)}")

    return [Condition(p, "==", q, refusal) for p, q in zip(a, b, strict=True) if p is not q]


def all_alike(bottoms: Sequence[Shape], what: str) -> list[Condition]:
    """Conditions for all bottoms to have the first one's shape. Raises Refused where the ranks differ."""
    others = enumerate(bottoms[1:], 1)
    return [c for index, other in others for c in same_shape(bottoms[0], other, what, f"bottom[{index}]")]


def planes(shape: Shape, what: str, at: str = "bottom[0]") -> Shape:
    """The (batch, channels, height, width) that Caffe's old accessors make of a blob: 1 for every axis it lacks.

    Layers that read their bottoms so make tops of four axes. Raises Refused for more axes, as the accessors do.
    """
    if len(shape) > 4:
        raise Refused(f"{what} wants up to 4 axes, not {len(shape)}", at=at, why="(batch, channels, height, width)")
    return (*shape, *(1,) * (4 - len(shape)))


def four_axes(shape: Shape, what: str, at: str = "bottom[0]") -> None:
    """Raises Refused unless the blob is (batch, channels, height, width)."""
    if len(shape) != 4:
        raise Refused(f"{what} wants 4 axes, not {len(shape)}", at=at, why="(batch, channels, height, width)")
