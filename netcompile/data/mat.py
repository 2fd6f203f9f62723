"""One array from a MATLAB file: the label maps of SBD, SIFT Flow and NYUDv2 (version 5, or 7.3, which is HDF5).

Of a version 5 file only what leads to the array is read, as MathWorks' "MAT-File Format" (chapter 1) has it: elements
with a type and a length, of which a matrix is one that has its class, its extents, its name and its numbers as elements
inside. What a file claims is compared with the bytes that are there; nothing recurses; other arrays are stepped over.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from math import prod

import numpy as np

from netcompile.array import Array
from netcompile.caffemodel.file import DataFile
from netcompile.caffemodel.hdf5 import read_array
from netcompile.diagnostics.text import shape_text
from netcompile.files.limits import DEFLATE, require_memory
from netcompile.files.reading import open_file

_LARGEST = 1 << 28  # bytes of a file, and of an array: beyond any label map
_BEGIN = 1 << 10  # bytes that hold a matrix up to its name
_NAME = 64  # bytes of a name
_FIELDS = 1 << 12  # of a structure
_AXES = 32
_NAMED = 10  # arrays and fields that a message names
_COMPRESSED, _MATRIX, _STRUCTURE = 15, 14, 2
_COMPLEX = 0x800
_HDF5 = b"\x89HDF\r\n\x1a\n"
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}  # of elements
_CLASSES = {
    1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "double", 7: "single", 8: "int8", 9: "uint8",
    10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64", 15: "uint64", 16: "function", 17: "opaque",
}  # fmt: skip
_NUMBERS = range(6, 16)  # classes of numbers


def read_mat(path: str, name: str, *fields: str) -> Array:
    """The real numeric array called `name`, or that in `fields` of the structure of this name.

    Raises OSError; ValueError for a damaged file or one without it; NetError where it is larger than the memory may
    hold, or is no file.
    """
    with open_file(path) as file:
        head = file.read(520)
        if _HDF5 in (head[:8], head[512:]):
            return np.asarray(read_array(DataFile(path), "/".join((name, *fields)))).T
        size = os.fstat(file.fileno()).st_size
        if size > _LARGEST:
            raise ValueError(f"it has {size} bytes, which no label map does")
        require_memory(2 * size, f"reading {path}")
        data = memoryview(head + file.read(_LARGEST - len(head)))
    if len(data) < 128 or bytes(data[126:128]) not in (b"IM", b"MI"):
        raise ValueError("it is no MATLAB file (version 5 or 7.3)")
    order = "<" if bytes(data[126:128]) == b"IM" else ">"
    found = _named(data[128:], order, name)
    for field in fields:
        found = _field(found, field)
    return _numbers(found)


@dataclass(frozen=True, slots=True)
class _Matrix:
    """A matrix: its class, whether it is complex, its extents and name; `rest` are the elements after these."""

    kind: int
    complex: bool
    extents: tuple[int, ...]
    name: str
    rest: memoryview
    order: str


def _named(data: memoryview, order: str, name: str) -> _Matrix:
    """The array of this name among those of the file."""
    names = []
    for kind, body, _ in _elements(data, order):
        begin = body
        if kind == _COMPRESSED:
            begin = _inflated(body, _BEGIN)[8:]  # behind the tag of the matrix
        elif kind != _MATRIX:
            continue
        found = _matrix(begin, order)
        if found.name == name:
            return found if kind == _MATRIX else _unpacked(body, order)
        names.append(found.name)
    raise ValueError(f"it has no array '{name}'; it has {', '.join(filter(None, names[:_NAMED])) or 'none'}")


def _unpacked(body: memoryview, order: str) -> _Matrix:
    """The matrix in a compressed element."""
    whole = _inflated(body, _LARGEST + 1)
    if len(whole) > _LARGEST:
        raise ValueError(f"it holds more than {_LARGEST >> 20} MiB unpacked, which no label map does")
    for kind, content, _ in _elements(whole, order):
        if kind == _MATRIX:
            return _matrix(content, order)
    raise ValueError("its compressed data holds no array")


def _inflated(body: memoryview, most: int) -> memoryview:
    """A compressed element unpacked, `most` bytes of it."""
    require_memory(2 * min(most, len(body) * DEFLATE), "what a compressed array unpacks to")
    try:
        return memoryview(zlib.decompressobj().decompress(body, most))
    except zlib.error as error:
        raise ValueError(f"its compressed data is damaged: {error}") from None


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview, int]]:
    """Elements that stand one after the other: type, bytes, where the next one starts. Less than a tag is none."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        start, after = at + 8, at + 8 + size
        if kind >> 16:  # up to four bytes, within the tag
            kind, size, start, after = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        elif kind != _COMPRESSED:
            after += -size % 8
        if start + size > len(data) or start + size > after:
            raise ValueError("it ends in the middle of an array: truncated?")
        yield kind, data[start : start + size], after
        at = after


