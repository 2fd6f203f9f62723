"""The line of progress: on a terminal alone, and gone afterwards."""

from __future__ import annotations

import io
import re
import sys

import pytest

from netcompile.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def work(show: bool = True) -> None:
    with Progress(3, "images", show) as progress:
        progress.step()
        progress.clear()
        print("a message", file=sys.stderr)
        progress.step(2)


def test_progress_is_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    work()
    shown = terminal.getvalue()
    assert "3/3 images" in shown.replace("\x1b[0m", "").replace("\x1b[32m", "")
    assert "\na message\n" in shown or "\x1b[2Ka message\n" in shown
    assert shown.rstrip().endswith("\x1b[2K")  # the line is taken away
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")  # the cursor is shown again


@pytest.mark.parametrize("stream", [io.StringIO(), None])
def test_nothing_is_shown_elsewhere(stream: io.StringIO | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress(3, "images") as progress:
        progress.step()
    assert stream is None or stream.getvalue() == ""


@pytest.mark.parametrize(
    ("total", "done", "shown"),
    [(5_000_000, 2_000_000, "3.0/5.0 MB w.caffemodel  60%"), (0, 0, "1.0/? MB w.caffemodel  ")],
)
def test_sizes(total: int, done: int, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Progress(total, "w.caffemodel", unit="bytes", done=done) as progress:
        progress.step(1_000_000)
        progress.bar.refresh()
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    assert shown in re.sub(r"(?<=B) +", " ", plain)
