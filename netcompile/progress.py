"""A line on the terminal that says how far the work is and how long it will still take."""

from __future__ import annotations

import sys
from typing import Any

from netcompile.diagnostics.visible import visible
from netcompile.terminal import error_console, is_quiet


class Progress:
    """Counts finished items on stderr while the block lasts, if that is a terminal; otherwise, and with -q, silent."""

    def __init__(self, total: int, what: str, show: bool = True) -> None:
        self.total, self.what = total, visible(what)
        wanted = show and total > 0 and not is_quiet()
        self.visible = wanted and sys.stderr is not None and sys.stderr.isatty()
        self.bar: Any = None

    def __enter__(self) -> Progress:
        if self.visible:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            what = "{task.description}  {task.percentage:.0f}%  {task.fields[rate]}"
            text = TextColumn(what, markup=False)
            columns = (BarColumn(), MofNCompleteColumn(), text, TimeRemainingColumn())
            self.bar = Progress(*columns, console=error_console(), transient=True, redirect_stderr=False)
            self.task = self.bar.add_task(self.what, total=self.total, rate="")
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def step(self, count: int = 1) -> None:
        """`count` more items are finished."""
        if self.bar is not None:
            self.bar.start()
            self.bar.advance(self.task, count)
            self.bar.update(self.task, rate=f"{self.bar.tasks[0].speed or 0:.3g}/s")

    def clear(self) -> None:
        """Take the line away, so that a message can stand there; the next step brings it back."""
        if self.bar is not None:
            self.bar.stop()
