"""How one tensor is made from stored blobs of a caffemodel: expressions as plain data that can evaluate themselves.

Passes build and rewrite recipes; they never touch arrays. A recipe sees every blob in the shape that Caffe gives it in
the net (a legacy 1x1x1xN bias is N), and computes in the blobs' float type, float32 unless asked otherwise. It computes
with NumPy or with torch: `Arrays` holds what differs between the two.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

if TYPE_CHECKING:
    from netcompile.array import Array

Shape = tuple[int, ...]
Shapes: TypeAlias = "Callable[[Take], Shape]"  # the shape in the net of each blob
# The numbers of each blob, in that shape; with a method `rows(take, start, stop)` where some rows can be had alone.
BlobNumbers: TypeAlias = "Callable[[Take], Any]"


@dataclass(frozen=True, slots=True)
class Arrays:
    """The library that arrays are of: its module, how it makes one of equal numbers, and how it changes a type."""

    library: Any
    full: Callable[..., Any]  # (shape, value, dtype=…)
    cast: Callable[[Any, Any], Any]  # (array, dtype)


class Recipe:
    """An expression over stored blobs. The methods here are those of an operation with one operand, `of`."""

    __slots__ = ()

    def operands(self) -> tuple[Recipe, ...]:
        """The recipes that this one is made of, in order; none for a leaf."""
        return (self.of,)  # type: ignore[attr-defined]

    def shape_of(self, shapes: Shapes) -> Shape:
        """The shape of the result. Raises ValueError where its parts do not fit together."""
        return self.operands()[0].shape_of(shapes)

    def rows(self, start: int, stop: int, shapes: Shapes) -> Recipe:
        """Elements ``start`` to ``stop`` (exclusive) along the result's first axis, from as little as they need.

        What computes is asked for those rows alone; what only moves numbers about may be a slice of the whole, which
        is a view.
        """
        return Slice(self, 0, start, stop)

    def evaluate(self, blob: BlobNumbers, arrays: Arrays) -> Any:
        """The result as an array of that library: a view where the recipe only moves numbers about."""
        raise NotImplementedError

    def sources(self) -> tuple[Take, ...]:
        """Every blob that is used, each once, in order of first use."""
        return tuple(dict.fromkeys(take for part in self.operands() for take in part.sources()))

    def plain_source(self) -> Take | None:
        """The blob whose numbers are, in their order, the whole result: for Take and reshapes of it; else None."""
        return None


@dataclass(frozen=True, slots=True)
class Take(Recipe):
    """Blob ``index`` of the net's first layer named ``layer``, or of a later ``occurrence`` of that name."""

    layer: str
    index: int
    occurrence: int = 0

    def __str__(self) -> str:
        """The blob's name in files: ``<layer>.<index>``, ``<layer>#2.<index>`` for the second layer of a name."""
        return f"{self.layer}{f'#{self.occurrence + 1}' if self.occurrence else ''}.{self.index}"

    def operands(self) -> tuple[Recipe, ...]:
        return ()

    def shape_of(self, shapes: Shapes) -> Shape:
        return shapes(self)

    def evaluate(self, blob: BlobNumbers, arrays: Arrays) -> Any:
        return blob(self)

    def sources(self) -> tuple[Take, ...]:
        return (self,)

    def plain_source(self) -> Take:
        return self


@dataclass(frozen=True, slots=True)
class Constant(Recipe):
    """``value`` everywhere. ``dtype``: 'float32', 'float64', 'int64'."""

    value: float
    shape: Shape
    dtype: str = "float32"

    def operands(self) -> tuple[Recipe, ...]:
        return ()

    def shape_of(self, shapes: Shapes) -> Shape:
        return self.shape

    def evaluate(self, blob: BlobNumbers, arrays: Arrays) -> Any:
        return arrays.full(self.shape, self.value, dtype=getattr(arrays.library, self.dtype))


@dataclass(frozen=True, slots=True)
class Reshape(Recipe):
    """The same numbers in order, in another shape (no -1)."""

    of: Recipe
    shape: Shape

    def shape_of(self, shapes: Shapes) -> Shape:
        inner = self.of.shape_of(shapes)
        if prod(self.shape) != prod(inner):
            raise ValueError(f"shape {inner} does not reshape to {self.shape}")
        return self.shape

    def rows(self, start: int, stop: int, shapes: Shapes) -> Recipe:
        if self.shape and self.of.shape_of(shapes)[:1] == self.shape[:1]:
            return Reshape(self.of.rows(start, stop, shapes), (stop - start, *self.shape[1:]))
        return Slice(self, 0, start, stop)

    def evaluate(self, blob: BlobNumbers, arrays: Arrays) -> Any:
        return self.of.evaluate(blob, arrays).reshape(self.shape)

    def plain_source(self) -> Take | None:
        return self.of.plain_source()


