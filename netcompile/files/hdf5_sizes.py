"""What the data sets of an HDF5 file may claim: as many bytes as are stored, or as deflate can have packed into these.

HDF5 gives what was never stored as a fill value, keeps chunks in memory as large as the file says, and lets one set
have a thousand names; each would make gigabytes of a file of some kilobytes.
"""

from __future__ import annotations

from math import prod
from typing import Any

from netcompile.diagnostics.text import shape_text
from netcompile.files.limits import DEFLATE, require_memory

_PACKED_BYTES = 1 << 32  # the largest data set unpacked from compressed chunks
_CHUNK_BYTES = 1 << 24  # a chunk may be larger than its data set, which can grow, up to this


def claimed_bytes(dataset: Any, file_size: int, name: str) -> int:
    """Bytes of the numbers of a data set (h5py's low-level object). Raises ValueError where they cannot be stored in
    its file, NetError where a chunk of them, `name` being its place for the message, takes more than the memory may.
    """
    from h5py import h5d

    properties, shape = dataset.get_create_plist(), tuple(int(extent) for extent in dataset.shape)
    size, filters = dataset.dtype.itemsize, properties.get_nfilters()
    claimed: int = prod(shape) * size
    stored = int(dataset.get_storage_size())
    room = stored * DEFLATE if filters else stored
    if stored > file_size or claimed > room or (filters and claimed > _PACKED_BYTES):
        packed = ", packed" if filters else ""
        raise ValueError(f"claims {claimed} bytes (shape {shape_text(shape)}), but {stored} are stored{packed}")
    if properties.get_layout() == h5d.CHUNKED:
        chunk = prod(properties.get_chunk()) * size
        if chunk > max(_CHUNK_BYTES, 2 * claimed):
            raise ValueError(f"is stored in chunks of {shape_text(properties.get_chunk())}: too large")
        require_memory(2 * chunk, f"{name}: a chunk of {shape_text(properties.get_chunk())}")
    return claimed


class Stored:
    """Adds up what the data sets of a file store: together they cannot have more than the file, nor one two names.

    What is packed counts as memory once it is unpacked, wherever it goes then.
    """

    def __init__(self, file_size: int, name: str) -> None:
        self.left, self.name = file_size, name
        self.unpacked = 0
        self.seen: set[tuple[int, int]] = set()

    def add(self, dataset: Any, claimed: int) -> None:
        """Raises ValueError for a data set that was added before, or that overlaps others; NetError where the memory
        is bounded.
        """
        from h5py import h5o

        info = h5o.get_info(dataset)
        if (info.fileno, info.addr) in self.seen:
            raise ValueError("is a data set that was met before: one has two names")
        self.seen.add((info.fileno, info.addr))
        self.left -= int(dataset.get_storage_size())
        if self.left < 0:
            raise ValueError("is one of data sets that store more bytes together than the file has")
        if dataset.get_create_plist().get_nfilters():
            self.unpacked += claimed
            require_memory(self.unpacked, f"what is packed in {self.name}")
