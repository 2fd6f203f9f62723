"""The values of a caffemodel: layers with blobs whose numbers stay in the file until they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, Literal, Protocol

from netcompile.caffemodel.file import DataFile
from netcompile.caffemodel.wire import Pieces
from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.diagnostics.text import shape_text
from netcompile.files.limits import require_memory

if TYPE_CHECKING:
    import numpy as np


FloatType = Literal["float16", "float32", "float64"]

ITEM_BYTES: dict[str, int] = {"float16": 2, "float32": 4, "float64": 8}
REFETCH = "fetch or write the file again"  # what to do about a damaged file
MOST = 2**31 - 1  # numbers of a blob: Caffe counts them in an int, and so do its extents
AXES = 32  # Caffe's kMaxBlobAxes
CHUNK = 1 << 20  # bytes moved at a time: what the processor's cache holds from the read to the write


def shown(name: str) -> str:
    """A name from a file for a message: quoted, of bounded length."""
    return repr(name if len(name) <= 80 else f"{name[:77]}...")


def impossible(shape: tuple[int, ...]) -> str:
    """Why no blob of Caffe's has this shape, "" where one may: an empty one can claim extents that no array has."""
    if max(shape, default=0) > MOST or prod(extent or 1 for extent in shape) > MOST:
        return f"shape {shape_text(shape)} is beyond the {MOST} numbers that Caffe counts to"
    return ""


class BlobData(Protocol):
    """Where the numbers of a blob come from."""

    def chunks(self, limit: int) -> Iterator[memoryview]:
        """All numbers in order, little-endian, ``limit`` bytes at a time; a view dies with the next."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class FileData:
    """Numbers that lie in a file as they are: packed, in several packed chunks, or each with its tag."""

    file: DataFile
    pieces: Pieces

    def chunks(self, limit: int = CHUNK) -> Iterator[memoryview]:
        size = self.pieces.size
        buffer = memoryview(bytearray(min(max(limit // size, 1), self.pieces.count) * size))
        filled = 0
        for offset, count, stride in self.pieces:
            while count:
                take = min(count, (len(buffer) - filled) // size)
                part = buffer[filled : filled + take * size]
                if stride == size:
                    self.file.read_into(part, offset)
                else:  # a tag before every number but the first
                    tagged = self.file[offset : offset + take * stride - 1]
                    for byte in range(size):
                        part[byte::size] = tagged[byte::stride]
                filled += len(part)
                offset += take * stride
                count -= take
                if filled == len(buffer):
                    yield buffer
                    filled = 0
        if filled:
            yield buffer[:filled]

    def part(self, first: int, count: int) -> FileData:
        """``count`` of the numbers, from the one with number ``first`` on."""
        return FileData(self.file, self.pieces.part(first, count))


@dataclass(frozen=True, slots=True, eq=False)
class ArrayData:
    """Numbers that a contiguous array holds."""

    array: np.ndarray[Any, Any]

    def chunks(self, limit: int = CHUNK) -> Iterator[memoryview]:
        data = self.array.reshape(-1).view("u1").data
        for start in range(0, len(data), limit):
            yield data[start : start + limit]


@dataclass(frozen=True, slots=True, eq=False)
class StoredBlob:
    """One parameter array of a layer, still in its file.

    ``shape`` is as in the file: for ``legacy`` blobs (num, channels, height, width), always four axes.
    ``dtype`` is the type stored: float32, float64 (``double_data``) or, from forks, float16.
    """

    shape: tuple[int, ...]
    dtype: FloatType
    data: BlobData = field(repr=False)
    legacy: bool = False

    @property
    def count(self) -> int:
        """How many numbers: the product of the shape, 1 for a scalar."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.count * ITEM_BYTES[self.dtype]

    def chunks(self, limit: int = CHUNK) -> Iterator[memoryview]:
        """The numbers in order as little-endian bytes, ``limit`` at a time; a view dies with the next."""
        return self.data.chunks(limit)

    def array(self) -> np.ndarray[Any, Any]:
        """The numbers as a read-only array of ``shape``, read from the file. NetError where the memory is bounded."""
        import numpy as np

        dtype = np.dtype(f"<f{ITEM_BYTES[self.dtype]}")
        if self.count == 0:
            return np.zeros(self.shape, dtype)
        require_memory(self.nbytes, f"a blob of shape {shape_text(self.shape)}")
        out = np.empty(self.count, dtype)
        flat, filled = out.view("u1"), 0
        for chunk in self.chunks():
            flat[filled : filled + len(chunk)] = np.frombuffer(chunk, "u1")
            filled += len(chunk)
        out.flags.writeable = False
        return out.reshape(self.shape)

    def rows(self, first: int, last: int, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """Rows ``first`` to ``last`` (exclusive) of the numbers in ``shape``, which differs by axes of extent 1."""
        if not isinstance(self.data, FileData):
            return self.array().reshape(shape)[first:last]
        return self.some_rows(first, last, shape).array()

    def some_rows(self, first: int, last: int, shape: tuple[int, ...]) -> StoredBlob:
        """As a blob, where the numbers lie in the file."""
        assert isinstance(self.data, FileData)
        row = prod(shape[1:])
        part = self.data.part(first * row, (last - first) * row)
        return StoredBlob((last - first, *shape[1:]), self.dtype, part)


@dataclass(frozen=True, slots=True, eq=False)
class StoredLayer:
    """A layer of the file.

    ``type`` is its name (V2 'Convolution', V1 'CONVOLUTION', V0 'conv'), the number as text for an enum value of a
    fork, '' where the file does not say (HDF5). A blob is None where HDF5 has none at that index: a shared parameter is
    kept by its owner only. ``occurrence``: which of a net's layers of that name it is, from 0 (.safetensors).
    """

    name: str
    type: str
    blobs: tuple[StoredBlob | None, ...]
    occurrence: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class CaffeModel:
    """The weights of a net, in file order. Names may repeat. ``notes`` are findings that stop nothing."""

    path: str
    format: Literal["V0", "V1", "V2", "HDF5", "safetensors"]
    name: str
    layers: tuple[StoredLayer, ...]
    notes: tuple[Diagnostic, ...] = ()
