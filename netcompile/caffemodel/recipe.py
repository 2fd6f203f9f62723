"""How one tensor is made from stored blobs of a caffemodel: expressions as plain data that can evaluate themselves.

Passes build and rewrite recipes; they never touch arrays. A recipe sees every blob in the shape that Caffe gives it in
the net (a legacy 1x1x1xN bias is N), and computes in the blobs' float type, float32 unless asked otherwise. It computes
with NumPy or with torch: `Arrays` holds what differs between the two. Here is what moves numbers about;
`arithmetic.py` has what computes others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

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


def evaluate(recipe: Recipe, blob: Callable[[Take], Array]) -> Array:
    """The result as a NumPy array: a view where the recipe only moves numbers about, so it may be read-only.

    ``blob`` gives a source in the net's shape and the type to compute in. Overflow gives inf and 0/0 nan, silently.
    """
    import numpy as np

    with np.errstate(all="ignore"):
        return np.asarray(recipe.evaluate(blob, Arrays(np, np.full, np.asarray)))
