"""Writes a .caffemodel: a NetParameter in protobuf's wire format, with the names, types and blobs of layers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from netcompile.caffemodel.wire import BYTES
from netcompile.files.whole import whole_file

LARGEST = 2**31 - 1  # bytes of a message: protobuf reads no longer one
_NAME, _LAYER = 1, 100  # of NetParameter
_LAYER_NAME, _TYPE, _BLOBS = 1, 2, 7  # of LayerParameter
_DATA, _SHAPE, _DIM = 5, 7, 1  # of BlobProto, and of its BlobShape


@dataclass(frozen=True, slots=True, eq=False)
class Blob:
    """A blob to write: its shape, and its float32 numbers as little-endian bytes."""

    shape: tuple[int, ...]
    numbers: bytes | memoryview


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A layer to write, with its blobs in Caffe's order."""

    name: str
    type: str
    blobs: Sequence[Blob]


def write_caffemodel(path: str | os.PathLike[str], name: str, layers: Sequence[Layer]) -> None:
    """The file, whole or not at all; `name` is the net's.

    Raises OSError, and ValueError where a blob's numbers are not as many as its shape has, or the file would be larger
    than protobuf can read.
    """
    parts = [part for layer in layers for part in _field(_LAYER, list(_layer(layer)))]
    parts = [*_field(_NAME, [name.encode()]), *parts]
    size = sum(map(len, parts))
    if size > LARGEST:
        raise ValueError(f"a caffemodel of {size} bytes: protobuf reads {LARGEST} at most")
    with whole_file(path) as file:
        file.writelines(parts)


def _layer(layer: Layer) -> Iterator[bytes | memoryview]:
    yield from _field(_LAYER_NAME, [layer.name.encode()])
    yield from _field(_TYPE, [layer.type.encode()])
    for index, blob in enumerate(layer.blobs):
        numbers = memoryview(blob.numbers).cast("B")
        if len(numbers) != 4 * prod(blob.shape):
            what = f"blob {index} of layer '{layer.name}' has {len(numbers)} bytes"
            raise ValueError(f"{what}, and its shape wants {4 * prod(blob.shape)}")
        shape = _packed(_DIM, b"".join(map(_varint, blob.shape)))
        yield from _field(_BLOBS, [*_packed(_DATA, numbers), *_field(_SHAPE, shape)])


def _field(number: int, parts: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
    """A field that holds bytes: its tag, its length and the parts."""
    return [_varint(number << 3 | BYTES) + _varint(sum(map(len, parts))), *parts]


def _packed(number: int, numbers: bytes | memoryview) -> list[bytes | memoryview]:
    """A repeated field of numbers; without any there is no field."""
    return _field(number, [numbers]) if len(numbers) else []


def _varint(value: int) -> bytes:
    """A whole number, not negative, as protobuf writes it.

    >>> _varint(300).hex()
    'ac02'
    """
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))
