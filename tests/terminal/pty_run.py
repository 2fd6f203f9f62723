"""Runs a command in this process on a pseudo-terminal, and says what in its output steers the terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from unicodedata import category

from netcompile.cli.main import entry
from tests.terminal.payloads import COLOUR, INJECTED

# What this program and rich write themselves: colours, the cursor hidden and shown, a line taken away.
OWN = re.compile(r"\x1b\[(?!38;5;197)[0-9;]*m|\x1b\[\?25[lh]|\x1b\[2K|\x1b\[1A|\r(?=\n|\x1b\[(?:1A|2K))")
SILENT = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
FILLERS = set("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0") | {chr(n) for n in range(0xFE00, 0xFE10)}


@dataclass(frozen=True, slots=True)
class Ran:
    """The exit code, and all that came out of stdout and stderr together, in order."""

    code: int
    out: bytes

    def steering(self) -> list[str]:
        """What may not come out, each with what stands around it."""
        text = self.out.decode("utf-8")  # what is no UTF-8 may not come out either
        left = OWN.sub("", text)
        found = [f"colour {COLOUR!r}"] * (COLOUR in text) + hidden(left)
        return found + [f"line {line!r}" for line in left.split("\n") if line.startswith(INJECTED)]


def hidden(text: str) -> list[str]:
    """The characters of a text that do not show, each with what stands around it; line ends and tabs may be there."""
    return [
        f"U+{ord(c):04X} in {text[max(at - 40, 0) : at + 20]!r}"
        for at, c in enumerate(text)
        if not " " <= c <= "~" and c not in "\n\t" and (category(c) in SILENT or c in FILLERS)
    ]


@contextmanager
def _read(master: int, into: list[bytes]) -> Iterator[None]:
    def work() -> None:
        while True:
            try:
                data = os.read(master, 1 << 16)
            except OSError:
                return
            if not data:
                return
            into.append(data)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def on_terminal(work: Callable[[], int], columns: int = 100) -> Ran:
    """Do the work with stdout and stderr a pseudo-terminal, for C libraries too; raw: as it is written."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    kept = os.dup(1), os.dup(2)
    streams = sys.stdout, sys.stderr
    parts: list[bytes] = []
    with _read(master, parts):
        try:
            os.dup2(slave, 1)
            os.dup2(slave, 2)
            sys.stdout, sys.stderr = (os.fdopen(os.dup(slave), "w", encoding="utf-8", newline="\n") for _ in range(2))
            code = work()
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.close()
            sys.stdout, sys.stderr = streams
            for number, fd in zip((1, 2), kept, strict=True):
                os.dup2(fd, number)
                os.close(fd)
            os.close(slave)
    os.close(master)
    return Ran(code, b"".join(parts))


def run(arguments: Sequence[str | os.PathLike[str]], columns: int = 100) -> Ran:
    """One command."""
    return on_terminal(lambda: entry([os.fspath(argument) for argument in arguments]), columns)
