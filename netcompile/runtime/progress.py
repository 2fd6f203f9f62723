"""A line on the terminal that says how far the work is and how long it will still take."""

from __future__ import annotations

import sys
from time import monotonic


class Progress:
    """Counts finished items on stderr, if that is a terminal; otherwise silent."""

    def __init__(self, total: int, what: str, show: bool = True) -> None:
        self.total, self.what, self.done = total, what, 0
        self.begun = self.shown = monotonic()
        self.visible = show and total > 0 and sys.stderr is not None and sys.stderr.isatty()

    def step(self, count: int = 1) -> None:
        """`count` more items are finished."""
        self.done += count
        now = monotonic()
        if self.visible and (now - self.shown > 0.2 or self.done == self.total):
            self.shown = now
            print(f"\r{line(self.done, self.total, now - self.begun, self.what)}\x1b[K", end="", file=sys.stderr)
            sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away, so that a message can stand there."""
        if self.visible:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def line(done: int, total: int, seconds: float, what: str) -> str:
    """How far, how fast, how long still.

    >>> line(30, 120, 60.0, "images")
    '30/120 images  25%  0.5/s  3:00 left'
    """
    rate = done / seconds if seconds > 0 else 0.0
    left = clock((total - done) / rate) + " left" if rate else "…"
    return f"{done}/{total} {what}  {100 * done // max(total, 1)}%  {rate:.3g}/s  {left}"


def clock(seconds: float) -> str:
    """Seconds as people read them.

    >>> clock(7), clock(125), clock(7384)
    ('0:07', '2:05', '2:03:04')
    """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
