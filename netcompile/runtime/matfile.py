"""One array from a MATLAB file: the label maps of SIFT Flow and NYUDv2 (MAT-file version 5, or 7.3, which is HDF5).

Layout of version 5 as MathWorks documents it ("MAT-File Format"): a header of 128 bytes, then elements of a tag (type,
size) and data padded to 8 bytes; matrices are elements that hold elements.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from math import prod
from typing import Any

import h5py
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_COMPRESSED, _MATRIX = 15, 14
_LARGEST = 1 << 28  # bytes of a decompressed matrix: beyond any label map


def read_mat(path: str, name: str) -> Array:
    """The real numeric array called `name`. Raises OSError; ValueError for a damaged file or one without it."""
    with open(path, "rb") as file:
        data = file.read()
    if data[:8] == b"\x89HDF\r\n\x1a\n" or data[512:520] == b"\x89HDF\r\n\x1a\n":
        return _read_hdf5(path, name)
    mark = data[126:128]
    if len(data) < 128 or mark not in (b"IM", b"MI"):
        raise ValueError("it is no MATLAB file (version 5 or 7.3)")
    order = "<" if mark == b"IM" else ">"
    names = []
    for kind, content in _elements(data[128:], order):
        if kind == _COMPRESSED:
            inflate = zlib.decompressobj()
            try:
                inner = inflate.decompress(content, _LARGEST)
            except zlib.error as error:
                raise ValueError(f"its compressed data is damaged: {error}") from None
            parts = list(_elements(inner, order))
            kind, content = parts[0] if parts else (0, b"")
        if kind != _MATRIX:
            continue
        fields = list(_elements(content, order))
        if len(fields) < 4:
            continue
        found = fields[2][1].decode("ascii", "replace")
        if found == name:
            return _array(fields, order)
        names.append(found)
    raise ValueError(f"it has no array '{name}'; it has {', '.join(names[:10]) or 'none'}")


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(order + "II", data, at)
        if kind >> 16:  # a small element: size and type in one word, the data in the other
            small, kind = kind >> 16, kind & 0xFFFF
            yield kind, data[at + 4 : at + 4 + min(small, 4)]
            at += 8
            continue
        content = data[at + 8 : at + 8 + size]
        if len(content) != size:
            raise ValueError("it ends in the middle of an array: truncated?")
        yield kind, content
        at += 8 + size + (0 if kind == _COMPRESSED else -size % 8)


def _array(fields: list[tuple[int, bytes]], order: str) -> Array:
    dims = np.frombuffer(fields[1][1], order + "i4").tolist()
    kind, content = fields[3]
    if kind not in _NUMBERS or fields[0][1][1 if order == "<" else 2] & 8:  # complex
        raise ValueError("the array holds no real numbers")
    values = np.frombuffer(content, order + _NUMBERS[kind])
    if min(dims, default=0) < 0 or values.size != prod(dims):
        raise ValueError("the array's size and its numbers differ")
    return values.reshape(dims, order="F")


def _read_hdf5(path: str, name: str) -> Array:

    with h5py.File(path, "r") as file:
        if not isinstance(file.get(name), h5py.Dataset):
            raise ValueError(f"it has no array '{name}'; it has {', '.join(list(file)[:10])}")
        return np.asarray(file[name]).T
