"""Writes caffemodels byte by byte, for tests: every form that protobuf allows, and any that it does not."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def chunk(field: int, payload: bytes | str) -> bytes:
    data = payload.encode() if isinstance(payload, str) else payload
    return varint(field << 3 | 2) + varint(len(data)) + data


def floats(values: Iterable[float], form: str = "<f") -> bytes:
    return b"".join(struct.pack(form, value) for value in values)


def unpacked(field: int, values: Iterable[float], form: str = "<f") -> bytes:
    tag = varint(field << 3 | (5 if form == "<f" else 1))
    return b"".join(tag + struct.pack(form, value) for value in values)


def shape(dims: Sequence[int], packed: bool = True) -> bytes:
    if packed:
        return chunk(7, chunk(1, b"".join(map(varint, dims))))
    return chunk(7, b"".join(number(1, dim) for dim in dims))


def legacy(num: int, channels: int, height: int, width: int) -> bytes:
    return b"".join(number(field, value) for field, value in enumerate((num, channels, height, width), 1))


def blob(dims: Sequence[int], values: Iterable[float]) -> bytes:
    """A blob as Caffe writes it: packed data first, then the shape."""
    return chunk(5, floats(values)) + shape(dims)


def v2(name: str | bytes, kind: str, *blobs: bytes) -> bytes:
    return chunk(100, chunk(1, name) + chunk(2, kind) + b"".join(chunk(7, b) for b in blobs))


def v1(name: str, kind: int, *blobs: bytes) -> bytes:
    return chunk(2, chunk(4, name) + number(5, kind) + b"".join(chunk(6, b) for b in blobs))


def v0(name: str, kind: str, *blobs: bytes) -> bytes:
    return chunk(2, chunk(1, chunk(1, name) + chunk(2, kind) + b"".join(chunk(50, b) for b in blobs)))


def net(*layers: bytes, name: str = "n") -> bytes:
    return chunk(1, name) + b"".join(layers)
