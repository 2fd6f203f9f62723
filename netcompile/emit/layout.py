"""Lay out source lines as ruff's formatter would: 88 columns, the outermost bracket opened where a line is longer."""

from __future__ import annotations

WIDTH = 88
_OPEN, _CLOSE = "([{", ")]}"


def split_comment(line: str) -> tuple[str, str]:
    """Code and trailing comment of a line (without the ``#``); quotes are respected."""
    quote = ""
    index = 0
    while index < len(line):
        c = line[index]
        if quote:
            if c == "\\":
                index += 1
            elif c == quote:
                quote = ""
        elif c in "\"'":
            quote = c
        elif c == "#":
            return line[:index].rstrip(), line[index + 1 :].strip()
        index += 1
    return line.rstrip(), ""


def _brackets(code: str) -> tuple[int, int] | None:
    """Start and end of the last outermost bracket pair with something in it."""
    depth, start, last, quote = 0, 0, None, ""
    index = 0
    while index < len(code):
        c = code[index]
        if quote:
            if c == "\\":
                index += 1
            elif c == quote:
                quote = ""
        elif c in "\"'":
            quote = c
        elif c in _OPEN:
            if depth == 0:
                start = index
            depth += 1
        elif c in _CLOSE:
            depth -= 1
            if depth == 0 and index > start + 1:
                last = (start, index)
        index += 1
    return last


def _arguments(inner: str) -> list[str]:
    """Split at the commas of the outermost level."""
    parts, depth, quote, begin, index = [], 0, "", 0, 0
    while index < len(inner):
        c = inner[index]
        if quote:
            if c == "\\":
                index += 1
            elif c == quote:
                quote = ""
        elif c in "\"'":
            quote = c
        elif c in _OPEN:
            depth += 1
        elif c in _CLOSE:
            depth -= 1
        elif c == "," and depth == 0:
            parts.append(inner[begin:index].strip())
            begin = index + 1
        index += 1
    parts.append(inner[begin:].strip())
    return [part for part in parts if part]


def _break(code: str, indent: int) -> list[str]:
    margin = " " * indent
    if indent + len(code) <= WIDTH:
        return [margin + code]
    pair = _brackets(code)
    if pair is None:
        return [margin + code]
    start, end = pair
    head, inner, tail = code[: start + 1], code[start + 1 : end], code[end:]
    deeper = indent + 4
    parts = _arguments(inner)
    subscript = head[-1] == "["
    if (
        deeper + len(inner) <= WIDTH
        and not inner.endswith(",")
        and not (subscript and len(parts) > 1 and False)
    ):
        return [margin + head, " " * deeper + inner, margin + tail]
    lines = [margin + head]
    for part in parts:
        broken = _break(part, deeper)
        broken[-1] += ","
        if len(broken[-1]) > WIDTH and len(broken) == 1:
            pair_again = _brackets(part)
            if pair_again is not None:
                broken = _break_forced(part, deeper)
                broken[-1] += ","
        lines += broken
    return [*lines, margin + tail]


def _break_forced(code: str, indent: int) -> list[str]:
    pair = _brackets(code)
    assert pair is not None
    start, end = pair
    margin = " " * indent
    inner = code[start + 1 : end]
    if indent + 4 + len(inner) <= WIDTH:
        return [margin + code[: start + 1], " " * (indent + 4) + inner, margin + code[end:]]
    lines = [margin + code[: start + 1]]
    for part in _arguments(inner):
        broken = _break(part, indent + 4)
        broken[-1] += ","
        lines += broken
    return [*lines, margin + code[end:]]


def lay_out(line: str, indent: int) -> list[str]:
    """Lines of one statement; its trailing comment moves above it where it would not fit behind."""
    code, comment = split_comment(line)
    if not comment:
        return _break(code, indent)
    margin = " " * indent
    if indent + len(code) + 4 + len(comment) <= WIDTH:
        return [f"{margin}{code}  # {comment}"]
    return [f"{margin}# {comment}", *_break(code, indent)]
