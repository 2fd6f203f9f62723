"""Nets with weights drawn at random, for every arm alike: He's scale, and bilinear kernels in Deconvolutions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from netcompile.analyser import Analysed, analyse
from netcompile.compiler import compile_net
from netcompile.ir.build import Options
from netcompile.layers.convolution import Deconvolution
from netcompile.prototxt.recognise import open_source
from netcompile.zoo.find import find_definition


def analysed(path: str, shape: tuple[int, ...] | None = None) -> Analysed:
    source = open_source(find_definition(path) or path)
    return analyse(source, Options(shapes={"data": shape} if shape else {})).require()


def blobs(net: Analysed, seed: int = 1) -> Iterator[tuple[str, str, list[np.ndarray]]]:
    """Name, type and blobs of every layer with weights."""
    random = np.random.default_rng(seed)
    for entry in compile_net(net, 0).blobs:
        found = []
        for index, spec in enumerate(entry.specs):
            shape = spec.shape
            if isinstance(entry.node.layer, Deconvolution) and index == 0:
                size = shape[-1]
                factor = (size + 1) // 2
                centre = factor - 1 if size % 2 else factor - 0.5
                line = 1 - np.abs(np.arange(size) - centre) / factor
                values = np.zeros(shape, np.float32)
                for channel in range(shape[0]):
                    values[channel, channel % shape[1]] = np.outer(line, line)
            elif entry.node.type == "BatchNorm":
                values = np.ones(shape, np.float32) if index == 2 else random.random(shape, np.float32) + index
            elif len(shape) < 2:
                values = random.standard_normal(shape, np.float32) * np.float32(0.1)
            else:
                scale = np.float32((2 / np.prod(shape[1:])) ** 0.5)
                values = random.standard_normal(shape, np.float32) * scale
            found.append(values)
        yield entry.node.name, entry.node.type, found


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def field(number: int, body: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(body)) + body


def write(net: Analysed, prototxt: str, folder: Path) -> None:
    """net.prototxt and net.caffemodel in `folder`."""
    (folder / "net.prototxt").write_text(prototxt)
    with (folder / "net.caffemodel").open("wb") as out:
        for name, kind, arrays in blobs(net):
            body = field(1, name.encode()) + field(2, kind.encode())
            for array in arrays:
                shape = field(7, field(1, b"".join(map(varint, array.shape))))
                body += field(7, shape + field(5, array.tobytes()))
            out.write(field(100, body))
