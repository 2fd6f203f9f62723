"""What may stand at a place of a prototxt: fields, types of layers, values of enums, names of blobs.

The text need not be whole: what stands before the place is read token by token, and braces that are open say which
message the place is in. Which fields a message has, and their defaults, is in the schema.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from netcompile.layers.registry import TYPES
from netcompile.prototxt.message import float_text
from netcompile.prototxt.schema import FieldType, MessageType, enum_type, message_type

# A comment, a string that may lack its end, a name, a number or another word, or one sign.
_TOKEN = re.compile(r"""#[^\n]*|"(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)*'?|[A-Za-z_]\w*|[^\s\w#"'{}<>:;,\[\]]+|\w+|\S""")
_TOPS = re.compile(r"""\b(?:top|input)\s*:\s*["']([^"'\\\n]+)["']""")
_OLD = ("layers", "input", "input_dim", "input_shape")  # of nets of old formats: fields that come last
_TYPES = tuple(sorted({name for names in TYPES.values() for name in names if ":" not in name}))


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that may stand there. `kind` is "type", "field", "message" or "value"; `insert` is what is written."""

    label: str
    kind: str
    detail: str
    default: str
    insert: str


@dataclass(frozen=True, slots=True)
class Completions:
    """What may stand there, in place of the characters from `start` on."""

    start: int
    items: tuple[Item, ...]


NOTHING = Completions(0, ())


@dataclass(slots=True)
class _Place:
    """Where the tokens before the position lead: the open messages, the field whose value comes, the last token."""

    messages: list[MessageType | None]
    field: FieldType | None = None
    colon: bool = False
    token: str = ""
    start: int = 0
    end: int = 0


def completions(text: str, position: int) -> Completions:
    """What may stand at a position (a number of characters) of a text; nothing in a comment, or where nobody knows."""
    place = _place(text[:position])
    touches = place.end == position and place.token != ""
    if touches and place.token.startswith("#"):
        return NOTHING
    message = place.messages[-1]
    if place.field is not None and place.colon:
        return _values(place, message, text, position, touches)
    if touches and re.match(r"[^\W\d]", place.token) is None and place.token not in "{}<>;,[]":
        return NOTHING
    word = touches and re.match(r"[^\W\d]", place.token) is not None
    if message is None or (place.field is not None and not word):
        return NOTHING
    return Completions(place.start if word else position, _fields(message))


def _place(text: str) -> _Place:
    """The place at the end of a text."""
    place = _Place([message_type("NetParameter")])
    for match in _TOKEN.finditer(text):
        token, last = match[0], match.end() == len(text)
        if token.startswith("#") and not last:
            continue
        place.token, place.start, place.end = token, match.start(), match.end()
        message = place.messages[-1]
        if token in "{<":
            inner = place.field.message if place.field is not None else None
            place.messages.append(message_type(inner) if inner else None)
            place.field, place.colon = None, False
        elif token in "}>":
            if len(place.messages) > 1:
                place.messages.pop()
            place.field, place.colon = None, False
        elif token == ":":
            place.colon = True
        elif place.colon and token not in "[,;" and not last:
            place.field, place.colon = None, False
        elif not place.colon and token not in "[],;":
            place.field = None if message is None else message.fields.get(token)
    return place


def _fields(message: MessageType) -> tuple[Item, ...]:
    """The fields of a message: Caffe's own, then those of its forks; those of old formats of nets come last."""
    old = _OLD if message.name == "NetParameter" else ()
    ordered = sorted(message.fields.values(), key=lambda field: (field.name in old, field.fork is not None))
    return tuple(map(_field, ordered))


def _field(field: FieldType) -> Item:
    kind = field.message or field.enum or field.type
    fork = f"fork: {field.fork}" if field.fork else ""
    detail = " ".join(filter(None, ("repeated" if field.repeated else "", kind, fork)))
    if field.message is not None:
        return Item(field.name, "message", detail, "", f"{field.name} {{\n  \n}}")
    quotes = '""' if field.type in ("string", "bytes") else ""
    return Item(field.name, "field", detail, "" if field.repeated else default_text(field), f"{field.name}: {quotes}")


def default_text(field: FieldType) -> str:
    """The value that a field has where it is not set, as a prototxt writes it; "" for an empty string or a message."""
    value = field.default
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return float_text(value, field.type == "double").removesuffix(".0")
    return "" if value in (None, "", b"") else f'"{value}"' if field.type == "string" else str(value)


def _values(place: _Place, message: MessageType | None, text: str, position: int, touches: bool) -> Completions:
    """The values of a field: of an enum, true and false, types of layers, names of blobs."""
    field = place.field
    assert field is not None, "the caller has looked"
    inside = touches and place.token not in (":", "[", ",")
    start = place.start if inside else position
    quoted = inside and place.token[0] in "\"'"
    default = default_text(field)
    if field.enum is not None:
        return Completions(start, tuple(_enum(field, default)))
    if field.type == "bool":
        items = [Item(value, "value", "bool", default, value) for value in ("true", "false")]
        return Completions(start, tuple(items))
    names: tuple[str, ...] = ()
    kind, detail = "value", "blob"
    if message is not None and message.name == "LayerParameter" and field.name == "type":
        names, kind, detail = _TYPES, "type", "layer type"
    elif field.name in ("bottom", "top") or (message is not None and message.name == "NetParameter"):
        names = tuple(dict.fromkeys(reversed(_TOPS.findall(text[: place.start]))))
    if not names or (inside and not quoted):
        return NOTHING
    closed = quoted and text[position : position + 1] == place.token[0]
    quote = place.token[0] if quoted else '"'
    end = "" if closed else quote
    items = [Item(name, kind, detail, "", f"{quote}{name}{end}") for name in names]
    return Completions(start, tuple(items))


def _enum(field: FieldType, default: str) -> list[Item]:
    assert field.enum is not None, "the caller has looked"
    known = enum_type(field.enum)
    forks = known.forks
    return [
        Item(name, "value", f"fork: {forks[name]}" if name in forks else field.enum, default, name)
        for name in known.numbers
    ]
