"""Where Caffe's weights are in an HDF5 file: group ``data``, a group per layer, a data set per parameter, named by its
index. Who reads HDF5 itself gives the tree.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NoReturn, Protocol

from netcompile.caffemodel.blob import AXES, REFETCH, FloatType, StoredBlob, StoredLayer, impossible
from netcompile.diagnostics.diagnostic import refuse
from netcompile.files.hdf5_sizes import Storage, Stored

_KERAS = {b"model_weights", b"optimizer_weights", b"top_level_model_weights", b"_layer_checkpoint_dependencies"}
_INDICES = 1000  # a parameter index beyond this is damage
_DEPTH = 32  # a name with slashes is a path of groups
_LAYERS = 1 << 20
_FLOATS: dict[int, FloatType] = {4: "float32", 8: "float64"}


class Refused(Exception):
    """What is wrong with the object at ``where``, a path in the file."""

    def __init__(self, where: str, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.where, self.what, self.remedy = where, what, remedy

    def tell(self, name: str) -> NoReturn:
        """Raise the NetError for a file of this name."""
        refuse("caffemodel-hdf5", f"{name}: {self.where}: {self.what}", remedy=self.remedy)


class Tree(Protocol):
    """An HDF5 file. Groups and data sets are whatever its reader has for them."""

    @property
    def root(self) -> Any: ...

    def names(self, group: Any) -> list[bytes]: ...

    def open(self, group: Any, name: bytes, where: str) -> Any:
        """The group or data set behind a hard link; Refused for all else."""
        ...

    def is_group(self, found: Any) -> bool: ...

    def address(self, found: Any) -> Hashable:
        """The same for what is the same."""
        ...

    def blob(self, dataset: Any, where: str) -> StoredBlob:
        """Refused for what is none."""
        ...


def layers_of(tree: Tree) -> list[StoredLayer]:
    """The layers of a file, by name (HDF5 keeps no other order). Raises Refused, NetError."""
    root = tree.root
    names = tree.names(root)
    if b"data" not in names:
        if not _KERAS.isdisjoint(names):
            raise Refused("/", "this is a model of Keras (.h5), not Caffe's weights", "give the .caffemodel")
        what = "has no group 'data': this is another kind of HDF5 file"
        raise Refused("/", what, "give the file that Caffe's snapshot wrote")
    top = tree.open(root, b"data", "/data")
    if not tree.is_group(top):
        raise Refused("/data", "is no group: this is another kind of HDF5 file (HDF5Data input, perhaps)")
    layers: dict[str, StoredLayer] = {}
    seen = {tree.address(root), tree.address(top)}
    stack = [(name, top, 1) for name in sorted(tree.names(top), reverse=True)]
    while stack:
        path, parent, depth = stack.pop()
        where = f"/data/{text_of(path)}"
        group = tree.open(parent, path.rpartition(b"/")[2], where)
        if not tree.is_group(group):
            raise Refused(where, "is no group of parameters")
        address = tree.address(group)
        if depth > _DEPTH:
            raise Refused(where, f"lies deeper than {_DEPTH} groups")
        if address in seen:
            raise Refused(where, "is a group that was met before: the links go in a circle, or one has two names")
        seen.add(address)
        if len(seen) > _LAYERS:
            raise Refused("/data", f"has more than {_LAYERS} groups")
        blobs, inner = _members(tree, group, where)
        stack += [(path + b"/" + name, group, depth + 1) for name in sorted(inner, reverse=True)]
        if blobs or not inner:
            every = tuple(blobs.get(i) for i in range(max(blobs, default=-1) + 1))
            layers[text_of(path)] = StoredLayer(text_of(path), "", every)
    return list(layers.values())


def _members(tree: Tree, group: Any, where: str) -> tuple[dict[int, StoredBlob], list[bytes]]:
    """The parameters in a group, by index, and the names of the groups in it. Raises Refused, NetError."""
    blobs: dict[int, StoredBlob] = {}
    inner: list[bytes] = []
    for name in tree.names(group):
        here = f"{where}/{text_of(name)}"
        child = tree.open(group, name, here)
        if tree.is_group(child):
            inner.append(name)
            continue
        index = int(name) if name.isdigit() and len(name) <= 3 else -1
        if str(index).encode() != name:
            raise Refused(here, f"is not named by the index of a parameter, 0 to {_INDICES - 1}")
        blobs[index] = tree.blob(child, here)
    return blobs, inner


def kept_as(kind: str, storage: Storage, where: str, dtype: object) -> FloatType:
    """What the numbers of a data set become: `kind` is f, i, u, or another letter for what are no numbers, `dtype` what
    messages call them. Raises Refused. Whole numbers and half floats become float32, as in Caffe's reader.
    """
    if kind not in ("f", "i", "u") or storage.size > 8:
        raise Refused(where, f"holds {dtype}, not floating-point numbers")
    if len(storage.shape) > AXES:
        raise Refused(where, f"has {len(storage.shape)} axes; Caffe has {AXES} at most")
    return "float32" if kind != "f" or storage.size < 4 else _FLOATS[storage.size]


def require_stored(
    storage: Storage, file_size: int, name: str, where: str, address: Hashable, together: Stored | None
) -> None:
    """Raises Refused where the numbers of a data set cannot be in its file, or are no blob's; `together` adds up what
    the data sets of the file `name` store. NetError where the memory is bounded.
    """
    try:
        storage.require(file_size, f"{name}: {where}")
        if together is not None:
            together.add(address, storage)
    except ValueError as error:
        raise Refused(where, str(error), REFETCH) from None
    if large := impossible(storage.shape):
        raise Refused(where, f"is no blob: {large}")


def text_of(name: bytes) -> str:
    """A name in the file as text."""
    return name.decode("utf-8", "backslashreplace")
