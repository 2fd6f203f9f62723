"""Messages as read from a text: values with the places they stand at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from netcompile.diagnostics.source import Source, Span
from netcompile.prototxt.schema import INTEGER_BOUNDS, FieldType, MessageType, enum_type, float32, message_type

NOWHERE = Source("", "<made>")
_PYTHON_TYPES = {"bool": bool, "string": str, "bytes": bytes}


def float_text(x: float, double: bool = False) -> str:
    """The shortest decimal text that reads back as the same float32 (or double), in Python's form: "0.75", "1e-05"."""
    if double or x != x or x in (float("inf"), float("-inf")):
        return repr(float(x))
    for digits in range(1, 10):
        text = f"{x:.{digits}g}"
        if float32(float(text)) == x:
            return repr(float(text))
    return repr(float(x))


@dataclass(slots=True, eq=False, repr=False)
class Entry:
    """One field as set once: its value, and where its name and its value stand (offsets; -1 where made, not read).

    ``value``: int, float (rounded to float32 for float fields), bool, str, bytes, an enum's name as str, or Message.
    """

    field: FieldType
    value: Any
    name_start: int = -1
    name_end: int = -1
    value_start: int = -1
    value_end: int = -1

    def __repr__(self) -> str:
        return f"{self.field.name}={self.value!r}"

    def moved(self, field: FieldType, value: Any) -> Entry:
        """The same place with another field and value: how upgrades keep positions."""
        return Entry(field, value, self.name_start, self.name_end, self.value_start, self.value_end)


@dataclass(slots=True, eq=False, repr=False)
class Message:
    """A message: its entries in the order of the text. Never changed once made.

    ``start``, ``head_end``, ``end``: offsets in ``source`` of its name, the name's end, and its closing brace's end;
    -1 where the message was made and not read.
    """

    type: MessageType
    entries: tuple[Entry, ...]
    source: Source = NOWHERE
    start: int = -1
    head_end: int = -1
    end: int = -1
    _index: dict[str, list[Entry]] | None = field(default=None, init=False)

    @staticmethod
    def make(type_name: str, span: Span | None = None, **fields: Any) -> Message:
        """A message from values: lists for repeated fields, Messages or dicts for messages.

        ``span`` is the place shown for it and its fields. Raises KeyError for an unknown type or field, TypeError
        and ValueError for a value that does not fit its field.
        """
        kind = message_type(type_name)
        entries = tuple(e for name, value in fields.items() for e in _entries(kind, name, value, span))
        if span is None:
            return Message(kind, entries)
        return Message(kind, entries, span.source, span.start, span.end, span.end)

    def _by_name(self) -> dict[str, list[Entry]]:
        index = self._index
        if index is None:
            index = self._index = {}
            for entry in self.entries:
                index.setdefault(entry.field.name, []).append(entry)
        return index

    def has(self, name: str) -> bool:
        """Whether the field is set, be it to its default. Raises KeyError for a name the type does not have."""
        if name in (self._index or self._by_name()):
            return True
        self.type.fields[name]
        return False

    def get(self, name: str) -> Any:
        """The field's value, or its default; an empty Message for an unset message; a tuple for a repeated field.

        Raises KeyError for a name the type does not have.
        """
        entries = (self._index or self._by_name()).get(name)
        field = self.type.fields[name]
        if field.repeated:
            return tuple([e.value for e in entries or ()])
        if entries:
            return entries[-1].value
        if field.message is not None:
            return self.with_entries((), message_type(field.message))
        return field.default

    def all(self, name: str) -> tuple[Any, ...]:
        """Every value of a field in order; empty if unset. Raises KeyError for an unknown name."""
        entries = (self._index or self._by_name()).get(name)
        if entries is None:
            self.type.fields[name]
            return ()
        return tuple([e.value for e in entries])

    def entry(self, name: str, index: int = 0) -> Entry | None:
        """The ``index``-th setting of a field, None where there is none. Raises KeyError for an unknown name."""
        entries = self._by_name().get(name)
        if entries is None:
            self.type.fields[name]
            return None
        return entries[index] if -len(entries) <= index < len(entries) else None

    @property
    def span(self) -> Span:
        """From the message's name to its closing brace."""
        return Span(self.source, max(self.start, 0), max(self.end, 0))

    @property
    def head(self) -> Span:
        """The name that the message stands under, like ``layer``."""
        return Span(self.source, max(self.start, 0), max(self.head_end, 0))

    def span_of(self, name: str, index: int = 0) -> Span:
        """Where a value stands; the message's own head where it does not stand anywhere. Raises KeyError."""
        entry = self.entry(name, index)
        if entry is None or entry.value_start < 0:
            return self.head
        if isinstance(entry.value, Message) and entry.value.source is not self.source:
            return entry.value.span
        return Span(self.source, entry.value_start, entry.value_end)

    def name_span_of(self, name: str, index: int = 0) -> Span:
        """Where the name of a field stands; the message's own head where it does not. Raises KeyError."""
        entry = self.entry(name, index)
        if entry is None or entry.name_start < 0:
            return self.head
        return Span(self.source, entry.name_start, entry.name_end)

    def replace(self, **fields: Any) -> Message:
        """A copy with these fields set anew; None or an empty list clears one. The rest keeps order and places.

        A field that is set already keeps its position among the others. Raises as ``make`` does.
        """
        new = {name: _entries(self.type, name, value, None) for name, value in fields.items()}
        for name, made in new.items():
            for old, entry in zip(self._by_name().get(name, ()), made, strict=False):
                entry.name_start, entry.name_end = old.name_start, old.name_end
                entry.value_start, entry.value_end = old.value_start, old.value_end
        out: list[Entry] = []
        for entry in self.entries:
            if entry.field.name not in fields:
                out.append(entry)
            elif entry.field.name in new:
                out += new.pop(entry.field.name)
        for made in new.values():
            out += made
        return self.with_entries(out)

    def with_entries(self, entries: Iterable[Entry], kind: MessageType | None = None) -> Message:
        """A message of these entries, of the same type or of `kind`, in the same place."""
        return Message(kind or self.type, tuple(entries), self.source, self.start, self.head_end, self.end)

    def _values(self) -> dict[str, Any]:
        fields = self.type.fields
        return {
            name: [e.value for e in entries] if fields[name].repeated else entries[-1].value
            for name, entries in self._by_name().items()
        }

    def __eq__(self, other: object) -> bool:
        """Same type and same set values, as protobuf compares: places and the order of different fields do not count.

        A field set to its default differs from an unset one. NaN equals NaN.
        """
        if self is other:
            return True
        if not isinstance(other, Message):
            return NotImplemented
        if self.type.name != other.type.name:
            return False
        mine, theirs = self._values(), other._values()
        return mine.keys() == theirs.keys() and all(_same(value, theirs[name]) for name, value in mine.items())

    def __hash__(self) -> int:
        return hash((self.type.name, tuple(sorted((n, len(v)) for n, v in self._by_name().items()))))

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __repr__(self) -> str:
        return f"{self.type.name}({', '.join(map(repr, self.entries))})"


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b) or (a != a and b != b)


