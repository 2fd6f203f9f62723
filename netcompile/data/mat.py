"""One array from a MATLAB file: the label maps of SBD, SIFT Flow and NYUDv2 (version 5, or 7.3, which is HDF5).

A file from elsewhere must neither fill the memory nor the stack: sizes are known before anything is read.
"""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np

from netcompile.array import Array
from netcompile.caffemodel.file import DataFile
from netcompile.caffemodel.hdf5 import read_array
from netcompile.diagnostics.diagnostic import refuse
from netcompile.files.named import require_plain

_LARGEST = 1 << 28  # bytes of all variables: beyond any label map
_NESTED = 1000  # matrices within matrices
_COMPRESSED, _MATRIX = 15, 14
_HDF5 = b"\x89HDF\r\n\x1a\n"
_NUMBERS = ("logical", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "single", "double")


def read_mat(path: str, name: str, *fields: str) -> Array:
    """The real numeric array called `name`, or that in `fields` of the structure of this name.

    Raises OSError; ValueError for a damaged file or one without it; NetError where the package scipy is missing.
    """
    require_plain(path)
    with open(path, "rb") as file:
        head = file.read(520)
        if _HDF5 in (head[:8], head[512:]):
            return np.asarray(read_array(DataFile(path), "/".join((name, *fields)))).T
        data = head + file.read(_LARGEST - len(head))
    try:
        from scipy.io import loadmat, whosmat
    except ImportError:
        what = f"{path}: reading .mat files needs the package scipy"
        refuse("data-file", what, remedy="pip install scipy")
    if len(data) < 128 or data[126:128] not in (b"IM", b"MI"):
        raise ValueError("it is no MATLAB file (version 5 or 7.3)")
    plain = _inflated(data, "<" if data[126:128] == b"IM" else ">")
    try:
        kinds = {found: kind for found, _, kind in whosmat(BytesIO(plain))}
        if name not in kinds:
            raise ValueError(f"it has no array '{name}'; it has {', '.join(list(kinds)[:10]) or 'none'}")
        if kinds[name] not in (_NUMBERS if not fields else ("struct",)):
            raise ValueError(f"'{name}' holds no real numbers: it is of class {kinds[name]}")
        found = loadmat(BytesIO(plain), variable_names=[name])[name]
        for field in fields:
            found = found[field].item()
    except ValueError:
        raise
    except Exception as error:  # scipy raises whatever it likes for damaged files
        raise ValueError(f"it is damaged: {str(error)[:200] or type(error).__name__}") from None
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
        raise ValueError("the array holds no real numbers")
    return found


def _inflated(data: bytes, order: str) -> bytes:
    """The file with its compressed variables unpacked, as far as they are of a size that a label map can have."""
    parts, total, at = [data[:128]], 0, 128
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        start, end = at, at + 8 + size
        body = data[at + 8 : end]
        if len(body) != size:
            raise ValueError("it ends in the middle of an array: truncated?")
        at = end if kind == _COMPRESSED else end + -size % 8
        if kind == _COMPRESSED:
            unpack = zlib.decompressobj()
            try:
                body = unpack.decompress(body, _LARGEST - total)
            except zlib.error as error:
                raise ValueError(f"its compressed data is damaged: {error}") from None
            if unpack.unconsumed_tail:
                raise ValueError(f"it holds more than {_LARGEST >> 20} MiB unpacked, which no label map does")
        else:
            body = data[start:at]
        tags = np.frombuffer(body, f"{order}u4", len(body) // 4)[::2]  # they lie at multiples of 8 bytes
        if np.count_nonzero(tags == _MATRIX) > _NESTED:
            raise ValueError("its structures are nested too deep")
        total += len(body)
        parts.append(body)
    return b"".join(parts)
