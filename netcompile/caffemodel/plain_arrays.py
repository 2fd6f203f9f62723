"""Tensors that are computed where there is no NumPy, as in a browser: just what recipes ask of arrays.

Every result is rounded to the type that NumPy gives it. That takes no single-precision arithmetic: a sum, product,
quotient or root of two float32 numbers, computed in float64 and rounded, is the one that is rounded once.
"""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Callable, Iterator, Sequence
from math import prod
from types import SimpleNamespace
from typing import Any, TypeAlias

from netcompile.caffemodel.blob import CHUNK, StoredBlob
from netcompile.caffemodel.plan import Match, Tensor
from netcompile.caffemodel.recipe import Arrays, Shape, Take
from netcompile.caffemodel.tensorfile import TYPES

_CODES = {"float32": "f", "float64": "d", "int64": "q"}
_NAN = math.copysign(math.nan, -1)  # of the root of a negative number, as processors give it
Values: TypeAlias = "array[Any]"


class PlainArray:
    """Numbers in C order, with a shape; `dtype` is one of float32, float64 and int64."""

    def __init__(self, values: Values, shape: Shape, dtype: str) -> None:
        self.values, self.shape, self.dtype = values, shape, dtype

    def reshape(self, shape: Shape) -> PlainArray:
        return PlainArray(self.values, shape, self.dtype)

    def __getitem__(self, places: tuple[slice | int | None, ...]) -> PlainArray:
        """All along the first axes, and at the last place one element, some of them, or a new axis of extent 1."""
        axis, place = len(places) - 1, places[-1]
        if place is None:
            return self.reshape((*self.shape[:axis], 1, *self.shape[axis:]))
        inner = prod(self.shape[axis + 1 :])
        first, last = (place.start, place.stop) if isinstance(place, slice) else (place, place + 1)
        kept = (last - first,) if isinstance(place, slice) else ()
        values, row = array(_CODES[self.dtype]), self.shape[axis] * inner
        for start in range(0, prod(self.shape[:axis]) * row, row or 1):
            values += self.values[start + first * inner : start + last * inner]
        return PlainArray(values, (*self.shape[:axis], *kept, *self.shape[axis + 1 :]), self.dtype)

    def diagonal(self, _offset: int, _first: int, _second: int) -> PlainArray:
        """Of shape (C, C, …) the elements [i, i], as (…, C)."""
        inner = prod(self.shape[2:])
        values, step = array(_CODES[self.dtype]), (self.shape[1] + 1) * inner
        for place in range(self.shape[0]):
            values += self.values[place * step : place * step + inner]
        axes = (*range(1, len(self.shape) - 1), 0)
        return _moveaxis(PlainArray(values, (self.shape[0], *self.shape[2:]), self.dtype), axes)

    def spread(self, shape: Shape) -> Values:
        """The numbers broadcast to a shape."""
        values, block = self.values, 1
        have = (1,) * (len(shape) - len(self.shape)) + self.shape
        for axis in reversed(range(len(shape))):
            if have[axis] != shape[axis]:
                times = shape[axis]
                wide = array(values.typecode)
                for start in range(0, len(values), block or 1):
                    wide += values[start : start + block] * times
                values = wide
            block *= shape[axis]
        return values

    def _apply(
        self, other: PlainArray | float, function: Callable[[Any, Any], Any], turned: bool = False
    ) -> PlainArray:
        if not isinstance(other, PlainArray):
            other = _full((), other, self.dtype)
        shape = tuple(b if a == 1 else a for a, b in _aligned(self.shape, other.shape))
        dtype = self.dtype if self.dtype == other.dtype else "float64"
        pair = (self.spread(shape), other.spread(shape))
        return PlainArray(array(_CODES[dtype], map(function, *reversed(pair) if turned else pair)), shape, dtype)

    def __add__(self, other: PlainArray | float) -> PlainArray:
        return self._apply(other, operator.add)

    def __sub__(self, other: PlainArray) -> PlainArray:
        return self._apply(other, operator.sub)

    def __mul__(self, other: PlainArray | float) -> PlainArray:
        return self._apply(other, operator.mul)

    def __rtruediv__(self, other: float) -> PlainArray:
        return self._apply(other, _quotient, turned=True)

    def __abs__(self) -> PlainArray:
        return PlainArray(array(_CODES[self.dtype], map(abs, self.values)), self.shape, self.dtype)

    def __eq__(self, other: object) -> Any:
        """Where the numbers equal another: an array of whole numbers, 1 and 0."""
        return PlainArray(array("q", (value == other for value in self.values)), self.shape, "int64")

    __hash__ = None  # type: ignore[assignment]


def _aligned(a: Shape, b: Shape) -> list[tuple[int, int]]:
    width = max(len(a), len(b))
    return list(zip((1,) * (width - len(a)) + a, (1,) * (width - len(b)) + b, strict=True))


def _quotient(a: float, b: float) -> float:
    if b:
        return a / b
    return math.copysign(math.inf, math.copysign(1, a) * math.copysign(1, b)) if a and a == a else _NAN


