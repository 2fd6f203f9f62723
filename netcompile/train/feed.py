"""From the data layers of a net to sources of batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from netcompile.data.sources.ahead import ReadAhead
from netcompile.data.sources.annotated import annotated_data
from netcompile.data.sources.base import Batches, Joined, Wanted
from netcompile.data.sources.datums import datum_data
from netcompile.data.sources.hdf5 import hdf5_data
from netcompile.data.sources.image_list import image_data
from netcompile.data.sources.label_maps import maps_for, python_data
from netcompile.data.sources.windows import window_data
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.ir.graph import Input
from netcompile.train.dummy_data import dummy_data


@dataclass(frozen=True, slots=True)
class Source:
    """How a type of data layer is read; `ahead`: in other threads, while the net computes."""

    read: Callable[[Sequence[Input], Wanted], Batches]
    ahead: bool = False


# The data layers that are read, by type.
SOURCES = {
    "Data": Source(datum_data, ahead=True),
    "AnnotatedData": Source(annotated_data, ahead=True),
    "ImageData": Source(image_data, ahead=True),
    "HDF5Data": Source(hdf5_data),
    "DummyData": Source(dummy_data),
    "WindowData": Source(window_data, ahead=True),
    "Python": Source(python_data, ahead=True),
}


def feed(entries: Sequence[Input], wanted: Wanted) -> Batches:
    """The batches for these inputs. Raises NetError, OSError."""
    if wanted.data is not None:
        return ReadAhead(maps_for(entries, wanted))
    layers: defaultdict[int, list[Input]] = defaultdict(list)
    for entry in entries:
        layers[id(entry.message)].append(entry)
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
    if kind in SOURCES:
        source = SOURCES[kind]
        batches = source.read(entries, wanted)
        return ReadAhead(batches) if source.ahead else batches
    why = {
        "Input": "an Input layer is fed from outside",
        "MemoryData": "a MemoryData layer is fed from outside",
    }.get(kind, f"what a {kind} layer reads is not known here")
    message = entries[0].message
    tops = " and ".join(f"'{entry.value.blob}'" for entry in entries)
    remedy = "--data BATCHES.npz, or --data FOLDER of a data set, or --data LIST.txt of images and labels"
    refuse("no-data", f"nothing feeds {tops}", message.span_of("type"), why, remedy)
