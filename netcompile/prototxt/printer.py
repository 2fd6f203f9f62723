"""Messages to text: ``parse(to_text(m)) == m``."""

from __future__ import annotations

import re

from netcompile.diagnostics.visible import is_visible, visible_text
from netcompile.prototxt.message import Message, float_text
from netcompile.prototxt.schema import FieldType

_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}


def to_text(message: Message) -> str:
    """The message in protobuf's text format: a field a line in the message's order, two spaces per level.

    Floats are the shortest decimals that read back as the same float32. Text that is printable stays as it is.
    """
    out: list[str] = []
    stack = [(iter(message.entries), "")]
    while stack:
        entries, indent = stack[-1]
        for entry in entries:
            if isinstance(entry.value, Message):
                out.append(f"{indent}{entry.field.name} {{\n")
                stack.append((iter(entry.value.entries), indent + "  "))
                break
            out.append(f"{indent}{entry.field.name}: {value_text(entry.field, entry.value)}\n")
        else:
            stack.pop()
            if stack:
                out.append(f"{stack[-1][1]}}}\n")
    return "".join(out)


def value_text(field: FieldType, value: object) -> str:
    """One value that is no message, as the text format writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return float_text(value, double=field.type == "double").removesuffix(".0")
    if isinstance(value, str):
        return value if field.enum is not None else quoted(value)
    if isinstance(value, bytes):
        return quoted(value)
    return str(value)


def quoted(value: str | bytes) -> str:
    """A string literal. Bytes beyond ASCII become octal escapes, unprintable characters their UTF-8 bytes' escapes."""
    out = []
    for char in value if isinstance(value, str) else value.decode("latin-1"):
        if char in _ESCAPES:
            out.append(_ESCAPES[char])
        elif isinstance(value, bytes):
            out.append(char if " " <= char <= "~" else f"\\{ord(char):03o}")
        elif is_visible(char):
            out.append(char)
        else:
            out.append(_octal(char))
    return f'"{"".join(out)}"'


def _octal(char: str) -> str:
    """The escapes of a character's bytes; of a byte that was no UTF-8, its own."""
    errors = "surrogateescape" if "\udc80" <= char <= "\udcff" else "surrogatepass"
    return "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", errors))


_HIDDEN = re.compile(
    r"""(\#[^\n]*?(?=\r?(?:\n|\Z)))|("(?:[^"\\\n]|\\[^\n])*+"|'(?:[^'\\\n]|\\[^\n])*+')|(\r(?!\n)|[\v\f])"""
)


def shown(text: str) -> str:
    """A text of the format that reads as the same message and holds no character that does not show.

    In strings these become the format's escapes, in comments they become legible; line ends and tabs stay.
    """
    return text if is_visible(text.replace("\n", "").replace("\t", "")) else _HIDDEN.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    comment, string, space = found.groups()
    if space:
        return " "
    if comment:
        return visible_text(comment)
    return "".join(char if is_visible(char) else _octal(char) for char in string)
