"""The binary .caffemodel: a NetParameter message with V0, V1 or V2 layers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NoReturn

from netcompile.caffemodel.blob import REFETCH, CaffeModel, StoredBlob, StoredLayer, shown
from netcompile.caffemodel.blobproto import DATA, DOUBLE_DATA, Range, all_fields, blob_fields, blob_of
from netcompile.caffemodel.file import DataFile
from netcompile.caffemodel.wire import BYTES, VARINT, Overrun, WireError, fields, signed
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse

_NAME_BYTES = 1 << 20  # a longer name is damage
_LAYERS = 1 << 20  # Caffe's largest nets have some hundred layers
_BLOBS = 1 << 12  # of one layer
_PROBLEMS = 100  # as many are told at once


@dataclass(frozen=True, slots=True)
class _LayerFields:
    """Field numbers of a kind of layer message."""

    name: int
    type: int
    blobs: int


_V2 = _LayerFields(name=1, type=2, blobs=7)
_V1 = _LayerFields(name=4, type=5, blobs=6)
_V0 = _LayerFields(name=1, type=2, blobs=50)
_NET_NAME, LAYERS_V1, LAYER_V2 = 1, 2, 100
_V1_V0_LAYER = 1


class Fault(Exception):
    """A WireError and what it was found in."""

    def __init__(self, where: str, error: WireError) -> None:
        super().__init__(where)
        self.where = where
        self.error = error


def read_binary(file: DataFile) -> CaffeModel:
    name, old, new = "", list[Range](), list[Range]()
    if file.size and file[0] == 0x08 and (other := _other_message(file)) is not None:  # a net has a text as field 1
        raise NetError(other)
    try:
        try:
            for number, kind, a, b in fields(file, 0, file.size):
                if kind != BYTES:
                    continue
                if number == _NET_NAME:
                    name = _text(file, a, b)
                elif number == LAYERS_V1:
                    old.append((a, b))
                elif number == LAYER_V2:
                    new.append((a, b))
                if len(old) + len(new) > _LAYERS:
                    raise WireError(a, f"more than {_LAYERS} layers")
        except Overrun as error:
            _look_into(file, error, len(old) + len(new))
        except WireError as error:
            raise Fault("", error) from None
        return _model(file, name, old, new)
    except Fault as fault:
        refuse_damaged(file, fault, known=bool(old or new))


def _model(file: DataFile, name: str, old: list[Range], new: list[Range]) -> CaffeModel:
    notes: list[Diagnostic] = []
    problems: list[Diagnostic] = []
    model: Literal["V0", "V1", "V2"] = "V2"
    if old:
        inner = [_v0_ranges(file, i, a, b) for i, (a, b) in enumerate(old)]
        model = "V0" if any(inner) else "V1"
    if model == "V0":
        layers = [_layer(file, i, ranges, _V0, problems) for i, ranges in enumerate(inner)]
        if new:
            what = f"{file.name}: {len(new)} layers in the V2 format are ignored, because others are V0"
            why = "Caffe's upgrade keeps V0 layers only"
            notes.append(Diagnostic("caffemodel-mixed", what, why=why, severity="note"))
    elif old and new:
        refuse(
            "caffemodel-mixed",
            f"{file.name}: holds {len(old)} V1 layers (`layers`) and {len(new)} V2 layers (`layer`)",
            why="Caffe refuses a net that has both",
            remedy="load it in the program that wrote it and save it in one format",
        )
    else:
        numbers = _V1 if old else _V2
        layers = [_layer(file, i, [range_], numbers, problems) for i, range_ in enumerate(old or new)]
    if problems:
        raise NetError(problems)
    if not layers:
        raise NetError(_other_message(file) or _no_layers(file))
    return CaffeModel(file.name, model, name, tuple(layers), tuple(notes))


def _v0_ranges(file: DataFile, number: int, a: int, b: int) -> list[Range]:
    """Where the V0 part of a V1 layer lies; a message that occurs twice is the two joined, as in protobuf."""
    try:
        return [(c, d) for n, kind, c, d in fields(file, a, b) if n == _V1_V0_LAYER and kind == BYTES]
    except WireError as error:
        raise Fault(_name_layer(file, number, [(a, b)], _V1), error) from None


def _layer(
    file: DataFile, number: int, ranges: list[Range], numbers: _LayerFields, problems: list[Diagnostic]
) -> StoredLayer:
    name, kind_name, blobs = "", "", list[Range]()
    try:
        for n, kind, a, b in all_fields(file, ranges):
            if n == numbers.blobs and kind == BYTES:
                blobs.append((a, b))
                if len(blobs) > _BLOBS:
                    raise WireError(a, f"a layer of more than {_BLOBS} blobs")
            elif n == numbers.name and kind == BYTES:
                name = _text(file, a, b)
            elif n == numbers.type and kind == BYTES and numbers is not _V1:
                kind_name = _text(file, a, b)
            elif n == numbers.type and kind == VARINT and numbers is _V1:
                kind_name = _v1_type(signed(a, 32))
    except WireError as error:
        where = _name_layer(file, number, ranges, numbers)
        if isinstance(error, Overrun) and error.number == numbers.blobs:
            where += f" blob {len(blobs)}"
        raise Fault(where, error) from None
    out: list[StoredBlob | None] = []
    for index, range_ in enumerate(blobs):
        where = f"layer {shown(name)} blob {index}"
        try:
            out.append(blob_of(file, blob_fields(file, [range_]), where, problems))
        except WireError as error:
            raise Fault(where, error) from None
    if len(problems) >= _PROBLEMS:
        raise NetError(problems[:_PROBLEMS])
    return StoredLayer(name, kind_name, tuple(out))


def _text(file: DataFile, a: int, b: int) -> str:
    if b - a > _NAME_BYTES:
        raise WireError(a, f"a name has {b - a} bytes")
    return file[a:b].decode("utf-8", "backslashreplace")


def _name_layer(file: DataFile, number: int, ranges: list[Range], numbers: _LayerFields) -> str:
    """What to call a damaged layer: by its name if that can still be read, else by its number in the file."""
    with suppress(WireError):
        for n, kind, a, b in all_fields(file, ranges):
            if n == numbers.name and kind == BYTES:
                return f"layer {shown(_text(file, a, b))}"
    return f"layer {number} of the file"


def _look_into(file: DataFile, error: Overrun, number: int) -> NoReturn:
    """A field of the net runs beyond the file: says in which layer and blob the file ends. Raises Fault."""
    ranges = [(error.start, error.end)]
    if error.number == LAYERS_V1:
        inner = []
        try:
            for n, kind, c, d in fields(file, error.start, error.end):
                if n == _V1_V0_LAYER and kind == BYTES:
                    inner.append((c, d))
        except Overrun as cut:
            if cut.number == _V1_V0_LAYER:
                _layer(file, number, [(cut.start, cut.end)], _V0, [])
        except WireError:
            pass
        _layer(file, number, ranges, _V1, [])
        raise Fault(_name_layer(file, number, inner or ranges, _V0 if inner else _V1), error)
    if error.number == LAYER_V2:
        _layer(file, number, ranges, _V2, [])
        raise Fault(_name_layer(file, number, ranges, _V2), error)
    raise Fault("", error)


def _v1_type(number: int) -> str:
    """The name of a V1 layer type, which is a number in the file; the number where only forks know it."""
    from netcompile.prototxt.schema import V1_TYPE, enum_type  # a table that files of this form alone need

    kinds = enum_type(V1_TYPE)
    name = kinds.names.get(number, "")
    return name if name and name not in kinds.forks else str(number)


def refuse_damaged(file: DataFile, fault: Fault, known: bool, mean: bool = False) -> NoReturn:
    """Raises the NetError for a damaged net or ``mean``. ``known``: it began like what it should be."""
    error = fault.error
    where = f"{fault.where}: " if fault.where else ""
    other = None if mean else _other_message(file)
    if other is not None:
        raise NetError(other) from None
    if isinstance(error, Overrun) and error.end == file.size and (known or fault.where):
        what = f"{where}data runs to byte {error.claimed} but the file has {file.size}: truncated?"
        refuse(
            "caffemodel-truncated",
            f"{file.name}: {what}",
            why="the file ends in the middle of a message, as after an interrupted download or copy",
            remedy="fetch it again, and compare its size and checksum with what its source states",
        )
    if not known and not fault.where:
        refuse(
            "caffemodel-not",
            f"{file.name}: this is not a caffemodel: byte {error.offset}: {error}",
            why="a caffemodel is a NetParameter message of protobuf",
            remedy="give the .caffemodel or .caffemodel.h5",
        )
    code = "caffemodel-truncated" if error.truncated and error.offset >= file.size - 10 else "caffemodel-corrupt"
    refuse(code, f"{file.name}: {where}byte {error.offset}: {error}", remedy=REFETCH)


def _other_message(file: DataFile) -> Diagnostic | None:
    """The messages that Caffe and other frameworks write beside nets, recognised by fields that a net cannot have."""
    seen: set[tuple[int, int]] = set()
    nested = False  # whether field 2 is a message with a message in it, where a solver's state has a path
    with suppress(WireError, IndexError):
        for n, kind, start, _ in islice(fields(file, 0, file.size), 65):
            seen.add((n, kind))
            nested = nested or ((n, kind) == (2, BYTES) and file[start] == 0x0A)
    what, remedy = "", "give the .caffemodel beside it"
    if (1, VARINT) in seen and ((7, BYTES) in seen or (8, BYTES) in seen):  # its graph, its sets of operators
        what, remedy = "this is an ONNX model, not Caffe's weights", "give the .caffemodel"
    elif (1, VARINT) in seen and nested:
        what, remedy = "this is a SavedModel of TensorFlow (.pb), not Caffe's weights", "give the .caffemodel"
    elif (DATA, BYTES) in seen or ((DOUBLE_DATA, BYTES) in seen and (_NET_NAME, BYTES) not in seen):
        what = "this is a single blob (a .binaryproto mean), not weights"
    elif (1, VARINT) in seen and ((2, BYTES) in seen or (3, BYTES) in seen):
        what = "this is a solver's state (.solverstate), not weights"
    return Diagnostic("caffemodel-not", f"{file.name}: {what}", remedy=remedy) if what else None


def _no_layers(file: DataFile) -> Diagnostic:
    return Diagnostic(
        "caffemodel-not",
        f"{file.name}: this is not a caffemodel: it has no layers",
        why="a caffemodel is a NetParameter message of protobuf, with a layer for each layer of the net",
        remedy="give the .caffemodel or .caffemodel.h5",
    )
