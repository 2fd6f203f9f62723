"""Data on stdout, the same bytes whatever the terminal's encoding."""

from __future__ import annotations

import sys
from collections.abc import Callable
from json import JSONEncoder
from typing import Any


def write_text(text: str) -> None:
    """UTF-8 to stdout, at once, so that what is said on stderr next comes after it.

    What is not encodable (bytes of a file that were no UTF-8) is written as escapes.
    """
    stream = sys.stdout
    if stream is None:
        return
    raw = getattr(stream, "buffer", None)
    if raw is None:
        stream.write(text)
        return
    stream.flush()
    raw.write(text.encode("utf-8", "backslashreplace"))
    raw.flush()


def write_json(value: Any) -> None:
    """Indented JSON to stdout."""
    write_text(json_text(value))


def json_text(value: Any) -> str:
    """JSON with an entry a line; lists of plain values stay on one."""
    return f"{_json(value, '', JSONEncoder(ensure_ascii=False).encode)}\n"


def _json(value: Any, indent: str, encode: Callable[[Any], str]) -> str:
    deeper = indent + "  "
    if isinstance(value, dict) and value:
        rows = [f"{encode(str(key))}: {_json(v, deeper, encode)}" for key, v in value.items()]
    elif isinstance(value, list) and any(isinstance(v, dict | list) for v in value):
        rows = [_json(v, deeper, encode) for v in value]
    else:
        return encode(value)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    inner = f",\n{deeper}".join(rows)
    return f"{opening}\n{deeper}{inner}\n{indent}{closing}"
