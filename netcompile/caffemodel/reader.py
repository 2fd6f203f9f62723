"""Reads .caffemodel files (binary V0, V1, V2), .caffemodel.h5, .binaryproto means, and blobs kept as .safetensors.

The numbers of Caffe's own files are not touched: reading a file of 500 MB takes milliseconds.
"""

from __future__ import annotations

import os

from netcompile.caffemodel.binary import LAYER_V2, LAYERS_V1, Fault, read_binary, refuse_damaged
from netcompile.caffemodel.blob import ArrayData, CaffeModel, FloatType, StoredBlob, StoredLayer
from netcompile.caffemodel.blobproto import blob_fields, blob_of
from netcompile.caffemodel.detect import HEAD, mistaken, recognise
from netcompile.caffemodel.file import DataFile
from netcompile.caffemodel.hdf5 import read_hdf5
from netcompile.caffemodel.wire import BYTES, WireError, fields
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse

_FLOATS: dict[str, FloatType] = {"float16": "float16", "float32": "float32", "float64": "float64"}


def read_caffemodel(path: str | os.PathLike[str]) -> CaffeModel:
    """The layers of a file of weights; its format is recognised by content, not by name.

    V0, V1 and V2 layers follow Caffe's upgrade: one V0 layer makes it a V0 file, in which V2 layers do not count; V1
    and V2 layers together are refused. Raises OSError; NetError for a file that is no caffemodel, is truncated or
    corrupt (the first fault), or has blobs whose shape and count of numbers differ (all of them).
    """
    file, kind = _opened(path)
    return read_hdf5(file) if kind == "hdf5" else read_binary(file)


def _opened(path: str | os.PathLike[str]) -> tuple[DataFile, str]:
    """A file and what `recognise` says of it. Raises OSError; NetError for what is no file of Caffe's."""
    file = DataFile(path)
    head = file.head(HEAD)
    wrong = mistaken(file.name, head, file.size)
    if wrong is not None:
        raise NetError(wrong)
    return file, recognise(head)


def read_weights(path: str | os.PathLike[str]) -> CaffeModel:
    """The layers of a .caffemodel, a .caffemodel.h5, or a .safetensors with keys ``<layer>.<index>``.

    The keys are those that `train`, `surgery` and `convert-weights` without a net write; ``<layer>#2.<index>`` is of
    the second layer of a name. Raises OSError, NetError.
    """
    file = DataFile(path)
    head = file.head(10)
    file.close()
    if head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < 1 << 27:
        return _read_safetensors(os.fspath(path))
    return read_caffemodel(path)


def _read_safetensors(path: str) -> CaffeModel:
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except (SafetensorError, TypeError) as error:  # TypeError: of a type that NumPy lacks
        refuse("weights-file", f"{path}: not a whole .safetensors file: {error}")
    layers: dict[str, dict[int, StoredBlob]] = {}
    for key, array in arrays.items():
        layer, _, index = key.rpartition(".")
        if not layer or not index.isdecimal() or len(index) > 3:
            refuse(
                "weights-file",
                f"{path}: '{key}' is no blob of a layer",
                why="Caffe's blobs have keys <layer>.<index>; this may be the state of a built module",
                remedy="give the caffemodel, or what convert-weights makes of it without --net",
            )
        kind = _FLOATS.get(array.dtype.name, "float32")
        data = ArrayData(np.ascontiguousarray(array, np.dtype(kind).newbyteorder("<")))
        layers.setdefault(layer, {})[int(index)] = StoredBlob(array.shape, kind, data)
    found = []
    for name, blobs in layers.items():
        base, _, number = name.rpartition("#")
        again = bool(base) and number.isdecimal() and 1 < int(number) < 1 << 20
        every = tuple(blobs.get(index) for index in range(max(blobs) + 1))
        found.append(StoredLayer(base if again else name, "", every, int(number) - 1 if again else 0))
    return CaffeModel(path, "safetensors", "", tuple(found))


def read_mean(path: str | os.PathLike[str]) -> StoredBlob:
    """The blob of a ``.binaryproto`` file, as Caffe writes mean images: mostly (1, channels, height, width).

    Raises OSError; NetError for any other or damaged file.
    """
    file, kind = _opened(path)
    if kind == "hdf5":
        refuse("caffemodel-not", f"{file.name}: this is an HDF5 file, not a .binaryproto mean")
    try:
        if any(n in (LAYERS_V1, LAYER_V2) and kind == BYTES for n, kind, _, _ in fields(file.map, 0, file.size)):
            what = f"{file.name}: this is a caffemodel, not a .binaryproto mean"
            refuse("caffemodel-not", what, remedy="give it as the weights")
        raw = blob_fields(file.map, [(0, file.size)])
    except WireError as error:
        refuse_damaged(file, Fault("mean", error), known=True, mean=True)
    if not raw.data.count and not raw.doubles.count and raw.raw is None:
        refuse(
            "caffemodel-not",
            f"{file.name}: not a mean: it holds no numbers",
            why="a .binaryproto is one BlobProto message",
            remedy="give the file that compute_image_mean wrote",
        )
    problems: list[Diagnostic] = []
    blob = blob_of(file, raw, "mean", problems)
    if problems:
        raise NetError(problems)
    return blob
