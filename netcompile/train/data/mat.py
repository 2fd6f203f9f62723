"""Reads MATLAB level 5 .mat files as far as label maps need them: numbers and structures, compressed or not."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

from netcompile.diagnostics.diagnostic import refuse

_NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
    16: "u1",
}
_MATRIX, _COMPRESSED = 14, 15
_STRUCT, _CELL, _OBJECT = 2, 1, 3


def read_mat(path: str) -> dict[str, Any]:
    """The variables of a file: arrays, or for a 1×1 structure a dict of its fields. Raises NetError, OSError."""
    with open(path, "rb") as file:
        data = file.read()
    if len(data) < 128 or data[126:128] not in (b"IM", b"MI"):
        refuse("data-file", f"{path}: not a MATLAB level 5 file", remedy="save it with -v7, or as a PNG")
    order = "<" if data[126:128] == b"IM" else ">"
    found: dict[str, Any] = {}
    try:
        at = 128
        while at < len(data):
            kind, body, at = _element(data, at, order)
            if kind == _COMPRESSED:
                kind, body, _ = _element(zlib.decompress(body), 0, order)
            if kind == _MATRIX:
                name, value = _matrix(body, order, 0)
                found[name] = value
    except (struct.error, zlib.error, ValueError, IndexError, KeyError) as error:
        refuse("data-file", f"{path}: damaged, or of a kind that is not read: {error}")
    return found


def _element(data: bytes, at: int, order: str) -> tuple[int, bytes, int]:
    """Type and bytes of the element at an offset, and where the next one starts."""
    kind, size = struct.unpack_from(f"{order}II", data, at)
    if kind >> 16:  # small elements hold both numbers in four bytes, and up to four bytes of data
        return kind & 0xFFFF, data[at + 4 : at + 4 + (kind >> 16)], at + 8
    end = at + 8 + size
    if end > len(data):
        raise ValueError("it ends early")
    return kind, data[at + 8 : end], end if kind == _COMPRESSED else end + (-size % 8)


def _array(kind: int, body: bytes, order: str) -> Any:
    return np.frombuffer(body, np.dtype(order + _NUMBERS[kind]))


def _matrix(body: bytes, order: str, depth: int) -> tuple[str, Any]:
    if depth > 8:
        raise ValueError("too deep")
    if not body:
        return "", np.zeros((0, 0))
    _, flags, at = _element(body, 0, order)
    kind = struct.unpack_from(f"{order}I", flags)[0] & 0xFF
    dims_kind, raw, at = _element(body, at, order)
    dims = tuple(int(d) for d in _array(dims_kind, raw, order))
    _, name, at = _element(body, at, order)
    if kind == _STRUCT:
        _, raw, at = _element(body, at, order)
        width = struct.unpack(f"{order}i", raw[:4])[0]
        _, names, at = _element(body, at, order)
        fields = [names[i : i + width].split(b"\0")[0].decode() for i in range(0, len(names), width)]
        values: list[dict[str, Any]] = []
        for _ in range(int(np.prod(dims))):
            item = {}
            for field in fields:
                _, inner, at = _element(body, at, order)
                item[field] = _matrix(inner, order, depth + 1)[1]
            values.append(item)
        return name.decode(), values[0] if len(values) == 1 else values
    if kind == _CELL:
        cells = []
        for _ in range(int(np.prod(dims))):
            _, inner, at = _element(body, at, order)
            cells.append(_matrix(inner, order, depth + 1)[1])
        return name.decode(), cells
    if kind == _OBJECT or kind == 5:  # objects and sparse matrices
        return name.decode(), None
    value_kind, raw, _ = _element(body, at, order)
    return name.decode(), _array(value_kind, raw, order).reshape(dims, order="F")
