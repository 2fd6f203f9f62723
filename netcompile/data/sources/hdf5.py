"""HDF5Data: rows of the data sets named as the tops, from a list of files."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Any

import h5py
import numpy as np

from netcompile.array import Array
from netcompile.data.paths import first_there, read_lines
from netcompile.data.sources.base import Batches, Order, Wanted, stacked
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.diagnostics.text import shape_text
from netcompile.files.hdf5_guard import Elsewhere, own_dataset, raise_of_system
from netcompile.files.hdf5_sizes import storage_of
from netcompile.files.limits import require_memory
from netcompile.ir.graph import Input


@dataclass(frozen=True, slots=True)
class Rows:
    """Batches of rows. Shuffled, the files come in another order in every epoch, and so do the rows of each."""

    files: tuple[str, ...]
    counts: tuple[int, ...]
    tops: tuple[str, ...]
    size: int
    shuffle: bool
    seed: int

    def batch(self, index: int) -> dict[str, Array]:
        places = [self.place(k) for k in range(index * self.size, (index + 1) * self.size)]
        parts: dict[str, list[Array]] = {top: [] for top in self.tops}
        with ExitStack() as stack:
            wanted = {file for file, _ in places}
            opened = {file: stack.enter_context(h5py.File(self.files[file], "r")) for file in wanted}
            sets = {(file, top): own_dataset(opened[file], top) for file in wanted for top in self.tops}
            for file, row in places:
                for top in self.tops:
                    parts[top].append(_row(self.files[file], sets[file, top], top, row))
        return {top: stacked(rows) for top, rows in parts.items()}

    def place(self, k: int) -> tuple[int, int]:
        """File and row of item k."""
        epoch, left = divmod(k, sum(self.counts))
        if not self.shuffle:
            ends = list(accumulate(self.counts))
            file = bisect_right(ends, left)
            return file, left - ends[file] + self.counts[file]
        files = Order(len(self.files), self.shuffle, self.seed)
        for position in range(len(self.files)):
            file = files(epoch * len(self.files) + position)
            count = self.counts[file]
            if left < count:
                seed = self.seed * 1_000_003 + file + 1
                return file, Order(count, self.shuffle, seed)(epoch * count + left)
            left -= count
        raise AssertionError("an item beyond its epoch")


def hdf5_data(entries: Sequence[Input], wanted: Wanted) -> Batches:
    """The source of an HDF5Data layer. Raises NetError with every mistake of its files, OSError."""
    message = entries[0].message
    section = message.get("hdf5_data_param")
    size = int(section.get("batch_size") or 0)
    if not section.has("source") or size < 1:
        refuse("param-missing", "HDF5Data needs a source and a batch_size", message.span_of("type"))
    listing = wanted.find(str(section.get("source")), "list", entries[0])
    names = read_lines(listing)
    folders = ("", *wanted.folders, os.path.dirname(listing))
    files: list[str] = []
    counts: list[int] = []
    problems: list[Diagnostic] = []
    rows: dict[str, tuple[int, ...]] = {}
    known: dict[str, dict[str, tuple[int, ...]] | None] = {}  # a list may name a file a million times
    tops = tuple(message.all("top"))
    for name in names:
        path = first_there(os.path.join(folder, name) for folder in folders)
        if path is None:
            problems.append(Diagnostic("no-such-file", f"{listing}: there is no file '{name}'"))
            continue
        if path in known:
            if (again := known[path]) is not None:
                files.append(path)
                counts.append(min(shape[0] if shape else 0 for shape in again.values()))
            continue
        known[path] = None
        try:
            with h5py.File(path, "r") as handle:
                found = known[path] = {top: _shape(handle, top) for top in tops}
        except NetError as error:
            problems += error.diagnostics
            continue
        except Exception as error:  # h5py raises many kinds for damaged files
            raise_of_system(error, path)
            problems.append(Diagnostic("data-file", f"{path}: not a readable HDF5 file"))
            continue
        lengths = {top: shape[0] if shape else None for top, shape in found.items()}
        for top, shape in found.items():
            if not shape:
                problems.append(Diagnostic("data-file", f"{path}: no data set '{top}', which is a top"))
            elif shape[1:] != rows.setdefault(top, shape)[1:]:
                here, there = shape_text(shape[1:]), shape_text(rows[top][1:])
                what = f"{path}: rows of '{top}' are {here}, those of {files[0]} {there}"
                problems.append(Diagnostic("data-file", what, why="a batch may take rows of several files"))
        if len(set(lengths.values())) > 1 and None not in lengths.values():
            problems.append(Diagnostic("data-file", f"{path}: its data sets have different numbers of rows: {lengths}"))
        files.append(path)
        counts.append(next(iter(lengths.values())) or 0)
    if not names:
        problems.append(Diagnostic("data-file", f"{listing}: the list is empty"))
    elif not problems and not sum(counts):
        problems.append(Diagnostic("data-file", f"{listing}: its files hold no rows"))
    if problems:
        raise NetError(problems)
    # The rows alone, and then together as a batch; the order of the rows is shuffled as one array.
    numbers = sum(prod(shape[1:]) for shape in rows.values())
    require_memory(8 * size * numbers + 8 * sum(counts), f"{listing}: a batch of {size}")
    return Rows(tuple(files), tuple(counts), tops, size, bool(section.get("shuffle")), wanted.seed)


def _shape(handle: Any, name: str) -> tuple[int, ...]:
    """The shape of a data set of numbers with rows; empty for anything else.

    Raises NetError for one of other files, and for absurd sizes.
    """
    try:
        found = own_dataset(handle, name)
    except Elsewhere as error:
        why = "a file from elsewhere could have any file of this machine read"
        refuse("data-file", f"{handle.filename}: '{name}' {error.what}", why=why, remedy=error.remedy)
    if found is None or found.dtype.kind not in "buif":
        return ()
    try:
        storage_of(found.id).require(os.path.getsize(handle.filename), f"{handle.filename}: '{name}'")
    except ValueError as error:
        refuse("data-file", f"{handle.filename}: '{name}' {error}")
    return tuple(found.shape or ())


def _row(path: str, dataset: Any, name: str, row: int) -> Array:
    """A row as float32. Raises NetError where it is damaged."""
    try:
        return np.asarray(dataset[row], np.float32)
    except MemoryError:
        raise
    except Exception as error:  # as above
        raise_of_system(error, path)
        refuse("data-file", f"{path}: row {row} of '{name}' cannot be read: {error}")
