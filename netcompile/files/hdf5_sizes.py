"""What the data sets of an HDF5 file may claim: as many bytes as are stored, or as deflate can have packed into these.

HDF5 gives what was never stored as a fill value, keeps chunks in memory as large as the file says, and lets one set
have a thousand names; each would make gigabytes of a file of some kilobytes.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from math import prod
from typing import Any

from netcompile.diagnostics.text import shape_text
from netcompile.files.limits import DEFLATE, require_memory

_PACKED_BYTES = 1 << 32  # the largest data set unpacked from compressed chunks
_CHUNK_BYTES = 1 << 24  # a chunk may be larger than its data set, which can grow, up to this


@dataclass(frozen=True, slots=True)
class Storage:
    """How the numbers of a data set are stored: bytes of one, bytes stored in all, whether filters have packed them,
    and the shape of its chunks if it has any. ``stored`` is None where the reader of HDF5 does not tell.
    """

    shape: tuple[int, ...]
    size: int
    stored: int | None
    packed: bool
    chunk: tuple[int, ...] | None

    @property
    def claimed(self) -> int:
        """Bytes of the numbers."""
        return prod(self.shape) * self.size

    def require(self, file_size: int, name: str) -> None:
        """Raises ValueError where the numbers cannot be stored in their file, NetError where a chunk of them, `name`
        being its place for the message, takes more than the memory may.
        """
        claimed, stored = self.claimed, file_size if self.stored is None else self.stored
        room = stored * DEFLATE if self.packed else stored
        if stored > file_size or claimed > room or (self.packed and claimed > _PACKED_BYTES):
            there = f"the file has {stored}" if self.stored is None else f"{stored} are stored"
            packed = ", packed" if self.packed else ""
            raise ValueError(f"claims {claimed} bytes (shape {shape_text(self.shape)}), but {there}{packed}")
        if self.chunk is not None:
            chunk = prod(self.chunk) * self.size
            if chunk > max(_CHUNK_BYTES, 2 * claimed):
                raise ValueError(f"is stored in chunks of {shape_text(self.chunk)}: too large")
            require_memory(2 * chunk, f"{name}: a chunk of {shape_text(self.chunk)}")


def storage_of(dataset: Any) -> Storage:
    """How h5py says that a data set (its low-level object) is stored."""
    from h5py import h5d

    properties = dataset.get_create_plist()
    chunked = properties.get_layout() == h5d.CHUNKED
    return Storage(
        tuple(int(extent) for extent in dataset.shape),
        dataset.dtype.itemsize,
        int(dataset.get_storage_size()),
        bool(properties.get_nfilters()),
        tuple(int(extent) for extent in properties.get_chunk()) if chunked else None,
    )


class Stored:
    """Adds up what the data sets of a file store: together they cannot have more than the file, nor one two names.

    What is packed counts as memory once it is unpacked, wherever it goes then.
    """

    def __init__(self, file_size: int, name: str) -> None:
        self.left, self.name = file_size, name
        self.unpacked = 0
        self.seen: set[Hashable] = set()

    def add(self, address: Hashable, storage: Storage) -> None:
        """Raises ValueError for a data set that was added before, by its address, or that overlaps others; NetError
        where the memory is bounded.
        """
        if address in self.seen:
            raise ValueError("is a data set that was met before: one has two names")
        self.seen.add(address)
        if storage.stored is not None:
            self.left -= storage.stored
        elif not storage.packed:
            self.left -= storage.claimed
        if self.left < 0:
            raise ValueError("is one of data sets that store more bytes together than the file has")
        if storage.packed:
            self.unpacked += storage.claimed
            require_memory(self.unpacked, f"what is packed in {self.name}")
