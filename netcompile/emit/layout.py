"""Lay out source lines as ruff's formatter would: 88 columns, the outermost bracket opened where a line is longer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from textwrap import wrap

WIDTH = 88
_OPEN, _CLOSE = "([{", ")]}"
_OPEN_BEFORE = re.compile(r"[(\[{]")


def _outside_quotes(code: str) -> Iterator[tuple[int, str, int]]:
    """Index and depth of every character outside string literals; a bracket has the depth of what stands around it."""
    depth, quote, index = 0, "", 0
    while index < len(code):
        c = code[index]
        if quote:
            if c == "\\":
                index += 1
            elif c == quote:
                quote = ""
        elif c in "\"'":
            quote = c
        else:
            depth -= c in _CLOSE
            yield index, c, depth
            depth += c in _OPEN
        index += 1


def split_comment(line: str) -> tuple[str, str]:
    """Code and trailing comment of a line (without the ``#``); quotes are respected."""
    if "#" not in line:
        return line.rstrip(), ""
    for index, c, _ in _outside_quotes(line):
        if c == "#":
            return line[:index].rstrip(), line[index + 1 :].strip()
    return line.rstrip(), ""


def _brackets(code: str) -> tuple[int, int] | None:
    """Start and end of the last outermost bracket pair with something in it."""
    start, last = 0, None
    for index, c, depth in _outside_quotes(code):
        if depth == 0 and c in _OPEN:
            start = index
        elif depth == 0 and c in _CLOSE and index > start + 1:
            last = (start, index)
    return last


def _arguments(inner: str) -> list[str]:
    """Split at the commas of the outermost level."""
    parts, begin = [], 0
    for index, c, depth in _outside_quotes(inner):
        if c == "," and depth == 0:
            parts.append(inner[begin:index].strip())
            begin = index + 1
    parts.append(inner[begin:].strip())
    return [part for part in parts if part]


def _break(code: str, indent: int, comma: str = "") -> list[str]:
    """An expression over as many lines as it needs, and what stands behind it."""
    margin = " " * indent
    if indent + len(code + comma) <= WIDTH:
        return [margin + code + comma]
    pair = _brackets(code)
    if pair is None:
        return [margin + code + comma]
    operands = _operands(code) if comma else []  # in brackets an expression may go on in the next line
    if len(operands) > 1:
        lines = [line for operand in operands for line in _break(operand, indent)]
        return [*lines[:-1], lines[-1] + comma]
    start, end = pair
    head, inner, tail = code[: start + 1], code[start + 1 : end], code[end:] + comma
    deeper = indent + 4
    parts = _arguments(inner)
    # A collection gets a line for each entry; a call's arguments may share one.
    called = start > 0 and (head[-2].isalnum() or head[-2] in "_)]")
    if deeper + len(inner) <= WIDTH and not inner.endswith(",") and (called or len(parts) == 1):
        return [margin + head, " " * deeper + inner, margin + tail]
    turns = _generator(inner)
    if turns and called is False and len(parts) == 1:
        element = _break(turns[0], deeper)
        return [margin + head, *element, " " * deeper + turns[1], margin + tail]
    # Parentheses about a single operand only group it, and an index is one: a comma would make a tuple of it.
    between = "" if _groups(code, start, inner) else ","
    return [margin + head, *(line for part in parts for line in _break(part, deeper, between)), margin + tail]


def _generator(inner: str) -> tuple[str, str] | None:
    """A generator expression's element, and the rest of it."""
    for index, c, depth in _outside_quotes(inner):
        if c == " " and depth == 0 and inner.startswith(" for ", index):
            return inner[:index], inner[index + 1 :]
    return None


def _groups(code: str, start: int, inner: str) -> bool:
    """Whether the brackets at `start` hold one operand, being neither a call's, a tuple's nor a list's."""
    behind = start > 0 and (code[start - 1].isalnum() or code[start - 1] in "_)]")
    alone = not inner.endswith(",") and len(_arguments(inner)) == 1
    return code[start] == ("[" if behind else "(") and alone


# Binary operators from the loosest to the tightest; a broken expression opens at the loosest it has.
_OPERATORS = ((" + ", " - "), (" * ", " / ", " // ", " @ ", " % "))


def _operands(code: str) -> list[str]:
    """Split an expression before its loosest binary operators; one part if it has none outside brackets."""
    places = [index for index, c, depth in _outside_quotes(code) if c == " " and depth == 0]
    for group in _OPERATORS:
        cuts = [index for index in places if code.startswith(group, index)]
        if cuts:
            ends = [*cuts, len(code)]
            return [code[begin:end].lstrip() for begin, end in zip([0, *cuts], ends, strict=True)]
    return [code]


def _statement(code: str, indent: int) -> list[str]:
    """One statement over as many lines as it needs; a long sum or product goes into parentheses."""
    if indent + len(code) > WIDTH and " = " in code:
        target, value = code.split(" = ", 1)
        operands = _operands(value)
        margin, deeper = " " * indent, " " * (indent + 4)
        called = _brackets(value)
        if "," in target and called and indent + len(target) + 3 + called[0] + 1 > WIDTH:
            if indent + len(target) + 4 <= WIDTH:
                return [f"{margin}{target} = (", *_break(value, indent + 4), margin + ")"]
            targets = [f"{deeper}{each}," for each in target.split(", ")]
            return [f"{margin}(", *targets, *_break(f") = {value}", indent)]
        if len(operands) > 1 and not _OPEN_BEFORE.search(target):
            if len(deeper) + len(value) <= WIDTH:
                return [f"{margin}{target} = (", deeper + value, margin + ")"]
            lines = [line for operand in operands for line in _break(operand, indent + 4)]
            return [f"{margin}{target} = (", *lines, margin + ")"]
    return _break(code, indent)


def lay_out(line: str, indent: int) -> list[str]:
    """Lines of one statement; its trailing comment moves above it where it would not fit behind, folded if need be.

    Spaces before the statement are indentation of its own.
    """
    indent += len(line) - len(line.lstrip(" "))
    line = line.lstrip(" ")
    if not line:
        return [""]
    code, comment = split_comment(line)
    if not comment:
        return _statement(code, indent)
    margin = " " * indent
    if indent + len(code) + 4 + len(comment) <= WIDTH:
        return [f"{margin}{code}  # {comment}"]
    lines = wrap(comment, WIDTH - indent - 2, break_long_words=False, break_on_hyphens=False)
    return [*(f"{margin}# {part}" for part in lines), *_statement(code, indent)]


def signature(name: str, arguments: Sequence[str], result: str, indent: int) -> list[str]:
    """Lines of the head of a function with these arguments: one, or the arguments on lines of their own."""
    margin, deeper = " " * indent, " " * (indent + 4)
    inner = ", ".join(arguments)
    line = f"{margin}def {name}({inner}) -> {result}:"
    if len(line) <= WIDTH:
        return [line]
    inside = [deeper + inner] if len(deeper + inner) <= WIDTH else [f"{deeper}{each}," for each in arguments]
    return [f"{margin}def {name}(", *inside, f"{margin}) -> {result}:"]
