"""Reads .caffemodel.h5 with h5py.

A file from elsewhere must not lead anywhere else or fill the memory, so before anything is opened or read:
links must be hard ones, data must lie in this file, and claimed sizes must be borne out by bytes in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

from netcompile.caffemodel.blob import ITEM_BYTES, REFETCH, CaffeModel, FileData, StoredBlob
from netcompile.caffemodel.file import DataFile
from netcompile.caffemodel.hdf5_tree import Refused, kept_as, layers_of, require_stored, text_of
from netcompile.caffemodel.wire import Pieces
from netcompile.diagnostics.diagnostic import NetError, refuse
from netcompile.files.hdf5_guard import Elsewhere, member, raise_of_system, require_own
from netcompile.files.hdf5_sizes import Stored, storage_of
from netcompile.files.limits import require_memory


@dataclass(frozen=True, slots=True, eq=False)
class Hdf5Data:
    """Numbers of a data set that is chunked, compressed, compact or not little-endian: read through h5py."""

    dataset: Any
    size: int
    where: str

    def chunks(self, limit: int) -> Iterator[memoryview]:
        try:
            yield from self._rows(limit)
        except (NetError, MemoryError):
            raise
        except Exception as error:  # of h5py, for a damaged chunk
            raise_of_system(error, self.where)
            what = f"{self.where}: cannot be read: {error}"
            refuse("caffemodel-corrupt", what, remedy=REFETCH)

    def _rows(self, limit: int) -> Iterator[memoryview]:
        import numpy as np

        dtype = np.dtype(f"<f{self.size}")
        shape: tuple[int, ...] = self.dataset.shape
        if not shape:
            yield _bytes(np.asarray(self.dataset[()], dtype))
            return
        # Rows are read a whole storage chunk at a time: a compressed chunk is unpacked once, not once a row.
        row = prod(shape[1:]) * self.size
        step = max(1, limit // max(row, 1))
        if self.dataset.chunks:
            step = max(step, self.dataset.chunks[0])
        require_memory(2 * min(step, shape[0]) * row, f"{self.where}: its rows, {step} at a time,")
        for start in range(0, shape[0] if row else 0, step):
            rows = _bytes(np.ascontiguousarray(self.dataset[start : start + step], dtype))
            for offset in range(0, len(rows), limit):
                yield rows[offset : offset + limit]


def _bytes(array: Any) -> memoryview:
    data: memoryview = array.reshape(-1).view("u1").data
    return data


def read_array(file: DataFile, path: str) -> Any:
    """The numbers of one data set as a floating-point array, under the same guard. Raises ValueError."""
    import h5py
    from h5py import h5g

    try:
        found = h5g.open(h5py.File(file.name, "r", locking=False).id, b"/")
        for name in path.encode().split(b"/"):
            if not isinstance(found, h5g.GroupID) or name not in list(found):
                have = [text_of(other) for other in found] if isinstance(found, h5g.GroupID) else []
                raise ValueError(f"it has no array '{text_of(name)}'; it has {', '.join(have[:10]) or 'none'}")
            found = _open(found, name, f"/{path}")
        if isinstance(found, h5g.GroupID):
            raise ValueError(f"'{path}' is a structure, no array")
        return _blob(file, found, f"/{path}").array()
    except Refused as error:
        raise ValueError(f"{error.where} {error.what}") from None
    except (ValueError, NetError, MemoryError):
        raise
    except Exception as error:  # h5py raises many kinds for damaged files
        raise_of_system(error, file.name)
        raise ValueError(f"the HDF5 file is damaged: {error}") from None


def read_hdf5(file: DataFile) -> CaffeModel:
    """The layers of an HDF5 file, by name (HDF5 keeps no other order). Raises NetError.

    A name with slashes is a path of groups. Whole numbers and half floats become float32, as in Caffe's reader.
    """
    try:
        import h5py
    except ImportError:
        refuse("caffemodel-hdf5", f"{file.name}: reading HDF5 needs the package h5py", remedy="pip install h5py")
    try:
        # Not closed here: the data sets of some blobs are read later, and the last of them closes the file.
        layers = layers_of(_Opened(file, h5py.File(file.name, "r", locking=False)))
    except Refused as error:
        error.tell(file.name)
    except (NetError, MemoryError):
        raise
    except Exception as error:  # h5py raises many kinds for damaged files
        raise_of_system(error, file.name)
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        refuse("caffemodel-corrupt", f"{file.name}: the HDF5 file is damaged: {text}", remedy=REFETCH)
    return CaffeModel(file.name, "HDF5", "", tuple(layers))


class _Opened:
    """The file as a tree, for `layers_of`."""

    def __init__(self, file: DataFile, opened: Any) -> None:
        from h5py import h5g

        self.file, self.root = file, h5g.open(opened.id, b"/")
        self.together = Stored(file.size, file.name)

    def names(self, group: Any) -> list[bytes]:
        return list(group)

    def open(self, group: Any, name: bytes, where: str) -> Any:
        return _open(group, name, where)

    def is_group(self, found: Any) -> bool:
        from h5py import h5g

        return isinstance(found, h5g.GroupID)

    def address(self, found: Any) -> tuple[int, int]:
        return _address(found)

    def blob(self, dataset: Any, where: str) -> StoredBlob:
        return _blob(self.file, dataset, where, self.together)


def _open(parent: Any, name: bytes, where: str) -> Any:
    """The object behind a hard link; no other link is followed."""
    try:
        return member(parent, name)
    except Elsewhere as error:
        raise Refused(where, error.what, error.remedy) from None


def _address(group: Any) -> tuple[int, int]:
    from h5py import h5o

    info = h5o.get_info(group)
    return info.fileno, info.addr


def _blob(file: DataFile, dataset: Any, where: str, together: Stored | None = None) -> StoredBlob:
    """The blob of a data set. Its layout comes first: asking a virtual data set its shape opens files.

    `together` adds up what the data sets of the file store.
    """
    import h5py
    from h5py import h5d

    try:
        require_own(dataset)
    except Elsewhere as error:
        raise Refused(where, error.what, error.remedy) from None
    layout = dataset.get_create_plist().get_layout()
    if dataset.get_space().get_simple_extent_type() == h5py.h5s.NULL:
        raise Refused(where, "has no numbers at all (a null data space)")
    dtype, storage = dataset.dtype, storage_of(dataset)
    kept = kept_as("" if dtype.subdtype else dtype.kind, storage, where, dtype)
    require_stored(storage, file.size, file.name, where, _address(dataset), together)
    shape, claimed = storage.shape, storage.claimed
    count = prod(shape)
    offset = dataset.get_offset() if layout == h5d.CONTIGUOUS and count else None
    if offset is not None and dtype.kind == "f" and dtype.newbyteorder("<") == dtype and dtype.itemsize >= 4:
        if offset + claimed > file.size:
            what = f"runs to byte {offset + claimed}, but the file has {file.size}: truncated?"
            raise Refused(where, what, REFETCH)
        pieces = Pieces(dtype.itemsize)
        pieces.add(offset, count, dtype.itemsize)
        return StoredBlob(shape, kept, FileData(file, pieces))
    return StoredBlob(shape, kept, Hdf5Data(h5py.Dataset(dataset), ITEM_BYTES[kept], f"{file.name}: {where}"))
