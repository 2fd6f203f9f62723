"""Weights as a dictionary: read from any file of weights, written as .caffemodel or .safetensors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from math import prod
from typing import TypeAlias

import numpy as np

from netcompile.array import Array
from netcompile.caffemodel.blob import shown
from netcompile.caffemodel.reader import read_weights as read_model
from netcompile.caffemodel.recipe import Take
from netcompile.caffemodel.tensorfile import Entry, write
from netcompile.caffemodel.wire import BYTES
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.emit.blobs import blobs_of
from netcompile.files.limits import require_disk, require_memory
from netcompile.files.whole import whole_file
from netcompile.surgery.net import Net

Weights: TypeAlias = dict[str, tuple[Array | None, ...]]


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """Blobs by layer, float32, from a .caffemodel, a .caffemodel.h5, or a .safetensors with keys ``<layer>.<index>``.

    Of several layers of one name the last counts, as in Caffe. Blobs of the old form keep their four axes. A blob that
    the file leaves out is None: HDF5 keeps a shared one with its owner alone. Raises NetError, OSError.
    """
    found: Weights = {}
    model = read_model(path)
    size = sum(4 * blob.count for layer in model.layers for blob in layer.blobs if blob is not None)
    require_memory(size, f"reading {os.fspath(path)}")
    for layer in model.layers:
        if any(layer.blobs):
            name = str(Take(layer.name, 0, layer.occurrence)).removesuffix(".0")
            found[name] = tuple(None if b is None else np.asarray(b.array(), np.float32) for b in layer.blobs)
    return found


def with_shared(net: Net, weights: Mapping[str, tuple[Array | None, ...]]) -> Weights:
    """The weights with every blob that is None, and that its layer shares, as its owner has it."""
    found = dict(weights)
    for blobs in blobs_of(net.graph, net.shapes):
        name = blobs.node.name
        for index, (owner, spec) in enumerate(zip(blobs.owners, blobs.specs, strict=True)):
            given, own = found.get(name, ()), found.get(owner.layer, ())
            value = own[owner.index] if owner.index < len(own) else None
            if index < len(given) and given[index] is None and value is not None:
                value = value.reshape(spec.shape) if value.size == prod(spec.shape) else value
                found[name] = (*given[:index], value, *given[index + 1 :])
    return found


def write_weights(
    path: str | os.PathLike[str], weights: Mapping[str, tuple[Array | None, ...]], name: str = "",
    types: Mapping[str, str] | None = None,
) -> int:  # fmt: skip
    """Write weights as .caffemodel (binary V2, which Caffe reads) or .safetensors, by the path's extension.

    Whole or not at all. `types` gives the layers' types, which a caffemodel keeps. Returns the bytes written. Raises
    NetError for another extension and, in a .caffemodel, for a blob that is None; OSError.
    """
    target = os.fspath(path)
    if target.endswith(".safetensors"):
        entries = [
            Entry(f"{layer}.{index}", "float32", tuple(array.shape), partial(_pieces, array))
            for layer, arrays in weights.items()
            for index, array in enumerate(arrays)
            if array is not None
        ]
        return write(target, entries, {"format": "pt"})
    if not target.endswith(".caffemodel"):
        refuse("output-path", f"'{target}' is neither .caffemodel nor .safetensors", remedy="name it so")
    whole: dict[str, tuple[Array, ...]] = {}
    problems = []
    for layer, arrays in weights.items():
        whole[layer] = tuple(array for array in arrays if array is not None)
        if len(whole[layer]) < len(arrays):
            what = f"layer {shown(layer)} has no blob {arrays.index(None)}, and a .caffemodel leaves none out"
            problems.append(Diagnostic("weights-missing", what, remedy="give weights that have it"))
    if problems:
        raise NetError(problems)
    require_disk(target, sum(4 * array.size for arrays in whole.values() for array in arrays))
    with whole_file(target) as file:
        return sum(map(file.write, _caffemodel(whole, name, types or {})))


def _pieces(array: Array) -> list[memoryview]:
    return [np.ascontiguousarray(array, "<f4").reshape(-1).view("u1").data]


def _caffemodel(
    weights: Mapping[str, tuple[Array, ...]], name: str, types: Mapping[str, str]
) -> Iterator[bytes | memoryview]:
    """A NetParameter: name is field 1, layer is 100; of a layer name 1, type 2, blobs 7."""
    if name:
        yield _field(1, name.encode("utf-8", "surrogateescape"))
    for layer, arrays in weights.items():
        head = _field(1, layer.encode("utf-8", "surrogateescape"))
        if layer in types:
            head += _field(2, types[layer].encode())
        starts = [_blob_start(array) for array in arrays]
        inside = len(head) + sum(map(len, starts)) + sum(4 * array.size for array in arrays)
        yield _tag(100, inside) + head
        for start, array in zip(starts, arrays, strict=True):
            yield start
            yield from _pieces(array)


def _blob_start(array: Array) -> bytes:
    """A layer's blob up to its numbers: a BlobProto's shape is field 7 (dim 1, packed), data is 5 (packed)."""
    dims = b"".join(_varint(extent) for extent in array.shape)
    head = _field(7, _field(1, dims) if dims else b"") + _tag(5, array.size * 4)
    return _tag(7, len(head) + array.size * 4) + head


def _tag(number: int, size: int) -> bytes:
    return _varint(number << 3 | BYTES) + _varint(size)


def _field(number: int, data: bytes) -> bytes:
    return _tag(number, len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
