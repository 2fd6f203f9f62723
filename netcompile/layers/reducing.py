"""Layers that keep a few of many elements: Reduction, ArgMax; Filter and BatchReindex, which choose items."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Self

from netcompile.algebra.volume import Volume
from netcompile.diagnostics.text import shape_text
from netcompile.layers.base import (
    IDENTITY,
    Arity,
    Axes,
    Condition,
    Emission,
    Emitted,
    IntShape,
    Layer,
    Refused,
    Shape,
    layer,
)
from netcompile.layers.kinds import AlongAxis
from netcompile.layers.params import Params
from netcompile.layers.shapes import canonical_axis, volume
from netcompile.layers.source import literal


@layer("Reduction")
@dataclass(frozen=True, slots=True)
class Reduction(AlongAxis):
    """Sum, sum of absolute values, sum of squares or mean over all axes from `axis` on, times `coeff`."""

    operation: str = "SUM"
    coeff: float = 1.0

    at: ClassVar[str] = "reduction_param.axis"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("reduction_param")
        return cls(int(s.get("axis")), s.get("operation"), s.get("coeff"))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (bottoms[0][: self.along(bottoms[0])],)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        return range(self.along(bottoms[0]), len(bottoms[0]))

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return None

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        return prod(bottoms[0])

    def emit(self, e: Emission) -> Emitted:
        rank = len(e.bottoms[0])
        axis = self.along(e.bottoms[0])
        axes = tuple(range(axis, rank))
        dim = f"dim={axes[0] if len(axes) == 1 else axes}" if axis else ""
        operand = {"ASUM": f"{e.x[0]}.abs()", "SUMSQ": f"{e.x[0]}.square()"}.get(self.operation, e.x[0])
        text = f"{operand}.{'mean' if self.operation == 'MEAN' else 'sum'}({dim})"
        return e.assign(f"{text if self.coeff == 1 else f'{literal(self.coeff)} * {text}'}")


@layer("ArgMax")
@dataclass(frozen=True, slots=True)
class ArgMax(Layer):
    """Indices (or values) of the `top_k` largest elements along an axis, or over each item of the batch.

    Of equal elements the one with the larger index counts as larger: Caffe sorts pairs of value and index.
    Along an axis `out_max_val` gives the values in place of the indices; over whole items it gives both, in
    two channels.
    """

    axis: int | None = None
    top_k: int = 1
    values: bool = False

    family: ClassVar[str] = "prediction"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("argmax_param")
        return cls(s.given("axis"), s.positive("top_k"), bool(s.get("out_max_val")))

    def along(self, rank: int) -> int | None:
        """The axis, counted from 0; None for the whole item."""
        if self.axis is None:
            if not rank:
                raise Refused("ArgMax wants 1 axis or more, not 0", at="bottom[0]")
            return None
        return canonical_axis(self.axis, rank, "argmax_param.axis")

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        x = bottoms[0]
        axis = self.along(len(x))
        if self.top_k == 1:
            return ()
        extent = volume(x[1:]) if axis is None else x[axis]
        if isinstance(extent, Volume) and prod(d for d in x[1:] if isinstance(d, int)) >= self.top_k:
            return ()
        refusal = Refused(
            f"top_k {self.top_k} of {extent} elements",
            code="param-range",
            at="argmax_param.top_k",
            why=f"the bottom is {shape_text(x)}" + ("" if axis is None else f", and axis {axis} counts"),
        )
        return [Condition(extent, ">=", self.top_k, refusal)]

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x = bottoms[0]
        axis = self.along(len(x))
        if axis is not None:
            return ((*x[:axis], self.top_k, *x[axis + 1 :]),)
        return ((x[0], 2 if self.values else 1, self.top_k, *(1,) * (len(x) - 3)),)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        axis = self.along(len(bottoms[0]))
        return range(1, len(bottoms[0])) if axis is None else (axis,)

    def content(self, *bottoms: str) -> str:
        return "" if self.values else "labels"

    def choices(self, *bottoms: IntShape) -> int:
        axis = self.along(len(bottoms[0]))
        return prod(bottoms[0][1:]) if axis is None else bottoms[0][axis]

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        axis = self.along(len(bottoms[0]))
        return (IDENTITY,) if axis is not None and axis < 2 else None

    def index_tops(self) -> tuple[int, ...]:
        return () if self.values and self.axis is not None else (0,)

    def emit(self, e: Emission) -> Emitted:
        x, y, rank = e.x[0], e.y[0], len(e.bottoms[0])
        axis = self.along(rank)
        k = f", k={self.top_k}" if self.top_k > 1 else ""
        if axis is not None:
            part = 0 if self.values else 1
            return Emitted((f"{y} = largest({x}, dim={axis}{k})[{part}]",), functions=("reducing.largest",))
        items = f"{x}[:, None]" if rank == 1 else x if rank == 2 else f"{x}.flatten(1)"
        behind = "".join(", None" for _ in range(rank - 3))
        if self.values:
            lines = [f"{y} = with_indices(*largest({items}, dim=1{k}))"]
            if behind:
                lines.append(f"{y} = {y}[...{behind}]")
            return Emitted(tuple(lines), functions=("reducing.largest", "reducing.with_indices"))
        return Emitted(
            (f"{y} = largest({items}, dim=1{k})[1][:, None{', :' + behind if behind else ''}]",),
            functions=("reducing.largest",),
        )


@layer("Filter")
@dataclass(frozen=True, slots=True)
class Filter(Layer):
    """The items of each bottom for which the last bottom, the selector, is not 0.

    How many they are is known when the net runs; the shapes here are those of Caffe's first reshaping: all.
    """

    arity: ClassVar[Arity] = Arity(bottoms=(2, None), tops=(1, None))
    index_bottoms: ClassVar[tuple[int, ...]] = (-1,)
    moves: ClassVar[slice | None] = slice(0, -1)
    sized_by_values: ClassVar[bool] = True

    @classmethod
    def read(cls, p: Params) -> Self:
        if p.bottoms > 1 and p.tops != p.bottoms - 1:
            p.refuse(
                "top",
                f"Filter makes {p.bottoms - 1} tops of {p.bottoms} bottoms, not {p.tops}",
                code="arity",
                why="the last bottom is the selector; every other one has its top",
            )
        return cls()

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        *data, selector = bottoms
        at = f"bottom[{len(data)}]"
        if not selector:
            raise Refused("the selector of a Filter has no axis", at=at)
        what = "the selector of a Filter has one number for each item"
        flat = Refused(what, at=at, why=f"its shape is {shape_text(selector)}")
        found = [Condition(d, "==", 1, flat) for d in selector[1:]]
        for index, shape in enumerate(data):
            if not shape:
                raise Refused("a scalar has no items to filter", at=f"bottom[{index}]")
            refusal = Refused(f"{shape[0]} items, and a selector for {selector[0]}", at=f"bottom[{index}]")
            found.append(Condition(selector[0], "==", shape[0], refusal))
        return found

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return tuple(bottoms[:-1])

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY, None) if len(bottoms) == 2 else None

    def emit(self, e: Emission) -> Emitted:
        *data, selector = e.x
        chosen = f"{selector}.flatten() != 0" if len(e.bottoms[-1]) > 1 else f"{selector} != 0"
        items = ", ".join(f"{x}[{chosen}]" for x in data)
        return Emitted((f"{', '.join(e.y)} = {items}",))


@layer("BatchReindex")
@dataclass(frozen=True, slots=True)
class BatchReindex(Layer):
    """The items of bottom[0] that bottom[1] lists, in its order."""

    arity: ClassVar[Arity] = Arity(bottoms=2, tops=1)
    index_bottoms: ClassVar[tuple[int, ...]] = (1,)
    moves: ClassVar[slice | None] = slice(0, 1)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x, index = bottoms
        if len(index) != 1:
            raise Refused(f"the list of items wants 1 axis, not {len(index)}", at="bottom[1]")
        if not x:
            raise Refused("a scalar has no items to choose from", at="bottom[0]")
        return ((index[0], *x[1:]),)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY, None)

    def emit(self, e: Emission) -> Emitted:
        return e.assign(f"{e.x[0]}[{e.x[1]}.long()]")