def _root(values: PlainArray) -> PlainArray:
    roots = (math.sqrt(value) if value >= 0 else _NAN if value < 0 else value for value in values.values)
    return PlainArray(array(_CODES[values.dtype], roots), values.shape, values.dtype)


def _where(mask: PlainArray, yes: PlainArray, no: PlainArray) -> PlainArray:
    chosen = (a if m else b for m, a, b in zip(mask.values, yes.values, no.values, strict=True))
    return PlainArray(array(_CODES[yes.dtype], chosen), mask.shape, yes.dtype)


def _moveaxis(values: PlainArray, source: Sequence[int] | int, target: Sequence[int] | int = 0) -> PlainArray:
    """Axis ``source[i]`` becomes axis i; the last one becomes the first where they are -1 and 0."""
    shape = values.shape
    axes = (len(shape) - 1, *range(len(shape) - 1)) if isinstance(source, int) else tuple(source)
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    out, moved = array(_CODES[values.dtype]), tuple(shape[axis] for axis in axes)
    starts = [0]
    for axis in axes[:-1]:
        starts = [start + place * strides[axis] for start in starts for place in range(shape[axis])]
    if moved and all(moved):
        step, extent = strides[axes[-1]], moved[-1]
        for start in starts:
            out += values.values[start : start + (extent - 1) * step + 1 : step]
    return PlainArray(out if moved else values.values, moved, values.dtype)


def _concatenate(parts: Sequence[PlainArray], axis: int) -> PlainArray:
    first = parts[0]
    out = array(_CODES[first.dtype])
    rows = [prod(part.shape[axis:]) for part in parts]
    for place in range(prod(first.shape[:axis])):
        for part, row in zip(parts, rows, strict=True):
            out += part.values[place * row : (place + 1) * row]
    extent = sum(part.shape[axis] for part in parts)
    return PlainArray(out, (*first.shape[:axis], extent, *first.shape[axis + 1 :]), first.dtype)


def _full(shape: Shape, value: float, dtype: str) -> PlainArray:
    return PlainArray(array(_CODES[dtype], [int(value) if dtype == "int64" else value]) * prod(shape), shape, dtype)


def _cast(values: PlainArray, dtype: str) -> PlainArray:
    return PlainArray(array(_CODES[dtype], values.values), values.shape, dtype)


_LIBRARY = SimpleNamespace(
    float32="float32", float64="float64", int64="int64",
    concatenate=_concatenate, moveaxis=_moveaxis, sqrt=_root, where=_where,
)  # fmt: skip
PLAIN = Arrays(_LIBRARY, _full, _cast)


def cast_chunks(chunks: Iterator[memoryview], stored: str, dtype: str) -> Iterator[memoryview]:
    """Little-endian numbers of one type as those of another."""
    for chunk in chunks:
        yield memoryview(array(_CODES[dtype], _numbers(chunk, stored))).cast("B")


def _numbers(chunk: memoryview, stored: str) -> Sequence[float]:
    if stored == "float16":
        import struct

        return struct.unpack(f"<{len(chunk) // 2}e", chunk)
    values = array(_CODES[stored])
    values.frombytes(chunk)
    return values


def computed(found: Match, tensor: Tensor) -> Iterator[memoryview]:
    """The bytes of a tensor in pieces: evaluated in float64 for float64 tensors, in float32 for all others."""
    kind = "float64" if tensor.dtype == "float64" else "float32"
    blob = _Blobs(found, kind)
    count = tensor.shape[0] if tensor.shape else 1
    step = max(1, CHUNK * count // max(1, prod(tensor.shape) * TYPES[kind][1]))
    for start in range(0, count, step):
        recipe = tensor.recipe
        if step < count:
            recipe = recipe.rows(start, min(start + step, count), found.shapes.__getitem__)
        values: PlainArray = recipe.evaluate(blob, PLAIN)
        yield memoryview(_cast(values, tensor.dtype).values).cast("B")


class _Blobs:
    """The numbers of blobs for a recipe: rows are read when they are asked for, whole blobs once."""

    def __init__(self, found: Match, kind: str) -> None:
        self.found, self.kind = found, kind
        self.held: dict[Take, PlainArray] = {}

    def __call__(self, take: Take) -> PlainArray:
        if take not in self.held:
            self.held[take] = self._read(self.found.blobs[take], self.found.shapes[take])
        return self.held[take]

    def rows(self, take: Take, first: int, last: int) -> PlainArray:
        """Some of the rows of a blob, as it is in the net."""
        shape = self.found.shapes[take]
        if take in self.held:
            return self.held[take][(slice(first, last),)]
        return self._read(self.found.blobs[take].some_rows(first, last, shape), (last - first, *shape[1:]))

    def _read(self, blob: StoredBlob, shape: Shape) -> PlainArray:
        values = array(_CODES[self.kind])
        for chunk in cast_chunks(blob.chunks(), blob.dtype, self.kind):
            values.frombytes(chunk)
        return PlainArray(values, shape, self.kind)
