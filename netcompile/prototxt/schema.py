"""Caffe's message types, fields and enums, read from the tab-separated tables of facts in ``tables/``.

Each type is built when it is first asked for. ``fields.tsv`` and ``enums.tsv`` are BVLC Caffe's caffe.proto,
``fork-fields.tsv`` and ``fork-enums.tsv`` what its forks add, with the fork's name.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

Kind = Literal["int32", "int64", "uint32", "uint64", "float", "double", "bool", "string", "bytes", "enum", "message"]


@dataclass(frozen=True, slots=True)
class FieldType:
    """A field of a message type.

    ``default`` is the value of an unset field (float32-exact for ``float``; an enum's value is its name; None for
    messages). ``message`` or ``enum`` name the type of such a field. ``fork`` names the Caffe fork that added the
    field, None for BVLC Caffe's own. ``number`` is None where a fork's number is not known: text needs only names.
    """

    name: str
    number: int | None
    type: Kind
    repeated: bool
    packed: bool
    default: Any
    message: str | None
    enum: str | None
    required: bool = False
    fork: str | None = None


@dataclass(frozen=True, slots=True)
class EnumType:
    """An enum: ``numbers`` by name and ``names`` by number (BVLC's name where a fork's number clashes).

    ``forks`` holds the names that only forks have, with the fork; their number may be None.
    """

    name: str
    numbers: dict[str, int | None]
    names: dict[int, str]
    forks: dict[str, str]


@dataclass(frozen=True, slots=True)
class MessageType:
    """A message type: its fields by name, in the schema's order; ``required`` are the names of required ones."""

    name: str
    fields: dict[str, FieldType]
    required: tuple[str, ...]


V1_TYPE = "V1LayerParameter.LayerType"


class Clash(str):
    """The value of an enum given by a number that forks use for different things; `meanings` are all of them."""

    meanings: tuple[str, ...]

    def __new__(cls, value: str, meanings: tuple[str, ...]) -> Clash:
        made = super().__new__(cls, value)
        made.meanings = meanings
        return made


INTEGER_BOUNDS = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
"""The least and the greatest value of each integer type."""

_pack, _unpack = struct.Struct("<f").pack, struct.Struct("<f").unpack


def float32(x: float) -> float:
    """``x`` rounded to the nearest float32; beyond its range infinity, as a C cast does."""
    try:
        return float(_unpack(_pack(x))[0])
    except OverflowError:
        return float("inf") if x > 0 else float("-inf")


_SCALARS: dict[str, Callable[[str], object]] = {
    **dict.fromkeys(INTEGER_BOUNDS, lambda text: int(text or "0")),
    "float": lambda text: float32(float(text or "0")),  # Caffe computes with those
    "double": lambda text: float(text or "0"),
    "bool": "true".__eq__,
    "string": str,
    "bytes": str.encode,
}
"""Scalar types, each with how the text of a default is read; "" is the default of a field without one."""

Row = list[str]


@cache
def _rows(table: str) -> dict[str, list[Row]]:
    """The rows of a table and of its forks' by their first cell: the cells behind it, the fork ("" for none) last."""
    found: dict[str, list[Row]] = {}
    for name in (f"{table}.tsv", f"fork-{table}.tsv"):
        with open(os.path.join(os.path.dirname(__file__), "tables", name), encoding="utf-8") as file:
            head, *lines = file.read().splitlines()
        columns = head.count("\t")
        for line in lines:
            first, *cells = line.split("\t")
            cells += [""] * (columns - len(cells))
            found.setdefault(first, []).append(cells if name.startswith("fork-") else [*cells, ""])
    return found


@cache
def message_type(name: str) -> MessageType:
    """The message type of this name, like "NetParameter". Raises KeyError."""
    fields = {}
    for field, number, label, kind, default, notes, fork in _rows("fields")[name]:
        is_enum = kind in _rows("enums")
        read = _SCALARS.get(kind)
        kind_of: Any = kind if read else "enum" if is_enum else "message"
        fields[field] = FieldType(
            name=field,
            number=int(number) if number else None,
            type=kind_of,
            repeated=label == "repeated",
            packed="packed" in notes,
            default=read(default) if read else (default or _rows("enums")[kind][0][0]) if is_enum else None,
            message=kind if not read and not is_enum else None,
            enum=kind if is_enum else None,
            required=label == "required",
            fork=fork or None,
        )
    return MessageType(name, fields, tuple(f.name for f in fields.values() if f.required))


@cache
def enum_type(name: str) -> EnumType:
    """The enum of this name, like "PoolingParameter.PoolMethod". Raises KeyError."""
    numbers: dict[str, int | None] = {}
    names: dict[int, str] = {}
    forks = {}
    for value, digits, fork in _rows("enums")[name]:
        numbers[value] = int(digits) if digits else None
        if digits:
            names.setdefault(int(digits), value)
        if fork:
            forks[value] = fork
    return EnumType(name, numbers, names, forks)


def message_names() -> tuple[str, ...]:
    """The names of all message types, forks' included."""
    return tuple(_rows("fields"))


def enum_names() -> tuple[str, ...]:
    """The names of all enums, forks' included."""
    return tuple(_rows("enums"))
