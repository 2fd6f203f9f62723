"""Data on stdout, the same bytes whatever the terminal's encoding; nothing in it steers the terminal."""

from __future__ import annotations

from json import JSONEncoder
from typing import Any

from netcompile.diagnostics.visible import visible, visible_json
from netcompile.terminal import is_quiet, write_out


def write_text(text: str) -> None:
    """A text of lines to stdout, at once, so that what is said on stderr next comes after it.

    What is not visible is written as escapes; names in it are made `visible` before, lest they begin new lines.
    """
    write_out(text)


def write_lines(*lines: str) -> None:
    """Lines to stdout, whatever is in them: a line end within one is written as an escape."""
    write_out("".join(f"{visible(line)}\n" for line in lines))


def write_done(*lines: str) -> None:
    """Lines to stdout about what was done, such as which files were written; none with -q."""
    if not is_quiet():
        write_lines(*lines)


def write_json(value: Any) -> None:
    """Indented JSON to stdout."""
    write_text(json_text(value))


def json_text(value: Any) -> str:
    """JSON with an entry a line, lists of plain values on one; characters that do not show are JSON's escapes."""
    return "".join(f"{visible_json(line)}\n" for line in _json(value, "").split("\n"))


_ENCODE = JSONEncoder(ensure_ascii=False).encode


def _encoded(value: Any) -> str:
    return str(value) if type(value) is int else _ENCODE(value)


def _json(value: Any, indent: str) -> str:
    deeper = indent + "  "
    if isinstance(value, dict) and value:
        rows = [f"{_encoded(str(key))}: {_json(v, deeper)}" for key, v in value.items()]
    elif isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value):
        rows = [_json(v, deeper) for v in value]
    else:
        return _encoded(value)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    inner = f",\n{deeper}".join(rows)
    return f"{opening}\n{deeper}{inner}\n{indent}{closing}"
