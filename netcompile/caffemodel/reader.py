"""Reads .caffemodel files (binary V0, V1, V2), .caffemodel.h5 and .binaryproto means.

The numbers are not touched: reading a file of 500 MB takes milliseconds.
"""

from __future__ import annotations

import os

from netcompile.caffemodel.binary import LAYER_V2, LAYERS_V1, Fault, read_binary, refuse_damaged
from netcompile.caffemodel.blob import Blob, CaffeModel
from netcompile.caffemodel.blobproto import blob_fields, blob_of
from netcompile.caffemodel.detect import HEAD, mistaken, recognise
from netcompile.caffemodel.file import DataFile
from netcompile.caffemodel.hdf5 import read_hdf5
from netcompile.caffemodel.wire import BYTES, WireError, fields
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse


def read_caffemodel(path: str | os.PathLike[str]) -> CaffeModel:
    """The layers of a file of weights; its format is recognised by content, not by name.

    V0, V1 and V2 layers follow Caffe's upgrade: one V0 layer makes it a V0 file, in which V2 layers do not
    count; V1 and V2 layers together are refused. Raises OSError; NetError for a file that is no caffemodel,
    is truncated or corrupt (the first fault), or has blobs whose shape and count of numbers differ (all of
    them).
    """
    file = DataFile(path)
    head = file.head(HEAD)
    wrong = mistaken(file.name, head, file.size)
    if wrong is not None:
        raise NetError(wrong)
    if recognise(head) == "hdf5":
        return read_hdf5(file)
    return read_binary(file)


def read_mean(path: str | os.PathLike[str]) -> Blob:
    """The blob of a ``.binaryproto`` file, as Caffe writes mean images: mostly (1, channels, height, width).

    Raises OSError; NetError for any other or damaged file.
    """
    file = DataFile(path)
    wrong = mistaken(file.name, file.head(HEAD), file.size)
    if wrong is None and recognise(file.head(HEAD)) == "hdf5":
        wrong = Diagnostic("caffemodel-not", f"{file.name}: this is an HDF5 file, not a .binaryproto mean")
    if wrong is not None:
        raise NetError(wrong)
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
