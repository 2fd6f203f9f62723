"""Tensors that are computed, and numbers that change their type: with NumPy, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any

from netcompile.caffemodel.blob import CHUNK
from netcompile.caffemodel.plan import Match, Tensor
from netcompile.caffemodel.recipe import Take, evaluate

if TYPE_CHECKING:
    import numpy as np

    from netcompile.array import Array


def cast_chunks(chunks: Iterator[memoryview], stored: str, dtype: str) -> Iterator[memoryview]:
    """Little-endian numbers of one type as those of another."""
    import numpy as np

    source = np.dtype(stored).newbyteorder("<")
    for chunk in chunks:
        yield _to_bytes(np.frombuffer(chunk, source), dtype)


def computed(found: Match, tensor: Tensor) -> Iterator[memoryview]:
    """The bytes of a tensor in pieces: evaluated in float64 for float64 tensors, in float32 for all others."""
    import numpy as np

    kind = np.dtype("float64" if tensor.dtype == "float64" else "float32")
    blob = _Numbers(found, kind)
    count = tensor.shape[0] if tensor.shape else 1
    step = max(1, CHUNK * count // max(1, prod(tensor.shape) * kind.itemsize))
    for start in range(0, count, step):
        recipe = tensor.recipe
        if step < count:
            recipe = recipe.rows(start, min(start + step, count), found.shapes.__getitem__)
        for part in _blocks(evaluate(recipe, blob)):
            yield _to_bytes(part, tensor.dtype)


class _Numbers:
    """The numbers of blobs for a recipe: rows are read when they are asked for, whole blobs once."""

    def __init__(self, found: Match, kind: np.dtype[Any]) -> None:
        self.found, self.kind = found, kind
        self.held: dict[Take, Array] = {}

    def __call__(self, take: Take) -> Array:
        if take not in self.held:
            self.held[take] = self._cast(self.found.blobs[take].array().reshape(self.found.shapes[take]))
        return self.held[take]

    def rows(self, take: Take, first: int, last: int) -> Array:
        """Some of the rows of a blob, as it is in the net."""
        if take in self.held:
            return self.held[take][first:last]
        return self._cast(self.found.blobs[take].rows(first, last, self.found.shapes[take]))

    def _cast(self, array: Array) -> Array:
        import numpy as np

        with np.errstate(over="ignore"):
            return array.astype(self.kind, copy=False)


def _blocks(values: Array) -> Iterator[Array]:
    """Parts along the first axes, in order, of 4 MB or so: a transposed view is never copied whole."""
    if values.nbytes <= CHUNK or values.ndim == 0:
        yield values
        return
    rows = CHUNK // max(1, values.nbytes // values.shape[0])
    if rows == 0:
        for row in values:
            yield from _blocks(row)
        return
    for start in range(0, values.shape[0], rows):
        yield values[start : start + rows]


def _to_bytes(values: Array, dtype: str) -> memoryview:
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        if dtype == "bfloat16":
            flat = _bfloat16(values)
        else:
            flat = np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<")).reshape(-1)
    return flat.view("u1").data


def _bfloat16(values: Array) -> Array:
    """The upper half of each float32, rounded to nearest, ties to even; NaN stays NaN."""
    import numpy as np

    bits = np.ascontiguousarray(values, "<f4").reshape(-1).view("<u4")
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    quiet = (bits >> np.uint32(16)) | np.uint32(0x0040)
    nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    return np.where(nan, quiet, rounded).astype("<u2")
