"""Weights as a dictionary: read from any file of weights, written as .caffemodel or .safetensors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from netcompile.caffemodel.reader import read_caffemodel
from netcompile.caffemodel.tensorfile import Entry, write
from netcompile.diagnostics.diagnostic import refuse

Array = np.ndarray[Any, np.dtype[Any]]
Weights: TypeAlias = dict[str, tuple[Array, ...]]

_BYTES, _VARINT = 2, 0


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """Blobs by layer, float32, from a .caffemodel, a .caffemodel.h5, or a .safetensors with keys ``<layer>.<index>``.

    Of several layers of one name the last counts, as in Caffe. Blobs of the old form keep their four axes. Raises
    NetError, OSError.
    """
    with open(path, "rb") as file:
        head = file.read(9)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 27:
        return _of_safetensors(os.fspath(path))

    found: Weights = {}
    for layer in read_caffemodel(path).layers:
        blobs = tuple(np.asarray(blob.array(), np.float32) for blob in layer.blobs if blob is not None)
        if blobs:
            found[layer.name] = blobs
    return found


def _of_safetensors(path: str) -> Weights:

    try:
        tensors = load_file(path)
    except SafetensorError as error:
        refuse("weights-file", f"{path}: not a whole .safetensors file: {error}")
    grouped: dict[str, dict[int, Array]] = {}
    for key, array in tensors.items():
        layer, _, index = key.rpartition(".")
        if not layer or not index.isdigit():
            refuse(
                "weights-file",
                f"{path}: key '{key}' is not of the form LAYER.INDEX",
                why="weights of a compiled module have other keys and shapes than Caffe's blobs",
                remedy="give the caffemodel, or what convert-weights makes of it without --net",
            )
        grouped.setdefault(layer, {})[int(index)] = array.astype(np.float32)
    return {layer: tuple(blobs[index] for index in sorted(blobs)) for layer, blobs in grouped.items()}


def write_weights(
    path: str | os.PathLike[str], weights: Mapping[str, tuple[Array, ...]], name: str = "",
    types: Mapping[str, str] | None = None,
) -> int:  # fmt: skip
    """Write weights as .caffemodel (binary V2, which Caffe reads) or .safetensors, by the path's extension.

    Whole or not at all. `types` gives the layers' types, which a caffemodel keeps. Returns the bytes written. Raises
    NetError for another extension, OSError.
    """
    target = os.fspath(path)
    if target.endswith(".safetensors"):
        entries = [
            Entry(f"{layer}.{index}", "float32", tuple(array.shape), lambda array=array: [_bytes(array)])  # type: ignore[misc]
            for layer, arrays in weights.items()
            for index, array in enumerate(arrays)
        ]
        return write(target, entries, {"format": "pt"})
    if not target.endswith(".caffemodel"):
        refuse("output-path", f"'{target}' is neither .caffemodel nor .safetensors", remedy="name it so")
    return _write_whole(target, _caffemodel(weights, name, types or {}))


def _bytes(array: Array) -> memoryview:
    return np.ascontiguousarray(array, "<f4").reshape(-1).view("u1").data


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
        blobs = [_blob_head(array) for array in arrays]
        parts = [_tag(7, len(start) + array.size * 4) for start, array in zip(blobs, arrays, strict=True)]
        inside = len(head)
        for tag, start, array in zip(parts, blobs, arrays, strict=True):
            inside += len(tag) + len(start) + array.size * 4
        yield _tag(100, inside) + head
        for tag, start, array in zip(parts, blobs, arrays, strict=True):
            yield tag + start
            yield _bytes(array)


def _blob_head(array: Array) -> bytes:
    """A BlobProto up to its numbers: shape is field 7 (dim 1, packed), data is 5 (packed)."""
    dims = b"".join(_varint(extent) for extent in array.shape)
    return _field(7, _field(1, dims) if dims else b"") + _tag(5, array.size * 4)


def _tag(number: int, size: int) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(size)


def _field(number: int, data: bytes) -> bytes:
    return _tag(number, len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _write_whole(path: str, chunks: Iterator[bytes | memoryview]) -> int:
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name[:100]}.{os.urandom(4).hex()}.tmp")
    size = 0
    try:
        with open(temporary, "xb") as file:
            for chunk in chunks:
                size += file.write(chunk)
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    return size
