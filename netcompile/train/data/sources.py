"""From the data layers of a net to sources of batches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.ir.graph import Input
from netcompile.train.data.base import Batches, Joined


@dataclass(frozen=True, slots=True)
class Wanted:
    """How data is to be read: what --data names, the split of a folder, the mean, the seed, where paths start."""

    data: str | None
    split: str
    mean: tuple[float, ...] | None
    seed: int
    train: bool
    folders: tuple[str, ...]

    def find(self, path: str, what: str, entry: Input) -> str:
        """A path of the net: as it stands, or from one of the folders. Raises NetError."""
        for folder in self.folders:
            if os.path.exists(os.path.join(folder, path)):
                return os.path.join(folder, path)
        refuse("no-such-file", f"there is no {what} '{path}'", entry.message.span_of("type"),
                       f"layer '{entry.message.get('name')}' reads it")  # fmt: skip


def feed(entries: Sequence[Input], wanted: Wanted) -> Batches:
    """The batches for these inputs. Raises NetError, OSError."""
    if wanted.data is not None:
        from netcompile.train.data.folders import pairs_for

        return pairs_for(entries, wanted)
    layers: dict[int, list[Input]] = {}
    for entry in entries:
        layers.setdefault(id(entry.message), []).append(entry)
    parts: list[Batches] = []
    problems: list[Diagnostic] = []
    for group in layers.values():
        try:
            parts.append(_layer(group, wanted))
        except NetError as error:
            problems += error.diagnostics
    if problems:
        raise NetError(problems)
    return Joined(tuple(parts))


def _layer(entries: Sequence[Input], wanted: Wanted) -> Batches:
    kind = str(entries[0].message.get("type"))
    if kind == "ImageData":
        from netcompile.train.data.images import image_data

        return image_data(entries, wanted)
    if kind == "HDF5Data":
        from netcompile.train.data.hdf5 import hdf5_data

        return hdf5_data(entries, wanted)
    if kind == "DummyData":
        from netcompile.train.data.dummy import dummy_data

        return dummy_data(entries, wanted)
    if kind == "Python":
        from netcompile.train.data.folders import python_data

        return python_data(entries, wanted)
    why = {
        "Input": "an Input layer is fed from outside",
        "MemoryData": "a MemoryData layer is fed from outside",
        "Data": "LMDB and LevelDB data bases are not read here",
        "WindowData": "WindowData is not read here",
    }.get(kind, f"what a {kind} layer reads is not known here")
    message = entries[0].message
    tops = " and ".join(f"'{entry.value.blob}'" for entry in entries)
    refuse(
            "no-data", f"nothing feeds {tops}", message.span_of("type"), why,
            "--data BATCHES.npz, or --data FOLDER in the layout of PASCAL VOC, or --data LIST.txt of images and labels",
        )  # fmt: skip