def _entries(kind: MessageType, name: str, value: Any, span: Span | None) -> list[Entry]:
    field = kind.fields[name]
    if value is None:
        return []
    values: Iterable[Any]
    if field.repeated:
        if isinstance(value, (str, bytes, dict, Message)) or not isinstance(value, Iterable):
            raise TypeError(f"{kind.name}.{name} is repeated: it wants a list, not {value!r}")
        values = value
    else:
        values = (value,)
    return [Entry(field, _fitting(kind, field, v, span)) for v in values]


def _fitting(kind: MessageType, field: FieldType, value: Any, span: Span | None) -> Any:
    """``value`` as a value of ``field``; TypeError or ValueError where it is none."""
    where = f"{kind.name}.{field.name}"
    if field.message is not None:
        if isinstance(value, dict):
            return Message.make(field.message, span, **value)
        if isinstance(value, Message) and value.type.name == field.message:
            return value
    elif field.enum is not None:
        if isinstance(value, str):
            if value not in enum_type(field.enum).numbers:
                raise ValueError(f"{where}: {value!r} is no value of {field.enum}")
            return value
    elif field.type in _PYTHON_TYPES:
        if isinstance(value, _PYTHON_TYPES[field.type]):
            return value
    elif isinstance(value, bool):
        pass
    elif field.type in ("float", "double"):
        if isinstance(value, (int, float)):
            return float32(float(value)) if field.type == "float" else float(value)
    elif isinstance(value, int):
        low, high = INTEGER_BOUNDS[field.type]
        if not low <= value <= high:
            raise ValueError(f"{where}: {value} is beyond {field.type}")
        return value
    raise TypeError(f"{where} wants {field.message or field.enum or field.type}, not {value!r}")
