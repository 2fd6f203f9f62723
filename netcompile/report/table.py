"""Text tables. Twenty lines of our own: a table library would triple the start-up time of every command."""

from __future__ import annotations

from collections.abc import Sequence

from netcompile.diagnostics.diagnostic import _cells, visible


def table(header: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[int] = ()) -> str:
    """Columns padded to their widest cell, two spaces apart; columns numbered in `right` are flush right.

    Cells are made safe for a terminal. A cell of ``None`` is empty.
    """
    body = [[visible("" if cell is None else str(cell)) for cell in row] for row in rows]
    cells = [list(header), *body]
    widths = [max(_cells(row[i]) for row in cells) for i in range(len(header))]
    lines = [_line(list(header), widths, right), _line(["─" * width for width in widths], widths, right)]
    lines += [_line(row, widths, right) for row in body]
    return "\n".join(lines)


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[int]) -> str:
    parts = []
    for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
        space = " " * (width - _cells(cell))
        parts.append(space + cell if index in right else cell + space)
    return "  ".join(parts).rstrip()
