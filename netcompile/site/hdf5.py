"""HDF5 files in the page: HDF5's library, compiled for browsers, lists what is in a file, and unpacks what is wanted.

Lists are JSON (`page/hdf5.js` says how they look). What may be in a file, and what is said of what may not, is the
command line's.
"""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import chdir
from dataclasses import dataclass, replace
from errno import EIO
from os import strerror
from typing import Any

from netcompile.caffemodel.blob import ITEM_BYTES, REFETCH, CaffeModel, FileData, StoredBlob, StoredLayer
from netcompile.caffemodel.file import DataFile
from netcompile.caffemodel.hdf5_tree import Refused, kept_as, layers_of, require_stored
from netcompile.caffemodel.wire import Pieces
from netcompile.diagnostics.diagnostic import refuse
from netcompile.files.hdf5_guard import FILTERS
from netcompile.files.hdf5_sizes import Storage, Stored

Listed = dict[str, Any]
_KINDS = {"float": "f", "int": "i", "uint": "u"}
_UNPACKED = {1, 2, 3, 6}  # the filters that the page's library has
_LINKS = {"soft": "a soft link", "external": "a link to another file"}


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """Numbers that are to be unpacked: of the data set at `path`."""

    path: str

    def chunks(self, limit: int) -> Any:
        raise AssertionError("these numbers are not unpacked yet")


@dataclass(frozen=True)
class ListedTree:
    """A list as a tree, for `layers_of`."""

    name: str
    size: int
    root: Listed
    together: Stored

    def names(self, group: Listed) -> list[bytes]:
        return sorted(name.encode("utf-8", "surrogatepass") for name in group["members"])

    def open(self, group: Listed, name: bytes, where: str) -> Listed:
        found: Listed = group["members"][name.decode("utf-8", "surrogatepass")]
        if "failed" in found:
            refuse("caffemodel-corrupt", f"{self.name}: {where}: cannot be read: {found['failed']}", remedy=REFETCH)
        if "link" in found:
            what = _LINKS.get(found["link"], "a special link")
            remedy = "store the numbers themselves (h5repack, or copy them)"
            raise Refused(where, f"is {what}, which is not followed", remedy)
        if not found.keys() & {"members", "type"}:
            raise Refused(where, "is neither a group nor a data set")
        return found

    def is_group(self, found: Listed) -> bool:
        return "members" in found

    def address(self, found: Listed) -> Hashable:
        return str(found["address"])

    def blob(self, dataset: Listed, where: str) -> StoredBlob:
        if dataset["virtual"]:
            raise Refused(where, "is a virtual data set: its numbers lie in other files", "copy it with h5repack")
        for number in dataset["filters"]:
            if number not in FILTERS:
                raise Refused(where, f"is packed with filter {number}, which is not known", "unpack it with h5repack")
            if number not in _UNPACKED:
                what = f"is packed with filter {number} ({FILTERS[number]}), which this page does not have"
                raise Refused(where, what, f"on the command line: netcompile convert-weights {self.name} --net NET")
        if dataset["shape"] is None:
            raise Refused(where, "has no numbers at all (a null data space)")
        chunk = None if dataset["chunks"] is None else tuple(dataset["chunks"])
        packed = bool(dataset["filters"])
        storage = Storage(tuple(map(int, dataset["shape"])), dataset["size"], None, packed, chunk)
        called = f"{dataset['type']}{8 * storage.size}" if dataset["type"] in _KINDS else dataset["type"]
        kept = kept_as(_KINDS.get(dataset["type"], ""), storage, where, called)
        if storage.size not in (1, 2, 4, 8):
            raise Refused(where, f"holds {called}, not floating-point numbers")
        require_stored(storage, self.size, self.name, where, self.address(dataset), self.together)
        return StoredBlob(storage.shape, kept, Wanted(where))


def listed_model(name: str, listing: Listed) -> CaffeModel:
    """The layers of a file; their numbers are `Wanted`. Raises NetError, OSError."""
    if listing.get("gone"):
        raise OSError(EIO, strerror(EIO), name)
    if "damaged" in listing:
        refuse("caffemodel-corrupt", f"{name}: the HDF5 file is damaged: {listing['damaged']}", remedy=REFETCH)
    try:
        layers = layers_of(ListedTree(name, listing["size"], listing["root"], Stored(listing["size"], name)))
        _require_unpacked(name, listing)
    except Refused as error:
        error.tell(name)
    return CaffeModel(name, "HDF5", "", tuple(layers))


def _require_unpacked(name: str, listing: Listed) -> None:
    """Raises Refused, NetError where a data set could not be unpacked."""
    if "failed" in listing:
        where, text = listing["failed"]
        if "external raw data" in text:
            raise Refused(where, "keeps its numbers in another file", "copy it with h5repack")
        refuse("caffemodel-corrupt", f"{name}: {where}: cannot be read: {text}", remedy=REFETCH)


def wanted(model: CaffeModel) -> list[tuple[str, str]]:
    """The data sets whose numbers are to be unpacked, one behind the other: each by its path, and what it becomes."""
    return [
        (blob.data.path, blob.dtype)
        for layer in model.layers
        for blob in layer.blobs
        if blob is not None and isinstance(blob.data, Wanted)
    ]


def with_numbers(folder: str, model: CaffeModel) -> CaffeModel:
    """The model, its numbers being those that lie in `folder` under its name. Raises OSError, NetError."""
    with chdir(folder):
        file = DataFile(model.path)
    offset = 0
    layers: list[StoredLayer] = []
    for layer in model.layers:
        blobs: list[StoredBlob | None] = []
        for blob in layer.blobs:
            if blob is not None:
                size = ITEM_BYTES[blob.dtype]
                pieces = Pieces(size)
                pieces.add(offset, blob.count, size)
                offset += blob.nbytes
                blob = replace(blob, data=FileData(file, pieces))
            blobs.append(blob)
        layers.append(replace(layer, blobs=tuple(blobs)))
    return replace(model, layers=tuple(layers))
