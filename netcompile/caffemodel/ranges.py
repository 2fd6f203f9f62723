"""A conversion as bytes to write and ranges of the caffemodel to copy, for whoever copies without reading them.

A browser makes a file of such parts while the numbers stay on the disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from netcompile.caffemodel.blob import FileData, StoredBlob
from netcompile.caffemodel.convert import Conversion, chunks
from netcompile.caffemodel.plan import Tensor
from netcompile.caffemodel.tensorfile import Entry, header, in_order

_PIECES = 64  # of a tensor; what lies in more of them is read


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes ``start`` to ``end`` (exclusive) of the caffemodel."""

    start: int
    end: int


def parts(work: Conversion) -> Iterator[Range | bytes | memoryview]:
    """What `convert` writes for this conversion, in order; a view dies with the next part."""
    pieces = {tensor.key: partial(_parts, work, tensor) for tensor in work.tensors}
    entries = in_order(Entry(t.key, t.dtype, t.shape, partial(chunks, work, t)) for t in work.tensors)
    yield header(entries, {"format": "pt"})
    for entry in entries:
        yield from pieces[entry.key]()


def blob_parts(blob: StoredBlob) -> Iterator[Range | memoryview]:
    """The numbers of a blob as they are stored: where they lie, or read where they lie in very many pieces."""
    if isinstance(blob.data, FileData):
        found = blob.data.pieces
        if len(found.runs) <= 3 * _PIECES and all(stride == found.size for _, _, stride in found):
            yield from (Range(offset, offset + count * stride) for offset, count, stride in found)
            return
    yield from blob.chunks()


def _parts(work: Conversion, tensor: Tensor) -> Iterator[Range | memoryview]:
    blob = None if work.lacks(tensor) else work.plain(tensor)
    if blob is not None and blob.dtype == tensor.dtype:
        return blob_parts(blob)
    return chunks(work, tensor)