@dataclass(frozen=True, slots=True)
class Transpose(Recipe):
    """Axis i of the result is axis ``axes[i]`` of the operand."""

    of: Recipe
    axes: tuple[int, ...]

    def shape_of(self, shapes: Shapes) -> Shape:
        inner = self.of.shape_of(shapes)
        if sorted(self.axes) != list(range(len(inner))):
            raise ValueError(f"axes {self.axes} do not permute shape {inner}")
        return tuple(inner[axis] for axis in self.axes)

    def rows(self, start: int, stop: int, shapes: Shapes) -> Recipe:
        if self.axes[0] == 0:
            return Transpose(self.of.rows(start, stop, shapes), self.axes)
        return Slice(self, 0, start, stop)

    def evaluate(self, blob: BlobNumbers, arrays: Arrays) -> Any:
        values = self.of.evaluate(blob, arrays)
        return arrays.library.moveaxis(values, self.axes, tuple(range(len(self.axes))))


@dataclass(frozen=True, slots=True)
class Slice(Recipe):
    """Elements ``start`` to ``stop`` (exclusive) along ``axis``."""

    of: Recipe
    axis: int
    start: int
    stop: int

    def shape_of(self, shapes: Shapes) -> Shape:
        inner = self.of.shape_of(shapes)
        if not 0 <= self.start <= self.stop <= inner[self.axis]:
            raise ValueError(f"slice {self.start}:{self.stop} is out of axis {self.axis} of shape {inner}")
        return (*inner[: self.axis], self.stop - self.start, *inner[self.axis + 1 :])

    def rows(self, start: int, stop: int, shapes: Shapes) -> Recipe:
        if self.axis == 0:
            return self.of.rows(self.start + start, self.start + stop, shapes)
        return Slice(self.of.rows(start, stop, shapes), self.axis, self.start, self.stop)

    def evaluate(self, blob: BlobNumbers, arrays: Arrays) -> Any:
        if self.axis == 0 and isinstance(self.of, Take) and (rows := getattr(blob, "rows", None)) is not None:
            return rows(self.of, self.start, self.stop)
        return self.of.evaluate(blob, arrays)[(slice(None),) * self.axis + (slice(self.start, self.stop),)]


@dataclass(frozen=True, slots=True)
class Concat(Recipe):
    """Joined along ``axis``."""

    parts: tuple[Recipe, ...]
    axis: int

    def operands(self) -> tuple[Recipe, ...]:
        return self.parts

    def shape_of(self, shapes: Shapes) -> Shape:
        found = [part.shape_of(shapes) for part in self.parts]
        first, axis = found[0], self.axis
        if any(s[:axis] != first[:axis] or s[axis + 1 :] != first[axis + 1 :] for s in found):
            raise ValueError(f"shapes {found} cannot be joined along axis {axis}")
        return (*first[:axis], sum(s[axis] for s in found), *first[axis + 1 :])

    def rows(self, start: int, stop: int, shapes: Shapes) -> Recipe:
        if self.axis:
            return Concat(tuple(part.rows(start, stop, shapes) for part in self.parts), self.axis)
        kept, at = [], 0
        for part in self.parts:
            count = part.shape_of(shapes)[0]
            first, last = max(start - at, 0), min(stop - at, count)
            kept += [part.rows(first, last, shapes)] if first < last else []
            at += count
        return kept[0] if len(kept) == 1 else Concat(tuple(kept), 0)

    def evaluate(self, blob: BlobNumbers, arrays: Arrays) -> Any:
        return arrays.library.concatenate([part.evaluate(blob, arrays) for part in self.parts], self.axis)


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


def evaluate(recipe: Recipe, blob: Callable[[Take], Array]) -> Array:
    """The result as a NumPy array: a view where the recipe only moves numbers about, so it may be read-only.

    ``blob`` gives a source in the net's shape and the type to compute in. Overflow gives inf and 0/0 nan, silently.
    """
    import numpy as np

    with np.errstate(all="ignore"):
        return np.asarray(recipe.evaluate(blob, Arrays(np, np.full, np.asarray)))
