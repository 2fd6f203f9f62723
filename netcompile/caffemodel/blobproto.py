"""One BlobProto message: its shape, and where its numbers lie."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import prod

from netcompile.caffemodel.blob import AXES, REFETCH, FileData, FloatType, StoredBlob, impossible
from netcompile.caffemodel.file import DataFile
from netcompile.caffemodel.wire import (
    BYTES,
    FIXED32,
    FIXED64,
    VARINT,
    Buffer,
    Pieces,
    WireError,
    fields,
    signed,
    varint,
)
from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.diagnostics.text import shape_text

DATA, DOUBLE_DATA = 5, 8
_NUM, _WIDTH, _DIFF, _SHAPE, _DOUBLE_DIFF = 1, 4, 6, 7, 9
_RAW_TYPE, _RAW_DATA = 10, 12  # NVIDIA Caffe's own way to store numbers
_RAW_TYPES: dict[int, tuple[FloatType, int]] = {0: ("float64", 8), 1: ("float32", 4), 2: ("float16", 2)}
_PIECES = 1 << 16  # Caffe writes one

Range = tuple[int, int]


@dataclass(slots=True)
class BlobFields:
    """What a BlobProto message says, last values of single fields and all of repeated ones."""

    dims: list[int] = field(default_factory=list)
    legacy: list[int] | None = None
    data: Pieces = field(default_factory=lambda: Pieces(4))
    doubles: Pieces = field(default_factory=lambda: Pieces(8))
    diffs: int = 0
    double_diffs: int = 0
    raw_type: int = 0
    raw: Range | None = None


def blob_fields(buffer: Buffer, ranges: Iterable[Range]) -> BlobFields:
    """Reads a BlobProto that is the ranges joined. Raises WireError."""
    out = BlobFields()
    for n, kind, a, b in all_fields(buffer, ranges):
        if _NUM <= n <= _WIDTH and kind == VARINT:
            out.legacy = out.legacy or [0, 0, 0, 0]
            out.legacy[n - 1] = signed(a, 32)
        elif n == DATA:
            _numbers(out.data, kind, FIXED32, a, b)
        elif n == DOUBLE_DATA:
            _numbers(out.doubles, kind, FIXED64, a, b)
        elif n == _DIFF:
            out.diffs += _numbers(Pieces(4), kind, FIXED32, a, b)
        elif n == _DOUBLE_DIFF:
            out.double_diffs += _numbers(Pieces(8), kind, FIXED64, a, b)
        elif n == _SHAPE and kind == BYTES:
            _dims(buffer, a, b, out.dims)
        elif n == _RAW_TYPE and kind == VARINT:
            out.raw_type = a
        elif n == _RAW_DATA and kind == BYTES:
            out.raw = (a, b)
    return out


def _numbers(pieces: Pieces, kind: int, fixed: int, a: int, b: int) -> int:
    """Adds the numbers in [a, b), packed or each with its tag, and says how many."""
    size = pieces.size
    if kind == BYTES:
        if (b - a) % size:
            raise WireError(a, f"{b - a} bytes of data are no whole count of {size}-byte numbers")
        count, stride = (b - a) // size, size
    elif kind == fixed:
        count, stride = (b - a + 1) // (size + 1), size + 1
    else:
        return 0  # another wire type is another field to protobuf
    pieces.add(a, count, stride)
    if len(pieces.runs) > 3 * _PIECES:
        raise WireError(a, f"the numbers lie in more than {_PIECES} pieces")
    return count


def _dims(buffer: Buffer, a: int, b: int, dims: list[int]) -> None:
    """Appends the ``dim`` numbers of a BlobShape message, packed or not."""
    for n, kind, c, d in fields(buffer, a, b):
        if n != 1:
            continue
        if kind == VARINT:
            dims.append(signed(c, 64))
        elif kind == BYTES:
            while c < d:
                value, c = varint(buffer, c, d)
                dims.append(signed(value, 64))
                if len(dims) > AXES:
                    break
        if len(dims) > AXES:
            raise WireError(a, f"the shape has more than {AXES} axes")


def blob_of(file: DataFile, raw: BlobFields, where: str, problems: list[Diagnostic]) -> StoredBlob:
    """The blob; appends to ``problems`` where its shape and its count of numbers differ (Caffe's check)."""

    def wrong(what: str, why: str = "") -> None:
        problems.append(Diagnostic("caffemodel-shape", f"{file.name}: {where}: {what}", why=why, remedy=REFETCH))

    shape = tuple(raw.legacy if raw.legacy is not None else raw.dims)
    dtype: FloatType = "float64" if raw.doubles.count else "float32"
    pieces = raw.doubles if raw.doubles.count else raw.data
    if raw.raw is not None and not pieces.count:
        a, b = raw.raw
        dtype, size = _RAW_TYPES.get(raw.raw_type, ("float32", 4))
        if raw.raw_type not in _RAW_TYPES:
            wrong("its numbers are integers", "NVIDIA Caffe computes with no raw_data_type INT or UINT")
        elif (b - a) % size:
            wrong(f"{b - a} bytes of raw data are no whole count of {dtype} numbers")
        pieces = Pieces(size)
        pieces.add(a, (b - a) // size, size)
    if any(d < 0 for d in shape):
        wrong(f"shape {shape_text(shape)} has a negative extent")
    elif large := impossible(shape):
        wrong(large)
    elif prod(shape) != pieces.count:
        need = prod(shape)
        wrong(
            f"shape {shape_text(shape)} needs {need} number{'s' * (need != 1)}, the file has {pieces.count}",
            "" if raw.dims or raw.legacy else "the blob has no shape, which means a single number",
        )
    elif (diffs := raw.double_diffs or raw.diffs) and diffs != pieces.count:
        wrong(f"holds {pieces.count} numbers but {diffs} gradients")
    return StoredBlob(shape, dtype, FileData(file, pieces), raw.legacy is not None)


def all_fields(buffer: Buffer, ranges: Iterable[Range]) -> Iterator[tuple[int, int, int, int]]:
    """The fields of a message that is the ranges joined, as protobuf joins a message that occurs twice."""
    for a, b in ranges:
        yield from fields(buffer, a, b)
