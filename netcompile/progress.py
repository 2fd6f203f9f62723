"""A line on the terminal that says how far the work is and how long it will still take."""

from __future__ import annotations

import sys
from typing import Any

from netcompile.diagnostics.text import bytes_text
from netcompile.diagnostics.visible import visible
from netcompile.terminal import error_console, is_quiet

_NAME = 28  # characters


class Progress:
    """Counts finished items on stderr while the block lasts, if that is a terminal; otherwise, and with -q, silent.

    With the unit "bytes" it shows sizes, for a total of 0 those alone; `done` of them were there before. `what` is then
    the name of a file, and cut: on 80 columns there is room for the time left.
    """

    def __init__(self, total: int, what: str, show: bool = True, unit: str = "", done: int = 0) -> None:
        self.total, self.what, self.unit, self.done = total, visible(what), unit, done
        if unit == "bytes" and len(self.what) > _NAME:
            self.what = f"{self.what[: _NAME - 1]}…"
        wanted = show and (total > 0 or unit == "bytes") and not is_quiet()
        self.visible = wanted and sys.stderr is not None and sys.stderr.isatty()
        self.bar: Any = None

    def __enter__(self) -> Progress:
        if self.visible:
            from rich import progress as rich

            percent = "  {task.percentage:.0f}%" if self.total else ""
            what = f"{{task.description}}{percent}  {{task.fields[rate]}}"
            text = rich.TextColumn(what, markup=False)
            count = rich.DownloadColumn() if self.unit == "bytes" else rich.MofNCompleteColumn()
            columns = (rich.BarColumn(), count, text, rich.TimeRemainingColumn())
            self.bar = rich.Progress(*columns, console=error_console(), transient=True, redirect_stderr=False)
            self.task = self.bar.add_task(self.what, total=self.total or None, completed=self.done, rate="")
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def step(self, count: int = 1) -> None:
        """`count` more items are finished."""
        if self.bar is not None:
            self.bar.start()
            self.bar.advance(self.task, count)
            self.bar.update(self.task, rate=self._rate(self.bar.tasks[0].speed or 0))

    def _rate(self, speed: float) -> str:
        return f"{bytes_text(int(speed))}/s" if self.unit == "bytes" else f"{speed:.3g}/s"

    def clear(self) -> None:
        """Take the line away, so that a message can stand there; the next step brings it back."""
        if self.bar is not None:
            self.bar.stop()
