"""Recipes that compute numbers: sums, products, running statistics, combinations of slices."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from netcompile.caffemodel.recipe import Arrays, BlobNumbers, Recipe, Shape, Shapes, Slice


@dataclass(frozen=True, slots=True)
class _Elementwise(Recipe):
    """Two operands, broadcast as NumPy does."""

    left: Recipe
    right: Recipe
    apply: ClassVar[Callable[[Any, Any], Any]]

    def operands(self) -> tuple[Recipe, ...]:
        return (self.left, self.right)

    def shape_of(self, shapes: Shapes) -> Shape:
        a, b = self.left.shape_of(shapes), self.right.shape_of(shapes)
        width = max(len(a), len(b))
        pairs = list(zip((1,) * (width - len(a)) + a, (1,) * (width - len(b)) + b, strict=True))
        if any(x != y and 1 not in (x, y) for x, y in pairs):
            raise ValueError(f"shapes {a} and {b} do not broadcast")
        return tuple(y if x == 1 else x for x, y in pairs)

    def rows(self, start: int, stop: int, shapes: Shapes) -> Recipe:
        whole = self.shape_of(shapes)

        def part(of: Recipe) -> Recipe:
            shape = of.shape_of(shapes)
            return of if len(shape) < len(whole) or shape[0] == 1 != whole[0] else of.rows(start, stop, shapes)

        return type(self)(part(self.left), part(self.right))

    def evaluate(self, blob: BlobNumbers, arrays: Arrays) -> Any:
        return type(self).apply(self.left.evaluate(blob, arrays), self.right.evaluate(blob, arrays))


class Add(_Elementwise):
    """left + right"""

    __slots__ = ()
    apply = operator.add


class Subtract(_Elementwise):
    """left - right"""

    __slots__ = ()
    apply = operator.sub


class Multiply(_Elementwise):
    """left · right"""

    __slots__ = ()
    apply = operator.mul


@dataclass(frozen=True, slots=True)
class ScaledByFactor(Recipe):
    """A running statistic of Caffe's BatchNorm: ``of`` · (1/factor), and 0 where the factor (one number) is 0.

    The reciprocal is rounded first, as Caffe does, so the result is Caffe's to the last bit.
    """

    of: Recipe
    factor: Recipe

    def operands(self) -> tuple[Recipe, ...]:
        return (self.of, self.factor)

    def shape_of(self, shapes: Shapes) -> Shape:
        if prod(self.factor.shape_of(shapes)) != 1:
            raise ValueError("the factor must be one number")
        return self.of.shape_of(shapes)

    def rows(self, start: int, stop: int, shapes: Shapes) -> Recipe:
        return ScaledByFactor(self.of.rows(start, stop, shapes), self.factor)

    def evaluate(self, blob: BlobNumbers, arrays: Arrays) -> Any:
        values = self.of.evaluate(blob, arrays)
        factor = self.factor.evaluate(blob, arrays).reshape((1,))
        return (values * arrays.library.where(factor == 0, abs(factor), 1 / factor)).reshape(values.shape)


@dataclass(frozen=True, slots=True)
class Diagonal(Recipe):
    """Of shape (C, C, …) the elements [i, i], as (C, 1, …)."""

    of: Recipe

    def shape_of(self, shapes: Shapes) -> Shape:
        inner = self.of.shape_of(shapes)
        if len(inner) < 2 or inner[0] != inner[1]:
            raise ValueError(f"shape {inner} has no diagonal")
        return (inner[0], 1, *inner[2:])

    def evaluate(self, blob: BlobNumbers, arrays: Arrays) -> Any:
        values = self.of.evaluate(blob, arrays).diagonal(0, 0, 1)  # its axis is the last one
        return arrays.library.moveaxis(values, -1, 0)[:, None]


@dataclass(frozen=True, slots=True)
class Combined(Recipe):
    """The sum of the slices along ``axis``, times ``factors``; that axis is gone. Summed in float64."""

    of: Recipe
    axis: int
    factors: tuple[float, ...]

    def shape_of(self, shapes: Shapes) -> Shape:
        inner = self.of.shape_of(shapes)
        if not self.axis < len(inner) or inner[self.axis] != len(self.factors):
            raise ValueError(f"axis {self.axis} of shape {inner} does not have {len(self.factors)} slices")
        return (*inner[: self.axis], *inner[self.axis + 1 :])

    def rows(self, start: int, stop: int, shapes: Shapes) -> Recipe:
        if self.axis:
            return Combined(self.of.rows(start, stop, shapes), self.axis, self.factors)
        return Slice(self, 0, start, stop)

    def evaluate(self, blob: BlobNumbers, arrays: Arrays) -> Any:
        values = self.of.evaluate(blob, arrays)
        shape = (*values.shape[: self.axis], *values.shape[self.axis + 1 :])
        total = arrays.full(shape, 0, dtype=arrays.library.float64)
        for place, factor in enumerate(self.factors):
            if factor:
                part = values[(slice(None),) * self.axis + (place,)]
                total = total + arrays.cast(part, arrays.library.float64) * factor
        return arrays.cast(total, values.dtype)


@dataclass(frozen=True, slots=True)
class Rsqrt(Recipe):
    """1 / sqrt(of + eps)."""

    of: Recipe
    eps: float

    def rows(self, start: int, stop: int, shapes: Shapes) -> Recipe:
        return Rsqrt(self.of.rows(start, stop, shapes), self.eps)

    def evaluate(self, blob: BlobNumbers, arrays: Arrays) -> Any:
        return 1 / arrays.library.sqrt(self.of.evaluate(blob, arrays) + self.eps)
