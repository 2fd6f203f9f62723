"""Reads .caffemodel files (binary V0, V1, V2), .caffemodel.h5, .binaryproto means, and blobs kept as .safetensors.

The numbers of Caffe's own files are not touched: reading a file of 500 MB takes milliseconds.
"""

from __future__ import annotations

import os
from math import prod

from netcompile.caffemodel.binary import LAYER_V2, LAYERS_V1, Fault, read_binary, refuse_damaged
from netcompile.caffemodel.blob import (
    REFETCH,
    ArrayData,
    CaffeModel,
    FileData,
    FloatType,
    StoredBlob,
    StoredLayer,
    impossible,
    shown,
)
from netcompile.caffemodel.blobproto import blob_fields, blob_of
from netcompile.caffemodel.detect import HEAD, mistaken, recognise
from netcompile.caffemodel.file import DataFile
from netcompile.caffemodel.tensorfile import SIZES, StoredTensor, tensors_in
from netcompile.caffemodel.wire import BYTES, Pieces, WireError, fields
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.files.limits import require_memory

MESSAGE = 2**31 - 1  # bytes: protobuf counts them in an int
_FLOATS: dict[str, FloatType] = {"F16": "float16", "F32": "float32", "F64": "float64"}
_WHOLE = {"BOOL": "?", "I8": "i1", "U8": "u1"} | {
    f"{kind}{8 * n}": f"<{kind.lower()}{n}" for kind in "IU" for n in (2, 4, 8)
}


def read_caffemodel(path: str | os.PathLike[str]) -> CaffeModel:
    """The layers of a file of weights; its format is recognised by content, not by name.

    V0, V1 and V2 layers follow Caffe's upgrade: one V0 layer makes it a V0 file, in which V2 layers do not count; V1
    and V2 layers together are refused. Raises OSError; NetError for a file that is no caffemodel, is truncated or
    corrupt (the first fault), or has blobs whose shape and count of numbers differ (all of them).
    """
    file, kind = _opened(path)
    if kind == "hdf5":
        from netcompile.caffemodel.hdf5 import read_hdf5

        return read_hdf5(file)
    return read_binary(file)


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Whether a file of weights is one of HDF5. Raises as `read_caffemodel` does for what is no file of weights."""
    return _opened(path)[1] == "hdf5"


def _opened(path: str | os.PathLike[str]) -> tuple[DataFile, str]:
    """A file and what `recognise` says of it. Raises OSError; NetError for what is no file of Caffe's."""
    file = DataFile(path)
    head = file[:HEAD]
    wrong = mistaken(file.name, head, file.size)
    if wrong is not None:
        raise NetError(wrong)
    kind = recognise(head)
    if kind != "hdf5" and file.size > MESSAGE:
        what = f"{file.name} has {file.size} bytes; a message of protobuf has at most {MESSAGE}"
        refuse("too-large", what, why="Caffe reads no longer ones", remedy=REFETCH)
    return file, kind


def read_weights(path: str | os.PathLike[str]) -> CaffeModel:
    """The layers of a .caffemodel, a .caffemodel.h5, or a .safetensors with keys ``<layer>.<index>``.

    The keys are those that `train`, `surgery` and `convert-weights` without a net write; ``<layer>#2.<index>`` is of
    the second layer of a name. Raises OSError, NetError.
    """
    file = DataFile(path)
    head = file[:10]
    if head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < 1 << 27:
        return _read_safetensors(file)
    return read_caffemodel(path)


def _read_safetensors(file: DataFile) -> CaffeModel:
    path = file.name
    try:
        tensors = tensors_in(file)
    except ValueError as error:
        refuse("weights-file", f"{path}: not a whole .safetensors file: {error}")
    layers: dict[str, dict[int, StoredBlob]] = {}
    for key, tensor in tensors.items():
        layer, _, index = key.rpartition(".")
        if not layer or not index.isdecimal() or len(index) > 3:
            refuse(
                "weights-file",
                f"{path}: {shown(key)} is no blob of a layer",
                why="Caffe's blobs have keys <layer>.<index>; this may be the state of a built module",
                remedy="give the caffemodel, or what convert-weights makes of it without --net",
            )
        layers.setdefault(layer, {})[int(index)] = _blob(file, key, tensor)
    found = []
    for name, blobs in layers.items():
        base, _, number = name.rpartition("#")
        again = bool(base) and number.isdecimal() and 1 < int(number[:8]) < 1 << 20
        every = tuple(blobs.get(index) for index in range(max(blobs) + 1))
        found.append(StoredLayer(base if again else name, "", every, int(number) - 1 if again else 0))
    return CaffeModel(path, "safetensors", "", tuple(found))


def _blob(file: DataFile, key: str, tensor: StoredTensor) -> StoredBlob:
    """A tensor as a blob; whole numbers become float32."""
    if large := impossible(tensor.shape):
        refuse("weights-file", f"{file.name}: {shown(key)}: {large}")
    size = SIZES[tensor.type]
    pieces = Pieces(size)
    pieces.add(tensor.offset, tensor.nbytes // size, size)
    data = FileData(file, pieces)
    if tensor.type in _FLOATS:
        return StoredBlob(tensor.shape, _FLOATS[tensor.type], data)
    if tensor.type not in _WHOLE:
        refuse("weights-file", f"{file.name}: {shown(key)} is of type {tensor.type}, no blob's")
    import numpy as np

    require_memory(tensor.nbytes + 4 * prod(tensor.shape), f"{file.name}: {shown(key)}")
    numbers = np.frombuffer(b"".join(data.chunks()), _WHOLE[tensor.type])
    return StoredBlob(tensor.shape, "float32", ArrayData(numbers.astype("<f4").reshape(tensor.shape)))


def read_mean(path: str | os.PathLike[str]) -> StoredBlob:
    """The blob of a ``.binaryproto`` file, as Caffe writes mean images: mostly (1, channels, height, width).

    Raises OSError; NetError for any other or damaged file.
    """
    file, kind = _opened(path)
    if kind == "hdf5":
        refuse("caffemodel-not", f"{file.name}: this is an HDF5 file, not a .binaryproto mean")
    try:
        if any(n in (LAYERS_V1, LAYER_V2) and kind == BYTES for n, kind, _, _ in fields(file, 0, file.size)):
            what = f"{file.name}: this is a caffemodel, not a .binaryproto mean"
            refuse("caffemodel-not", what, remedy="give it as the weights")
        raw = blob_fields(file, [(0, file.size)])
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
