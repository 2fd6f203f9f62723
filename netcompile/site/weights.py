"""A file of weights beside the net that is open: what is in it, how it fits, and what it is converted to.

The file stays where it is: what is read of it are tags, names and shapes, and numbers where something is computed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, NoReturn

from netcompile.caffemodel.blob import CaffeModel, FileData, StoredBlob
from netcompile.caffemodel.convert import Conversion, prepare
from netcompile.caffemodel.numbers import Numbers
from netcompile.caffemodel.plan import LayerSpec, Match, Plan, convert_plain, match, same_shape
from netcompile.caffemodel.ranges import Range, blob_parts, parts
from netcompile.caffemodel.reader import is_hdf5, read_caffemodel, read_mean
from netcompile.caffemodel.recipe import Take
from netcompile.caffemodel.remarks import MEAN, remarks, target_name
from netcompile.caffemodel.suspicious import of_each
from netcompile.caffemodel.tensorfile import Entry, header, in_order
from netcompile.compiler import compile_net
from netcompile.diagnostics.diagnostic import Diagnostic, refuse
from netcompile.diagnostics.listing import listing
from netcompile.diagnostics.text import bytes_text, shape_text
from netcompile.emit.weights import weight_plan
from netcompile.layers.registry import roles_of
from netcompile.site.opened import Opened

Answer = dict[str, Any]
Row = dict[str, Any]
_RUNS = 1 << 17  # runs of numbers that the page is told of, for all blobs together


@dataclass
class Dropped:
    """The file: a model or a mean, and the conversion that was prepared last."""

    name: str
    model: CaffeModel | None = None
    mean: StoredBlob | None = None
    blobs: tuple[StoredBlob, ...] = ()
    work: Conversion | None = None
    rest: Iterator[tuple[int, int] | bytes] = field(
        default_factory=lambda: iter(())
    )  # of the file that is being written
    taken: bytes = b""


@dataclass(frozen=True)
class Way:
    """How the file is converted: as options of `netcompile convert-weights`; `alone` is without the net."""

    alone: bool = False
    allow_missing: bool = False
    level: int = 1
    style: str | None = None


def dropped(folder: str, name: str) -> Dropped:
    """The file of that name, which is what messages call it. Raises NetError for what is no file of weights."""
    with chdir(folder), readable(name):
        if name.endswith(MEAN):
            return Dropped(name, mean=read_mean(name))
        return of_model(read_caffemodel(name))


def of_model(model: CaffeModel) -> Dropped:
    """The file that has these weights."""
    name = os.fspath(model.path)
    return Dropped(name, model, blobs=tuple(blob for layer in model.layers for blob in layer.blobs if blob is not None))


def holds_hdf5(folder: str, name: str) -> bool:
    """Whether the file is to be read as HDF5. Raises NetError for what is no file of weights."""
    with chdir(folder), readable(name):
        return not name.endswith(MEAN) and is_hdf5(name)


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Within the block an OSError becomes a NetError about the file of that name."""
    try:
        yield
    except OSError as error:
        unreadable(name, error)


def unreadable(name: str, error: OSError) -> NoReturn:
    """Raise the NetError for a file that the system does not let be read."""
    refuse(
        "not-a-file",
        f"{name}: {error.strerror}" if error.strerror else str(error),
        why="the browser gives a file's bytes only while it stays as it was when it was dropped",
        remedy="drop it again",
    )


def contents(file: Dropped) -> Answer:
    """What is in the file, and where each blob's numbers lie: runs of (offset, count, stride), none where too many."""
    if file.mean is not None:
        told = {"id": 0, "layer": "mean", "index": 0, **_stored(file.mean), "runs": _runs(file.mean)}
        return {"kind": "mean", "name": file.name, "format": "mean", "net": "", "blobs": [told]}
    assert file.model is not None
    blobs: list[Row] = []
    left = _RUNS
    for layer in file.model.layers:
        for index, blob in enumerate(layer.blobs):
            if blob is None:
                continue
            runs = _runs(blob)
            runs = runs if runs is not None and len(runs) <= left else None
            left -= len(runs or ())
            place = {"id": len(blobs), "layer": layer.name, "type": layer.type, "index": index}
            blobs.append({**place, **_stored(blob), "runs": runs})
    return {
        "kind": "weights",
        "name": file.name,
        "format": file.model.format,
        "net": file.model.name,
        "blobs": blobs,
    }


def _stored(blob: StoredBlob) -> Row:
    return {"shape": list(blob.shape), "dtype": blob.dtype, "count": blob.count}


def _runs(blob: StoredBlob) -> list[int] | None:
    return list(blob.data.pieces.runs) if isinstance(blob.data, FileData) else None


def fitted(
    file: Dropped, net: Callable[[], Opened], way: Way, numbers: Sequence[Sequence[int] | None] | None
) -> Answer:
    """How the file fits the net, or what it is alone, and what `netcompile convert-weights` says of it.

    ``numbers``: for each blob how many numbers it has, how many are NaN and infinite, and whether all are 0; without
    them nothing is said of the numbers. Raises NetError where there is no net to be compiled.
    """
    file.work, file.rest = None, iter(())
    if file.mean is not None:
        return _answer(file, [], [], "a mean", [Entry("mean", file.mean.dtype, file.mean.shape, lambda: ())])
    assert file.model is not None
    if way.alone:
        plan, what = convert_plain(file.model), f"{len(file.blobs)} blobs"
    else:
        analysed = net().net()
        module = compile_net(analysed, way.level, comments=False, style=way.style)
        plan, what = weight_plan(analysed.graph, module), f"{len(module.weights)} tensors of {module.class_name}"
    found = match(file.model, plan, way.allow_missing)
    rows = _rows(file, plan, found)
    wrong = [problem for problem in found.problems if problem.severity == "error"]
    if wrong:
        return _answer(file, wrong, rows, what, None)
    file.work = prepare(file.model, plan, way.allow_missing, None)
    work = file.work
    if numbers is not None:
        work = replace(work, roles=roles_of, numbers=_numbers(file, found, numbers))
    report = work.report("", 0)
    _mark(rows, work)
    said = [*report.notes, *report.suspicious] if way.alone else remarks(report, file.name)
    entries = [Entry(t.key, t.dtype, t.shape, lambda: ()) for t in work.tensors]
    return _answer(file, said, rows, what, entries)


