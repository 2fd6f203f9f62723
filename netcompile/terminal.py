"""What is written to stdout and stderr: here and nowhere else, so that nothing of a file can steer the terminal.

`write_out` and `write_error` escape what is not visible; while `guarded` lasts, so do the streams themselves, whoever
writes to them: argparse, warnings of libraries, a forgotten ``print``. Colours and bars of this program go past that.
How much is said at all is here too (`verbosity`), since bars of progress ask for it as well as messages.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from errno import EBADF
from typing import Any, TextIO, cast

from netcompile.diagnostics.visible import visible_text

QUIET, NORMAL, VERBOSE = -1, 0, 1
_verbosity: ContextVar[int] = ContextVar("verbosity", default=NORMAL)


@contextmanager
def verbosity(level: int) -> Iterator[None]:
    """Within the block so much is said: QUIET, NORMAL or VERBOSE. Errors and warnings are said at each."""
    before = _verbosity.set(level)
    try:
        yield
    finally:
        _verbosity.reset(before)


def is_quiet() -> bool:
    """Whether notes, progress and what was done are left unsaid."""
    return _verbosity.get() <= QUIET


def is_verbose() -> bool:
    """Whether everything that is known is said."""
    return _verbosity.get() >= VERBOSE


class _Guard:
    """A stream of text; what is written to it is made visible first. `stream` is the one behind it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(visible_text(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def guarded() -> Iterator[None]:
    """stdout and stderr escape what is not visible while the block lasts, for everyone in this process."""
    before = sys.stdout, sys.stderr
    if sys.stdout is not None:
        sys.stdout = cast(TextIO, _Guard(_behind(sys.stdout)))
    if sys.stderr is not None:
        sys.stderr = cast(TextIO, _Guard(_behind(sys.stderr)))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _behind(stream: TextIO) -> TextIO:
    return stream.stream if isinstance(stream, _Guard) else stream


def write_out(text: str) -> None:
    """UTF-8 to stdout, at once, the same bytes whatever the terminal's encoding. Raises OSError."""
    if sys.stdout is None:
        return
    stream, text = _behind(sys.stdout), visible_text(text)
    raw = getattr(stream, "buffer", None)
    with about_stdout():
        if raw is None:
            stream.write(text)
            return
        stream.flush()
        raw.write(text.encode("utf-8", "backslashreplace"))
        raw.flush()


@contextmanager
def about_stdout() -> Iterator[None]:
    """Errors of the system in this block say that they are about the standard output, unless it is closed."""
    try:
        yield
    except OSError as error:
        if error.errno not in (None, EBADF):
            error.filename = "standard output"
        raise


def write_error(text: str) -> None:
    """Text to stderr, at once. Raises OSError."""
    write_styled(visible_text(text))


def write_styled(text: str) -> None:
    """Text to stderr as it is, with colours: whoever calls this has made visible what comes from elsewhere."""
    if sys.stderr is not None:
        stream = _behind(sys.stderr)
        stream.write(text)
        stream.flush()


def try_error(text: str) -> None:
    """`write_error` where nothing can be done about a stderr that is closed or full."""
    with suppress(OSError, ValueError):
        write_error(text)


def error_console(**options: Any) -> Any:
    """A console of rich on stderr, past the guard: for bars, whose texts the caller makes visible."""
    from rich.console import Console

    return Console(file=_behind(sys.stderr), **options)
