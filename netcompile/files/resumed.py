"""A file that several runs fill, one after another: what there is of it waits in a hidden folder beside its place.

`whole_file` begins anew whenever it is called; this is for what takes hours. The folder is this run's alone while it is
at work (`locked`). Its file `note.json` says what the beginning is the beginning of.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from shutil import rmtree

from netcompile.diagnostics.diagnostic import NetError
from netcompile.files.locks import PREFIX, locked
from netcompile.files.look import about
from netcompile.files.reading import read_json
from netcompile.files.whole import whole_file

_DATA, _NOTE = "data", "note.json"
_PAUSE = 0.5  # seconds between two looks whether another run has ended


class Beginning:
    """What there is so far of the file that will lie at `target`."""

    def __init__(self, folder: str, target: str) -> None:
        self.folder, self.target = folder, target
        self.path = os.path.join(folder, _DATA)
        self._note = os.path.join(folder, _NOTE)

    def size(self) -> int:
        """Bytes that are there. Raises OSError."""
        try:
            return os.lstat(self.path).st_size
        except FileNotFoundError:
            return 0

    def note(self) -> dict[str, str]:
        """What `start` was told; nothing where that cannot be read. Raises OSError, but for a file that is absent."""
        try:
            found = read_json(self._note)
        except (FileNotFoundError, ValueError, NetError):
            return {}
        return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}

    def start(self, note: dict[str, str]) -> None:
        """Throw away what is there; from now on it is the beginning of what `note` says. Raises OSError."""
        self.discard()
        self.remark(note)

    def remark(self, note: dict[str, str]) -> None:
        """Say something else of what is there. Raises OSError."""
        with whole_file(self._note) as file:
            file.write(json.dumps(note).encode())

    @contextmanager
    def append(self) -> Iterator[FileIO]:
        """The file, open to be continued, without a buffer: what was written is there whatever happens then."""
        with about(self.target), open(self.path, "ab", buffering=0, opener=_no_link) as file:
            yield file

    def finish(self) -> None:
        """Move it to its place, over what is there. Raises OSError."""
        os.replace(self.path, self.target)

    def discard(self) -> None:
        """Throw away what is there. Raises OSError."""
        with suppress(FileNotFoundError):
            os.unlink(self.path)


@contextmanager
def beginning(target: str, waiting: Callable[[], None]) -> Iterator[Beginning]:
    """What earlier runs left of `target`, for this run alone; `waiting` is called once if another has to end first.

    The hidden folder stays if there is something in it then. Raises OSError.
    """
    directory, name = os.path.split(target)
    folder = os.path.join(directory, f"{PREFIX}begun-{name}")
    with ExitStack() as stack:
        while not _locked(stack, folder, directory or os.curdir, waiting):
            waiting = _nothing
            time.sleep(_PAUSE)
        found = Beginning(folder, target)
        try:
            yield found
        finally:
            with suppress(OSError):
                if not found.size():
                    rmtree(folder)


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _nothing() -> None:
    pass


def _locked(stack: ExitStack, folder: str, directory: str, waiting: Callable[[], None]) -> bool:
    try:
        stack.enter_context(locked(folder, directory))
    except NetError as problem:
        if [each.code for each in problem.diagnostics] != ["output-busy"]:
            raise
        waiting()
        return False
    return True


def write_all(file: FileIO, data: bytes) -> None:
    """All of `data` to a file without a buffer, which may take less at a time. Raises OSError."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