def _answer(
    file: Dropped, said: Sequence[Diagnostic], rows: list[Row], what: str, entries: list[Entry] | None
) -> Answer:
    """`entries`: the tensors of the conversion; None where there is none."""
    size = None
    if entries is not None:
        size = len(header(in_order(entries), {"format": "pt"})) + sum(entry.nbytes for entry in entries)
    return {
        "findings": [finding.to_json() for finding in said],
        "text": "".join(listing(said)),
        "rows": rows,
        "what": what if size is None else f"{what}, {bytes_text(size)}",
        "target": target_name(file.name),
        "size": size,
        "first": _first(file, rows),
    }


def _numbers(file: Dropped, found: Match, numbers: Sequence[Sequence[int] | None]) -> dict[Take, Numbers]:
    """What the page has counted, for the blobs that it has counted; the others are looked at here."""
    counted = {id(blob): row for blob, row in zip(file.blobs, numbers, strict=True)}
    return {
        take: Numbers(row[0], row[1], row[2], bool(row[3]))
        for take, blob in found.blobs.items()
        if (row := counted[id(blob)]) is not None
    }


# --- one row for each blob of the net, and of the file


def _rows(file: Dropped, plan: Plan, found: Match) -> list[Row]:
    ids = {id(blob): number for number, blob in enumerate(file.blobs)}
    if plan.layers is None:
        kept = found.blobs.items()
        return [{**_row(t.layer, t.index, blob, ids, "kept"), "occurrence": t.occurrence} for t, blob in kept]
    rows = []
    for spec in plan.layers:
        for row, given in _of_layer(spec, found):
            number = None if given is None else ids[id(given)]
            rows.append({**row, "blob": number, "have": None if given is None else shape_text(given.shape)})
    used = {row["blob"] for row in rows}
    assert file.model is not None
    for layer in file.model.layers:
        for index, stored in enumerate(layer.blobs):
            if stored is not None and ids[id(stored)] not in used:
                rows.append(_row(layer.name, index, stored, ids, "unused"))
    return rows


def _row(layer: str, index: int, blob: StoredBlob, ids: dict[int, int], state: str) -> Row:
    place = {"layer": layer, "index": index, "role": "", "line": None, "want": None, "state": state}
    return {**place, "blob": ids[id(blob)], "have": shape_text(blob.shape)}


def _of_layer(spec: LayerSpec, found: Match) -> Iterator[tuple[Row, StoredBlob | None]]:
    """The blobs of a layer of the net, each with that of the file, and what is so between the two."""
    line = None if spec.span is None else spec.span.source.position(spec.span.start)[0]
    for take, owner, shape in zip(spec.takes(), spec.owners(), spec.blobs, strict=True):
        blob = found.blobs.get(owner)
        state = "matched"
        if owner != take:
            state = "shared"
        elif blob is None:
            state = "missing"
        elif take.index not in spec.unread and not same_shape(blob.shape, shape):
            state = "misshapen"
        role = spec.roles[take.index] if take.index < len(spec.roles) else ""
        place = {"layer": spec.name, "index": take.index, "occurrence": spec.occurrence, "role": role, "line": line}
        yield {**place, "want": shape_text(shape), "state": state}, blob


def _mark(rows: Sequence[Row], work: Conversion) -> None:
    """Give each row the codes of what is odd about its numbers."""
    codes: dict[tuple[str, int, int], list[str]] = {}
    for take, finding in of_each(work.model, work.plan, work.found.blobs, work.numbers, roles_of):
        codes.setdefault((take.layer, take.index, take.occurrence), []).append(finding.code)
    for row in rows:
        if row["state"] in ("matched", "kept"):
            row["odd"] = codes.get((row["layer"], row["index"], row["occurrence"]), [])


def _first(file: Dropped, rows: Sequence[Row]) -> int | None:
    """The row of the first layer's kernels, which are worth looking at: windows of more than one pixel."""
    for number, row in enumerate(rows):
        if row["state"] in ("matched", "kept"):
            shape = file.blobs[row["blob"]].shape
            if len(shape) == 4 and prod(shape[2:]) > 1:
                return number
    return None


# --- the file that is made


def written(file: Dropped) -> Iterator[tuple[int, int] | bytes]:
    """The .safetensors in order: bytes, and ranges (start, end) of the file. NetError, OSError as the file is read."""
    if file.mean is not None:
        blob = file.mean
        yield header([Entry("mean", blob.dtype, blob.shape, lambda: ())], {"format": "pt"})
        found: Iterator[Range | bytes | memoryview] = blob_parts(blob)
    else:
        if file.work is None:
            refuse("usage", f"{file.name} does not fit the net: there is nothing to convert")
        found = parts(file.work)
    for part in found:
        yield (part.start, part.end) if isinstance(part, Range) else bytes(part)


def next_part(file: Dropped) -> Answer:
    """The next part of the file that is being written; bytes wait in ``file.taken``. Raises NetError."""
    try:
        part = next(file.rest, None)
    except OSError as error:
        unreadable(file.name, error)
    if isinstance(part, bytes):
        file.taken = part
        return {"bytes": len(part)}
    return {"end": True} if part is None else {"range": part}
