"""Caffe's message types, fields and enums, built from ``_tables.py`` one type at a time, when first asked
for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from netcompile.prototxt._tables import ENUMS, FIELDS
from netcompile.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    Kind = Literal[
        "int32", "int64", "uint32", "uint64", "float", "double", "bool", "string", "bytes", "enum", "message"
    ]


@record
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


@record
class EnumType:
    """An enum: ``numbers`` by name and ``names`` by number (BVLC's name where a fork's number clashes).

    ``forks`` holds the names that only forks have, with the fork; their number may be None.
    """

    name: str
    numbers: dict[str, int | None]
    names: dict[int, str]
    forks: dict[str, str]


@record
class MessageType:
    """A message type: its fields by name, in the schema's order; ``required`` are the names of required
    ones."""

    name: str
    fields: dict[str, FieldType]
    required: tuple[str, ...]

    @property
    def by_number(self) -> dict[int, FieldType]:
        """Fields by number. Where numbers of forks clash, BVLC's field wins, then the first fork's."""
        table: dict[int, FieldType] = {}
        for field in self.fields.values():
            if field.number is not None:
                table.setdefault(field.number, field)
        return table


V1_TYPE = "V1LayerParameter.LayerType"


class Clash(str):
    """The value of an enum given by a number that forks use for different things; `meanings` are all of them."""

    meanings: tuple[str, ...]

    def __new__(cls, value: str, meanings: tuple[str, ...]) -> Clash:
        made = super().__new__(cls, value)
        made.meanings = meanings
        return made


_DEFAULTS: dict[str, Callable[[str], object]] = {
    "float": float,
    "double": float,
    "bool": "True".__eq__,
    "string": str,
    "bytes": str.encode,
    "enum": str,
    "message": lambda _: None,
}


@cache
def message_type(name: str) -> MessageType:
    """The message type of this name, like "NetParameter". Raises KeyError."""
    fields = {}
    for line in FIELDS[name].split("\n"):
        kind: Any
        field, number, kind, label, default, reference, fork = line.split("|")
        fields[field] = FieldType(
            name=field,
            number=int(number) if number else None,
            type=kind,
            repeated="*" in label,
            packed="p" in label,
            default=_DEFAULTS.get(kind, int)(default),
            message=reference if kind == "message" else None,
            enum=reference if kind == "enum" else None,
            required="!" in label,
            fork=fork or None,
        )
    return MessageType(name, fields, tuple(f.name for f in fields.values() if f.required))


@cache
def enum_type(name: str) -> EnumType:
    """The enum of this name, like "PoolingParameter.PoolMethod". Raises KeyError."""
    numbers: dict[str, int | None] = {}
    names: dict[int, str] = {}
    forks = {}
    for line in ENUMS[name].split("\n"):
        value, digits, fork = line.split("|")
        numbers[value] = int(digits) if digits else None
        if digits:
            names.setdefault(int(digits), value)
        if fork:
            forks[value] = fork
    return EnumType(name, numbers, names, forks)


def message_names() -> tuple[str, ...]:
    """The names of all message types, forks' included."""
    return tuple(FIELDS)


def enum_names() -> tuple[str, ...]:
    """The names of all enums, forks' included."""
    return tuple(ENUMS)
