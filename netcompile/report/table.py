"""Text tables: padded with spaces, as wide as they need; where there is less room, folded to it.

The room is the terminal's width, or what COLUMNS says, or 80 columns where there is neither. Columns of words are
folded first; where that is not enough, the columns go into blocks one below the other, each of which begins with the
first one.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence

from netcompile.diagnostics.diagnostic import cells
from netcompile.diagnostics.text import shortened
from netcompile.diagnostics.visible import visible

USUAL = 80  # columns, where nobody says
GAP = 2  # columns between two columns of a table
LEAST = 16  # columns that a column of words is folded to at most
_PART = re.compile(r"[^ ×/:,_.-]*(?:[×/:,_.-]| +|$)")  # what stays in one line

Rows = Sequence[Sequence[str]]


def table(
    header: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[int] = (), indent: str = ""
) -> str:  # fmt: skip
    """Columns padded to their widest cell, two spaces apart; columns numbered in `right` are flush right.

    Cells are made safe for a terminal, and words in them without measure are cut. A cell of ``None`` is empty. `indent`
    is put before each line.
    """
    body = [[visible("" if cell is None else shortened(str(cell))) for cell in row] for row in rows]
    widths = [max(map(cells, column)) for column in zip(header, *body, strict=True)]
    room = terminal_width() - len(indent)
    blocks, least = [list(range(len(header)))], widths
    if _whole(widths) > room:
        least = [
            _least(name, column, at in right) for at, (name, *column) in enumerate(zip(header, *body, strict=True))
        ]
        blocks = _blocks(least, room)
    parts = []
    for block in blocks:
        wide = _fitted([widths[at] for at in block], [least[at] for at in block], room)
        lines = _lines([[row[at] for at in block] for row in (header, *body)], wide, [at in right for at in block])
        parts.append("\n".join(indent + line for line in lines))
    return "\n\n".join(parts)


def terminal_width() -> int:
    """The columns that stdout has: what COLUMNS says, else the terminal's, else 80."""
    said = os.environ.get("COLUMNS", "")
    if said.isascii() and said.isdigit() and int(said[:9]) >= LEAST:
        return int(said[:9])
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or USUAL
    except (OSError, ValueError, AttributeError):  # a pipe, a file, closed, none at all
        return USUAL


def _whole(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _least(name: str, column: Sequence[str], number: bool) -> int:
    """How narrow a column may become: numbers stay whole where that is possible."""
    widest = max(map(cells, column), default=0)
    return max(widest if number else min(widest, LEAST), *(min(cells(word), LEAST) for word in name.split(" ")))


def _blocks(least: Sequence[int], room: int) -> list[list[int]]:
    """The columns of each block."""
    blocks, block = [], [0]
    for index in range(1, len(least)):
        if len(block) > 1 and _whole([least[at] for at in (*block, index)]) > room:
            blocks.append(block)
            block = [0]
        block.append(index)
    return [*blocks, block]


def _fitted(widths: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Widths that sum up to the room: each column at its least, then what is left to those that want it, in turn."""
    found = list(least)
    while _whole(found) > room and max(found) > 1:
        found[found.index(max(found))] -= 1
    left = room - _whole(found)
    while left > 0 and found != list(widths):
        for index in [at for at, width in enumerate(widths) if found[at] < width][:left]:
            found[index] += 1
            left -= 1
    return found


def _lines(rows: Rows, widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    """Header, a rule, and the body, cells that are too wide folded."""
    folded = [[_folded(cell, width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    folded.insert(1, [["─" * width] for width in widths])
    return [
        _line([cell[number] if number < len(cell) else "" for cell in row], widths, right)
        for row in folded
        for number in range(max(map(len, row)))
    ]


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = []
    for cell, width, flush in zip(row, widths, right, strict=True):
        space = " " * (width - cells(cell))
        parts.append(space + cell if flush else cell + space)
    return (" " * GAP).join(parts).rstrip()


def _folded(text: str, width: int) -> list[str]:
    """Lines of at most so many columns, broken between words, else after a sign, else anywhere."""
    if cells(text) <= width:
        return [text]
    lines = [""]
    for part in _PART.findall(text):
        if cells(lines[-1] + part.rstrip()) > width and lines[-1]:
            lines.append("")
        for character in part:
            if cells(lines[-1] + character) > width and lines[-1].rstrip():
                lines.append("")
            lines[-1] += character if lines[-1] or character != " " else ""
    return [line.rstrip() for line in lines if line.strip()]
