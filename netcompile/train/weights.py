"""Weights into the blobs of a net: caffemodels and our own files, by layer name as Caffe copies them.

Where a fully connected layer became a convolution (or the reverse), the same numbers in the same order are what is
meant: they are taken over in the new shape, and reported. Every other difference than axes of extent 1 is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file
from torch import Tensor

from netcompile.caffemodel.plan import same_shape
from netcompile.caffemodel.reader import read_caffemodel
from netcompile.caffemodel.recipe import Take
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.diagnostics.text import shape_text
from netcompile.train.blobs import LayerBlobs

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """A layer's blobs in a file."""

    name: str
    occurrence: int
    arrays: tuple[Array | None, ...]


@dataclass(frozen=True, slots=True)
class Copied:
    """What a file gave: layers whose blobs were copied, coercions as text, layers of the net that it lacks."""

    path: str
    layers: tuple[str, ...]
    coerced: tuple[str, ...]
    drawn: tuple[str, ...]
    unused: tuple[str, ...]


def read_weights(path: str) -> list[Stored]:
    """The layers of a .caffemodel, .caffemodel.h5 or .safetensors with keys ``<layer>.<index>``.

    Raises NetError, OSError.
    """
    with open(path, "rb") as file:
        head = file.read(10)
    if len(head) == 10 and head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < 1 << 27:
        return _read_safetensors(path)

    model = read_caffemodel(path)
    seen: dict[str, int] = {}
    stored = []
    for layer in model.layers:
        occurrence = 0 if model.format != "HDF5" else -1
        arrays = tuple(None if blob is None else blob.array().reshape(blob.shape) for blob in layer.blobs)
        stored.append(Stored(layer.name, occurrence, arrays))
        seen[layer.name] = seen.get(layer.name, 0) + 1
    return stored


def _read_safetensors(path: str) -> list[Stored]:

    try:
        arrays = load_file(path)
    except SafetensorError as error:
        refuse("weights-file", f"{path}: not a whole .safetensors file: {error}")
    grouped: dict[str, dict[int, Array]] = {}
    for key, array in arrays.items():
        layer, _, index = key.rpartition(".")
        if not layer or not index.isdecimal():
            refuse(
                "weights-file",
                f"{path}: '{key}' is no blob of a layer",
                why="training wants Caffe's blobs under <layer>.<index>, as train and convert-weights write them "
                "without --net; this may be the state of a built module",
                remedy="give the .caffemodel, or what convert-weights makes of it without --net",
            )
        grouped.setdefault(layer, {})[int(index)] = array
    stored = []
    for name, found in grouped.items():
        base, hash_, number = name.rpartition("#")
        occurrence = int(number) - 1 if hash_ and number.isdecimal() else 0
        blobs = tuple(found.get(i) for i in range(max(found) + 1))
        stored.append(Stored(base if occurrence else name, occurrence, blobs))
    return stored


def copy_weights(path: str, layers: Sequence[LayerBlobs], blobs: Mapping[Take, Tensor], needed: bool = True) -> Copied:
    """Copy a file's weights into `blobs`, whole or not at all.

    Raises NetError with everything that does not fit, and if they are `needed` where no layer has any.
    """
    stored = read_weights(path)
    places: dict[str, list[LayerBlobs]] = {}
    for layer in layers:
        places.setdefault(layer.name, []).append(layer)
    problems: list[Diagnostic] = []
    values: dict[Take, Array] = {}
    coerced: list[str] = []
    done: dict[str, None] = {}
    for source in stored:
        candidates = places.get(source.name, [])
        target = next((c for c in candidates if c.occurrence == max(source.occurrence, 0)), None)
        if source.occurrence < 0 and candidates:
            target = candidates[-1]
        if target is None or not source.arrays:
            continue
        if len(source.arrays) != len(target.shapes):
            problems.append(
                Diagnostic(
                    "weights-count",
                    f"layer '{target.name}' has {len(target.shapes)} blobs in the net, {len(source.arrays)} in {path}",
                    target.span,
                    "a file and a net that belong together have as many blobs in every layer",
                    "rename the layer if it is to be trained anew",
                )
            )
            continue
        done[target.name] = None
        for index, (array, shape, owner) in enumerate(zip(source.arrays, target.shapes, target.owners, strict=True)):
            if array is None:
                continue
            if _coercible(array.shape, shape):
                values[owner] = array.reshape(shape)
                coerced.append(
                    f"{target.key(index)}: {shape_text(_significant(array.shape))} taken over as {shape_text(shape)}"
                )
            elif same_shape(array.shape, shape):
                values[owner] = array.reshape(shape)
            else:
                problems.append(
                    Diagnostic(
                        "weights-shape",
                        f"layer '{target.name}' blob {index} is {shape_text(shape)} in the net, "
                        f"{shape_text(array.shape)} in {path}",
                        target.span,
                        f"the net needs {prod(shape)} numbers, the file has {array.size}"
                        if array.size != prod(shape)
                        else "as many numbers, but in another arrangement",
                        "use the weights of this net, or rename the layer if it is to be trained anew",
                    )
                )
    if problems:
        raise NetError(problems)
    if needed and not done:
        names = ", ".join(dict.fromkeys(s.name for s in stored if s.arrays)) or "none"
        refuse(
            "weights-unrelated",
            f"no layer of {path} is a layer of the net",
            why=f"layers are matched by name; the file has {names[:200]}",
        )
    with torch.no_grad():
        for take, value in values.items():
            tensor = blobs[take]
            numbers = np.ascontiguousarray(value, np.float32).reshape(tuple(tensor.shape))
            tensor.copy_(torch.from_numpy(numbers.copy()))
    drawn = tuple(layer.name for layer in layers if layer.shapes and layer.name not in done)
    unused = tuple(
        dict.fromkeys(s.name for s in stored if s.name not in places and any(a is not None for a in s.arrays))
    )
    return Copied(path, tuple(done), tuple(coerced), drawn, unused)


def _significant(shape: Iterable[int]) -> tuple[int, ...]:
    """A legacy shape without the 1s that fill it up to four axes."""
    dims = list(shape)
    while len(dims) > 1 and dims[0] == 1:
        dims.pop(0)
    return tuple(dims)


def _coercible(have: tuple[int, ...], want: tuple[int, ...]) -> bool:
    """Whether one is a matrix and the other its rows folded into windows: as many outputs, as many numbers."""
    short, long = sorted((_significant(have), want if len(want) < 3 else tuple(want)), key=len)
    return prod(have) == prod(want) and len(short) == 2 < len(long) and short[0] == long[0]
