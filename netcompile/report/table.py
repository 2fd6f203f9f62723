"""Text tables: padded with spaces, as wide as they need; on a terminal that is narrower, folded to its width."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from netcompile.diagnostics.diagnostic import cells
from netcompile.diagnostics.text import shortened
from netcompile.diagnostics.visible import visible


def table(header: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[int] = ()) -> str:
    """Columns padded to their widest cell, two spaces apart; columns numbered in `right` are flush right.

    Cells are made safe for a terminal, and words in them without measure are cut. A cell of ``None`` is empty. What is
    no terminal gets every row on one line.
    """
    body = [[visible("" if cell is None else shortened(str(cell))) for cell in row] for row in rows]
    widths = [max(map(cells, column)) for column in zip(header, *body, strict=True)]
    room = terminal_width()
    if room is not None and sum(widths) + 2 * (len(widths) - 1) > room:
        return _folded(header, body, widths, right, room)
    return "\n".join(_line(row, widths, right) for row in (header, ["─" * width for width in widths], *body))


def terminal_width() -> int | None:
    """The columns of the terminal that stdout is; None where it is none."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError, AttributeError):  # a pipe, a file, closed, none at all
        return None


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[int]) -> str:
    parts = []
    for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
        space = " " * (width - cells(cell))
        parts.append(space + cell if index in right else cell + space)
    return "  ".join(parts).rstrip()


def _folded(
    header: Sequence[str], body: Sequence[Sequence[str]], widths: Sequence[int], right: Sequence[int], width: int
) -> str:
    """Cells of several lines, by rich, which no other table needs: its import takes longer than `offsets`."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    kept = {0, *right}  # names and numbers stay whole where that leaves a third of the width to the rest
    if sum(widths[index] + 2 for index in kept) > 2 * width // 3:
        kept.clear()
    for index, name in enumerate(header):
        made.add_column(
            Text(name), justify="right" if index in right else "left", overflow="fold", no_wrap=index in kept
        )
    for row in body:
        made.add_row(*map(Text, row))
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(made)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
