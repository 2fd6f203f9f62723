"""JSON as it is written everywhere: indented, the same bytes for the same values, nothing in it that does not show."""

from __future__ import annotations

from json import JSONEncoder
from typing import Any

from netcompile.diagnostics.visible import visible_json


def json_text(value: Any) -> str:
    """JSON with an entry a line, lists of plain values on one; characters that do not show are JSON's escapes."""
    return visible_json(f"{_json(value, '')}\n")


_ENCODE = JSONEncoder(ensure_ascii=False).encode


def _encoded(value: Any) -> str:
    if type(value) is int:
        return str(value)
    if type(value) is list:
        return f"[{', '.join([_encoded(v) for v in value])}]"
    return _ENCODE(value)


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
