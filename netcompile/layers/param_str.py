"""The ``param_str`` of a Python layer, read as what it mostly is: a mapping of names to literals. Nothing is run."""

from __future__ import annotations

import json
import re
from ast import literal_eval
from typing import Any


def read_mapping(text: str) -> dict[str, Any] | None:
    """The mapping that YAML or Python reads in `text`; None if it is not one of names to literals.

    >>> read_mapping("'feat_stride': 16")
    {'feat_stride': 16}
    >>> read_mapping("{feat_stride: 16, 'scales': [8, 16]}")
    {'feat_stride': 16, 'scales': [8, 16]}
    >>> read_mapping("feat_stride: 16\\nscales:\\n - 8\\n - 16")
    {'feat_stride': 16, 'scales': [8, 16]}
    >>> read_mapping("import os") is None
    True
    """
    joined = _block_lists(text).strip().rstrip(",")
    if joined.startswith("{") and joined.endswith("}"):
        joined = joined[1:-1]
    entries = [_unquoted_key(line) for line in joined.splitlines() if line.strip()]
    quoted = re.sub(r"([,{]\s*)([A-Za-z_]\w*)\s*:", r"\1'\2':", ", ".join(e.rstrip().rstrip(",") for e in entries))
    found = read_literal("{" + quoted + "}")
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        return None
    return found


def _block_lists(text: str) -> str:
    """YAML's lists of lines that begin with a dash, as lists in brackets."""
    lines: list[str] = []
    for line in text.splitlines():
        item = line.strip()
        if item.startswith("- ") and lines:
            head = lines[-1]
            lines[-1] = head[:-1] + f", {item[2:].strip()}]" if head.endswith("]") else f"{head} [{item[2:].strip()}]"
        elif item and not item.startswith("#"):
            lines.append(item)
    return "\n".join(lines)


def _unquoted_key(line: str) -> str:
    return re.sub(r"^\s*([A-Za-z_]\w*)\s*:", r"'\1':", line)


def read_literal(text: str) -> Any:
    """A Python or JSON literal; None for anything else. Nothing is evaluated.

    >>> read_literal("{'mean': (104, 117, 123), 'split': 'val'}")["mean"]
    (104, 117, 123)
    >>> read_literal("__import__('os').getcwd()") is None
    True
    """
    try:
        return literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
