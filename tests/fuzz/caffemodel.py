"""Writes a net's blobs as a caffemodel, byte by byte, as Caffe's V1 and V2 files have them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from netcompile.analyser import Analysed
from tests.fuzz.draw import Array

Form = Literal["V1", "V2"]
# Numbers of V1's layer types; a type that V1 lacks goes by NONE, since names alone decide.
NUMBERS = {"Convolution": 4, "Deconvolution": 39, "InnerProduct": 14, "BatchNorm": 0}


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


def _number(field: int, value: int) -> bytes:
    return _varint(field * 8) + _varint(value)


def _chunk(field: int, payload: bytes) -> bytes:
    return _varint(field * 8 + 2) + _varint(len(payload)) + payload


def _blob(array: Array, legacy: bool) -> bytes:
    """Data first, then the shape; the old form has four axes, 1s before the blob's own."""
    flat = array.astype(np.float32).ravel()
    data = _chunk(5, struct.pack(f"<{flat.size}f", *flat))
    if legacy and array.ndim <= 4:
        shape = (1,) * (4 - array.ndim) + array.shape
        return b"".join(_number(i, n) for i, n in enumerate(shape, 1)) + data
    return data + _chunk(7, _chunk(1, b"".join(map(_varint, array.shape))))


def caffemodel(analysed: Analysed, blobs: Mapping[str, Sequence[Array]], form: Form, legacy: bool) -> bytes:
    """Every layer with blobs, and one that the net lacks."""
    out = _chunk(1, b"net")
    for node in analysed.graph.nodes:
        made = [_blob(np.asarray(b), legacy and form == "V1") for b in blobs.get(node.name, ())]
        name = node.name.encode()
        if form == "V2":
            payload = _chunk(1, name) + _chunk(2, node.type.encode())
            out += _chunk(100, payload + b"".join(_chunk(7, b) for b in made))
        else:
            payload = _chunk(4, name) + _number(5, NUMBERS.get(node.type, 0))
            out += _chunk(2, payload + b"".join(_chunk(6, b) for b in made))
    other = _blob(np.ones((2, 3)), False)
    if form == "V2":
        return out + _chunk(100, _chunk(1, b"another net's") + _chunk(2, b"InnerProduct") + _chunk(7, other))
    return out + _chunk(2, _chunk(4, b"another net's") + _number(5, 14) + _chunk(6, other))
