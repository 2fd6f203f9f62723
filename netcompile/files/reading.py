"""Opening files that come from elsewhere: regular files only, read no further than what their kind can need.

A device, a pipe or a folder in place of a file is told, not waited for; a text of gigabytes is refused, not read.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BytesIO, TextIOWrapper
from typing import Any

from netcompile.diagnostics.diagnostic import refuse
from netcompile.files.limits import require_memory
from netcompile.files.look import about
from netcompile.files.named import special

TEXT = 1 << 28  # bytes of the longest JSON text that is read
LIST = 1 << 32  # bytes of the longest list
LINE = 1 << 16  # characters of a line in a list
PER_BYTE = 24  # bytes of memory that a byte of JSON can become: `[[],[],…`
_PER_LINE = 400  # bytes of memory that an entry of a list becomes, beside its text


@contextmanager
def open_file(path: str | os.PathLike[str]) -> Iterator[BufferedReader]:
    """A regular file, open for reading in the block, whose errors of the system are about it.

    Raises OSError; NetError for anything else of that name.
    """
    with about(path), os.fdopen(open_descriptor(path), "rb") as file:
        yield file


def open_descriptor(path: str | os.PathLike[str]) -> int:
    """The descriptor of a regular file, which the caller closes. Raises as `open_file` does."""
    name = os.fspath(path)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    if kind := special(name):  # a socket cannot be opened at all
        refuse("not-a-file", f"{name} is {kind}, not a file")
    descriptor = os.open(name, flags)
    try:
        with about(name):
            mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else special(name)
            refuse("not-a-file", f"{name} is {kind}, not a file")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_bytes(path: str | os.PathLike[str], most: int = TEXT, grows: int = 1) -> bytes:
    """The whole of a file of at most `most` bytes, `grows` times as much memory being needed for what becomes of it.

    Raises OSError; NetError for a larger file, and for what is no file.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            why = f"files of its kind have at most {most} bytes"
            refuse("too-large", f"{os.fspath(path)} has {size} bytes: it is not read", why=why)
        require_memory(size * grows, f"reading {os.fspath(path)}")
        return file.read(size)  # not read(): what grows while it is read has no end


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value of a JSON text. Raises OSError; ValueError for any other text; NetError as `read_bytes` does."""
    return parse_json(read_bytes(path, grows=PER_BYTE))


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError, whatever the text: nested too deep, numbers of many digits."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def read_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    """The lines that say something, each with its number, without the spaces around them; bytes that are no UTF-8 as
    Python keeps them in paths. Raises OSError, NetError as `read_bytes` does, and for lines longer than any path.
    """
    text = read_bytes(path, LIST)
    count = text.count(b"\n")
    require_memory(4 * len(text) + _PER_LINE * count, f"the list {os.fspath(path)}, of {count} lines,")
    lines = TextIOWrapper(BytesIO(text), "utf-8-sig", "surrogateescape")
    for number, line in enumerate(lines, 1):
        if len(line) > LINE:
            refuse("too-large", f"{os.fspath(path)}: line {number} has {len(line)} characters: this is no list")
        if kept := line.strip():
            yield number, kept
