"""Rules that many layer types share, as bases of their classes and as functions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from netcompile.layers.base import IDENTITY, NO_AXES, Axes, BlobSpec, Emission, Emitted, Layer, Shape
from netcompile.layers.shapes import canonical_axis
from netcompile.prototxt.message import Message


def with_bias(weight: BlobSpec, bias: bool, outputs: int, filler: Message | None) -> tuple[BlobSpec, ...]:
    """The blobs of a layer with `weight` and, where it has one, a `bias` of one number an output."""
    return (weight, BlobSpec("bias", (outputs,), filler)) if bias else (weight,)


@dataclass(frozen=True, slots=True)
class SameShape(Layer):
    """A layer whose top has its bottom's shape, on the same grid of pixels."""

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (bottoms[0],)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY,)

    def expression(self, x: str) -> str:
        """Source of the result for the variable `x`."""
        raise NotImplementedError

    def emit(self, e: Emission) -> Emitted:
        return e.assign(self.expression(e.x[0]))


class Elementwise(SameShape):
    """A function of each element by itself, or of it and its channel."""

    __slots__ = ()

    family: ClassVar[str] = "activation"
    mixed: ClassVar[frozenset[int] | None] = NO_AXES


@dataclass(frozen=True, slots=True)
class AlongAxis(Layer):
    """A layer that treats one axis of its bottoms apart from all others."""

    axis: int = 1

    at: ClassVar[str] = ""  # the field that gives the axis

    def along(self, shape: Shape) -> int:
        """The axis of a bottom of this shape, counted from 0. Raises Refused where there is none."""
        return canonical_axis(self.axis, len(shape), self.at)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        return (self.along(bottoms[0]),)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY,) * len(bottoms) if self.along(bottoms[0]) < 2 else None


@dataclass(frozen=True, slots=True)
class Reordered(Layer):
    """A layer whose top has its bottom's axes in another order."""

    moves: ClassVar[slice | None] = slice(None)

    def axes(self, shape: Shape) -> tuple[int, ...]:
        """For each axis of the top the bottom's, for a bottom of this shape. Raises Refused where they do not fit."""
        raise NotImplementedError

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (tuple(bottoms[0][axis] for axis in self.axes(bottoms[0])),)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        return [axis for axis, source in enumerate(self.axes(bottoms[0])) if axis != source]

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        rank = len(bottoms[0])
        return (IDENTITY,) if self.axes(bottoms[0])[-2:] == (rank - 2, rank - 1) else None

    def emit(self, e: Emission) -> Emitted:
        order = ", ".join(map(str, self.axes(e.bottoms[0]))) or "()"
        return e.assign(f"{e.x[0]}.permute({order}).contiguous()")


@dataclass(frozen=True, slots=True)
class Sink(Layer):
    """A layer without tops: it takes its bottoms out of the net's outputs, and computes nothing here."""

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return ()

    def emit(self, e: Emission) -> Emitted:
        return Emitted()