def _matrix(body: memoryview, order: str) -> _Matrix:
    """A matrix from its element, which may be cut behind the name."""
    elements = list(islice(_elements(body, order), 3))
    if len(elements) < 3:
        raise ValueError("an array has no name")
    (_, flags, _), (kind, extents, _), (_, name, after) = elements
    if len(flags) != 8 or _TYPES.get(kind) != "i4" or len(extents) % 4:
        raise ValueError("an array has no class or no extents")
    word = struct.unpack(f"{order}II", flags)[0]
    shape = struct.unpack(f"{order}{len(extents) // 4}i", extents)
    text = bytes(name[:_NAME]).decode("latin1")
    return _Matrix(word & 0xFF, bool(word & _COMPLEX), shape, text, body[after:], order)


def _field(of: _Matrix, field: str) -> _Matrix:
    """A field of a structure."""
    if of.kind != _STRUCTURE:
        raise ValueError(f"'{of.name}' is no structure with the field '{field}': it is of class {_class(of)}")
    if prod(of.extents) != 1:
        raise ValueError(f"'{of.name}' is {shape_text(of.extents)} structures, not one")
    elements = _elements(of.rest, of.order)
    head = list(islice(elements, 2))
    if len(head) < 2 or len(head[0][1]) != 4:
        raise ValueError(f"the structure '{of.name}' has no fields")
    width = struct.unpack(f"{of.order}i", head[0][1])[0]
    text = bytes(head[1][1])
    if not 0 < width <= _NAME or len(text) > _FIELDS * width:
        raise ValueError(f"the structure '{of.name}' has no fields")
    names = [text[i : i + width].split(b"\0")[0].decode("latin1") for i in range(0, len(text), width)]
    if field not in names:
        raise ValueError(f"'{of.name}' has no field '{field}'; it has {', '.join(names[:_NAMED]) or 'none'}")
    kind, body, _ = next(islice(elements, names.index(field), None), (0, memoryview(b""), 0))
    if kind != _MATRIX:
        raise ValueError(f"the structure '{of.name}' ends before its field '{field}'")
    return replace(_matrix(body, of.order), name=field)


def _numbers(of: _Matrix) -> Array:
    """The real numbers of a matrix, in the type in which they are stored."""
    if of.kind not in _NUMBERS or of.complex:
        what = f"complex {_class(of)}" if of.complex else _class(of)
        raise ValueError(f"'{of.name}' holds no real numbers: it is of class {what}")
    kind, body, _ = next(_elements(of.rest, of.order), (0, memoryview(b""), 0))
    if kind not in _TYPES:
        raise ValueError(f"'{of.name}' has no numbers")
    dtype = np.dtype(of.order + _TYPES[kind])
    count = prod(of.extents)
    if min(of.extents, default=0) < 0 or len(of.extents) > _AXES or count * dtype.itemsize != len(body):
        claimed = shape_text(of.extents[:_AXES])
        raise ValueError(f"'{of.name}' claims to be {claimed}, and {len(body) // dtype.itemsize} numbers are stored")
    return np.frombuffer(body, dtype).reshape(of.extents[::-1]).T


def _class(of: _Matrix) -> str:
    return _CLASSES.get(of.kind, f"number {of.kind}")
