"""Layers that give a blob's elements other axes: Flatten, Reshape."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Self

from netcompile.diagnostics.text import shape_text
from netcompile.layers.base import (
    Condition,
    Dim,
    Emission,
    Emitted,
    IntShape,
    Layer,
    NeedsNumber,
    Refused,
    Shape,
    Wish,
    layer,
)
from netcompile.layers.params import Params
from netcompile.layers.shapes import canonical_axis, volume


def _quotient(upper: Sequence[Dim], lower: Sequence[Dim]) -> tuple[Dim, int]:
    """The products of `upper` and of `lower`, after what stands in both is struck out.

    Raises NeedsNumber where what is left below depends on the input's size.
    """
    left, below = list(upper), 1
    for dim in lower:
        known = dim if isinstance(dim, int) else dim.as_int()
        if known is not None:
            below *= known
        elif dim in left:
            left.remove(dim)
        else:
            raise NeedsNumber(str(dim))
    return volume(left), below


@layer("Flatten")
@dataclass(frozen=True, slots=True)
class Flatten(Layer):
    """The axes from `axis` to `end_axis`, both included, as one; an end before the start adds an axis."""

    axis: int = 1
    end_axis: int = -1

    moves: ClassVar[slice | None] = slice(None)

    @classmethod
    def read(cls, p: Params) -> Self:
        p.refuse_in_place()
        s = p.sub("flatten_param")
        return cls(int(s.get("axis")), int(s.get("end_axis")))

    def span(self, rank: int) -> tuple[int, int]:
        """First axis, and the one behind the last."""
        start = canonical_axis(self.axis, rank, "flatten_param.axis")
        end = canonical_axis(self.end_axis, rank, "flatten_param.end_axis") + 1
        if end < start:
            raise Refused(
                f"end_axis {end - 1} before axis {start}",
                code="axis",
                at="flatten_param.end_axis",
                why="there is nothing between them to flatten",
            )
        return start, end

    def shares_memory(self, bottoms: int, tops: int) -> bool:
        return True

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x = bottoms[0]
        start, end = self.span(len(x))
        return ((*x[:start], volume(x[start:end]), *x[end:]),)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        return range(self.span(len(bottoms[0]))[0], len(bottoms[0]))

    def emit(self, e: Emission) -> Emitted:
        rank = len(e.bottoms[0])
        start, end = self.span(rank)
        if start == end:
            return e.assign(f"{e.x[0]}.unsqueeze({start})")
        last = f", {end - 1}" if end < rank else ""
        return e.assign(f"{e.x[0]}.flatten({start}{last})")


@layer("Reshape")
@dataclass(frozen=True, slots=True)
class Reshape(Layer):
    """`num_axes` axes from `axis` on replaced: dim 0 copies the bottom's extent, -1 takes what is left."""

    dims: tuple[int, ...] = ()
    axis: int = 0
    num_axes: int = -1

    moves: ClassVar[slice | None] = slice(None)

    @classmethod
    def read(cls, p: Params) -> Self:
        p.refuse_in_place()
        s = p.sub("reshape_param")
        dims = tuple(int(d) for d in s.get("shape").all("dim"))
        axis, num_axes = int(s.get("axis")), int(s.get("num_axes"))
        for index, dim in enumerate(dims):
            if dim < -1:
                p.refuse(
                    f"reshape_param.shape.dim[{index}]",
                    f"dim {dim} is no extent",
                    code="param-range",
                    why="0 copies the bottom's, -1 takes what is left, anything else must be positive",
                )
        if dims.count(-1) > 1:
            second = [i for i, d in enumerate(dims) if d == -1][1]
            p.refuse(
                f"reshape_param.shape.dim[{second}]",
                "more than one dim is -1",
                code="param-count",
                why="only one extent can follow from the others",
            )
        if num_axes < -1:
            s.refuse("num_axes", f"num_axes {num_axes} is less than -1", code="param-range")
        return cls(dims, axis, max(num_axes, -1))

    def span(self, rank: int) -> tuple[int, int]:
        """First axis that is replaced, and the one behind the last; axis -1 stands behind the last axis."""
        start = self.axis if self.axis >= 0 else rank + self.axis + 1
        if not 0 <= start <= rank:
            raise Refused(
                f"axis {self.axis} of {rank}",
                code="axis",
                at="reshape_param.axis",
                why=f"new axes can stand at {-rank - 1} … {rank}",
            )
        end = rank if self.num_axes == -1 else start + self.num_axes
        if end > rank:
            what = f"{self.num_axes} axes from axis {start} on, of {rank}"
            raise Refused(what, code="axis", at="reshape_param.num_axes")
        return start, end

    def copied(self, rank: int) -> dict[int, int]:
        """For each dim that is 0: the axis of the bottom that it copies."""
        start, _ = self.span(rank)
        found = {index: start + index for index, dim in enumerate(self.dims) if dim == 0}
        for index, axis in found.items():
            if axis >= rank:
                raise Refused(
                    f"dim 0 at axis {axis}, and the bottom has {rank} axes",
                    code="axis",
                    at=f"reshape_param.shape.dim[{index}]",
                    why="0 copies the bottom's extent at the same place, and there is none",
                )
        return found

    def elements(self, x: Shape) -> tuple[Dim, int]:
        """Elements of the bottom, and of the extents that are given: the quotient is the dim that is -1."""
        start, end = self.span(len(x))
        copied = self.copied(len(x))
        given = [x[copied[i]] if i in copied else d for i, d in enumerate(self.dims) if d != -1]
        return _quotient(x, (*x[:start], *x[end:], *given))

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        x = bottoms[0]
        have, given = self.elements(x)
        inferred = -1 in self.dims and given != 0
        target = ["?" if d == -1 else d for d in self.dims] if inferred else self.target(x)
        refusal = Refused(
            "element count differs",
            at="reshape_param.shape",
            why=f"the bottom is {shape_text(x)}, the top would be {shape_text(target)}: "
            + (f"{have} does not divide by {given}" if inferred else f"{have} elements against {given}"),
        )
        return [Condition(have, "==", have // given * given if inferred else given, refusal)]

    def target(self, x: Shape) -> Shape:
        start, end = self.span(len(x))
        copied = self.copied(len(x))
        middle: list[Dim] = []
        for index, dim in enumerate(self.dims):
            if dim == -1:
                have, given = self.elements(x)
                middle.append(have // given if given else 0)
            else:
                middle.append(x[copied[index]] if index in copied else dim)
        return (*x[:start], *middle, *x[end:])

    def shares_memory(self, bottoms: int, tops: int) -> bool:
        return True

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (self.target(bottoms[0]),)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        start, _ = self.span(len(bottoms[0]))
        copied = next((i for i, dim in enumerate(self.dims) if dim), len(self.dims))
        return range(start + copied, len(bottoms[0]))

    def wants(self, index: int, *bottoms: IntShape) -> Sequence[Wish]:
        x, dims = bottoms[index], self.dims
        if not dims or min(dims) < 1:
            return ()
        rest, whole = prod(x[1:]), prod(dims)
        found: list[Wish] = [(whole // rest, *(None,) * (len(x) - 1))] if rest and whole % rest == 0 else []
        if len(x) == len(dims) + 1 and len(dims) > 2:
            found.append((*dims[:2], 1, *dims[2:]))
        return [*found, (whole,), dims]

    def emit(self, e: Emission) -> Emitted:
        x, rank = e.x[0], len(e.bottoms[0])
        start, end = self.span(rank)
        if start == end and self.dims == (1,):
            return e.assign(f"{x}.unsqueeze({start})")
        copied = self.copied(rank)
        middle = [f"{x}.shape[{copied[i]}]" if i in copied else str(d) for i, d in enumerate(self.dims)]
        kept = [f"{x}.shape[{axis}]" for axis in range(rank)]
        dims = [*kept[:start], *middle, *kept[end:]]
        if dims[-1:] == ["-1"] and dims[:-1] == kept[: len(dims) - 1] and len(dims) <= rank:
            return e.assign(f"{x}.flatten({len(dims) - 1})")
        if kept and dims[:rank] == kept and set(dims[rank:]) == {"1"}:
            return e.assign(f"{x}[...{', None' * (len(dims) - rank)}]")
        return e.assign(f"{x}.reshape({', '.join(dims) or '()'})")
