"""Reads .caffemodel.h5: group ``data``, a group per layer, a data set per parameter, named by its index.

A file from elsewhere must not lead anywhere else or fill the memory, so before anything is opened or read:
links must be hard ones, data must lie in this file, and claimed sizes must be borne out by bytes in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

from netcompile.caffemodel.blob import (
    AXES,
    ITEM_BYTES,
    REFETCH,
    CaffeModel,
    FileData,
    FloatType,
    StoredBlob,
    StoredLayer,
    impossible,
)
from netcompile.caffemodel.file import DataFile
from netcompile.caffemodel.wire import Pieces
from netcompile.diagnostics.diagnostic import NetError, refuse
from netcompile.files.hdf5_guard import Elsewhere, member, raise_of_system, require_own
from netcompile.files.hdf5_sizes import Stored, claimed_bytes
from netcompile.files.limits import require_memory

_KERAS = {b"model_weights", b"optimizer_weights", b"top_level_model_weights", b"_layer_checkpoint_dependencies"}
_INDICES = 1000  # a parameter index beyond this is damage
_DEPTH = 32  # a name with slashes is a path of groups
_LAYERS = 1 << 20
_FLOATS: dict[int, FloatType] = {4: "float32", 8: "float64"}


class _Refused(Exception):
    """What is wrong with the object at ``where``, a path in the file."""

    def __init__(self, where: str, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.where, self.what, self.remedy = where, what, remedy


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
                have = [_text(other) for other in found] if isinstance(found, h5g.GroupID) else []
                raise ValueError(f"it has no array '{_text(name)}'; it has {', '.join(have[:10]) or 'none'}")
            found = _open(found, name, f"/{path}")
        if isinstance(found, h5g.GroupID):
            raise ValueError(f"'{path}' is a structure, no array")
        return _blob(file, found, f"/{path}").array()
    except _Refused as error:
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
        layers = _layers(file, h5py.File(file.name, "r", locking=False))
    except _Refused as error:
        refuse("caffemodel-hdf5", f"{file.name}: {error.where}: {error.what}", remedy=error.remedy)
    except (NetError, MemoryError):
        raise
    except Exception as error:  # h5py raises many kinds for damaged files
        raise_of_system(error, file.name)
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        refuse("caffemodel-corrupt", f"{file.name}: the HDF5 file is damaged: {text}", remedy=REFETCH)
    return CaffeModel(file.name, "HDF5", "", tuple(layers))


def _layers(file: DataFile, opened: Any) -> list[StoredLayer]:
    from h5py import h5g

    root = h5g.open(opened.id, b"/")
    if b"data" not in list(root):
        if not _KERAS.isdisjoint(root):
            raise _Refused("/", "this is a model of Keras (.h5), not Caffe's weights", "give the .caffemodel")
        what = "has no group 'data': this is another kind of HDF5 file"
        raise _Refused("/", what, "give the file that Caffe's snapshot wrote")
    top = _open(root, b"data", "/data")
    if not isinstance(top, h5g.GroupID):
        raise _Refused("/data", "is no group: this is another kind of HDF5 file (HDF5Data input, perhaps)")
    layers: dict[str, StoredLayer] = {}
    together = Stored(file.size, file.name)
    seen = {_address(root), _address(top)}
    stack = [(name, top, 1) for name in sorted(top, reverse=True)]
    while stack:
        path, parent, depth = stack.pop()
        where = f"/data/{_text(path)}"
        group = _open(parent, path.rpartition(b"/")[2], where)
        if not isinstance(group, h5g.GroupID):
            raise _Refused(where, "is no group of parameters")
        address = _address(group)
        if depth > _DEPTH:
            raise _Refused(where, f"lies deeper than {_DEPTH} groups")
        if address in seen:
            raise _Refused(where, "is a group that was met before: the links go in a circle, or one has two names")
        seen.add(address)
        if len(seen) > _LAYERS:
            raise _Refused("/data", f"has more than {_LAYERS} groups")
        blobs: dict[int, StoredBlob] = {}
        inner: list[bytes] = []
        for name in group:
            here = f"{where}/{_text(name)}"
            child = _open(group, name, here)
            if isinstance(child, h5g.GroupID):
                inner.append(path + b"/" + name)
                continue
            index = int(name) if name.isdigit() and len(name) <= 3 else -1
            if str(index).encode() != name:
                raise _Refused(here, f"is not named by the index of a parameter, 0 to {_INDICES - 1}")
            blobs[index] = _blob(file, child, here, together)
        stack += [(name, group, depth + 1) for name in sorted(inner, reverse=True)]
        if blobs or not inner:
            every = tuple(blobs.get(i) for i in range(max(blobs, default=-1) + 1))
            layers[_text(path)] = StoredLayer(_text(path), "", every)
    return list(layers.values())


def _open(parent: Any, name: bytes, where: str) -> Any:
    """The object behind a hard link; no other link is followed."""
    try:
        return member(parent, name)
    except Elsewhere as error:
        raise _Refused(where, error.what, error.remedy) from None


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
        raise _Refused(where, error.what, error.remedy) from None
    properties = dataset.get_create_plist()
    layout = properties.get_layout()
    if dataset.get_space().get_simple_extent_type() == h5py.h5s.NULL:
        raise _Refused(where, "has no numbers at all (a null data space)")
    shape = tuple(int(extent) for extent in dataset.shape)
    dtype = dataset.dtype
    if dtype.subdtype or dtype.kind not in "fiu" or dtype.itemsize > 8:
        raise _Refused(where, f"holds {dtype}, not floating-point numbers")
    if len(shape) > AXES:
        raise _Refused(where, f"has {len(shape)} axes; Caffe has {AXES} at most")
    kept: FloatType = "float32" if dtype.kind != "f" or dtype.itemsize < 4 else _FLOATS[dtype.itemsize]
    count = prod(shape)
    try:
        claimed = claimed_bytes(dataset, file.size, f"{file.name}: {where}")
        if together is not None:
            together.add(dataset, claimed)
    except ValueError as error:
        raise _Refused(where, str(error), REFETCH) from None
    if large := impossible(shape):
        raise _Refused(where, f"is no blob: {large}")
    offset = dataset.get_offset() if layout == h5d.CONTIGUOUS and count else None
    if offset is not None and dtype.kind == "f" and dtype.newbyteorder("<") == dtype and dtype.itemsize >= 4:
        if offset + claimed > file.size:
            what = f"runs to byte {offset + claimed}, but the file has {file.size}: truncated?"
            raise _Refused(where, what, REFETCH)
        pieces = Pieces(dtype.itemsize)
        pieces.add(offset, count, dtype.itemsize)
        return StoredBlob(shape, kept, FileData(file, pieces))
    return StoredBlob(shape, kept, Hdf5Data(h5py.Dataset(dataset), ITEM_BYTES[kept], f"{file.name}: {where}"))


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
