"""A file of weights, open for reading: its bytes are read when they are looked at, and never mapped.

A mapping would end the process (SIGBUS) where somebody else shortens the file meanwhile; a read says so. It costs
nothing that can be measured: the numbers were always copied by reads, and the walk touches tags and lengths alone.
"""

from __future__ import annotations

import os
from contextlib import suppress
from errno import ENOENT
from typing import overload

from netcompile.files.look import about
from netcompile.files.reading import open_descriptor

_WINDOW = 1 << 14  # bytes read at a time for the walk over tags
_STEP = 1 << 20  # bytes read at a time where they are copied once more


class DataFile:
    """An open regular file, indexed like its bytes: ``file[0]``, ``file[8:16]``. ``size`` is its length in bytes.

    The descriptor is closed with the object.
    """

    __slots__ = ("_start", "_window", "fd", "name", "size")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises OSError; NetError for a path that is no regular file."""
        self.name = os.fspath(path)
        self.fd = -1
        try:
            self.fd = open_descriptor(path)
        except ValueError:  # a NUL in it, or what the file system's encoding lacks
            raise FileNotFoundError(ENOENT, "no file can have this name", self.name) from None
        with about(self.name):
            self.size = os.fstat(self.fd).st_size
        self._start, self._window = 0, b""

    @overload
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> bytes: ...

    def __getitem__(self, place: int | slice) -> int | bytes:
        """A byte, or bytes of a slice with a start and an end, not negative. OSError if the file has shrunk."""
        if isinstance(place, int):
            at = place - self._start
            if not 0 <= at < len(self._window):
                self._start, at = place, 0
                self._window = self._read(place, min(_WINDOW, self.size - place))
            return self._window[at]
        first, last = place.start or 0, min(place.stop, self.size)
        at = first - self._start
        if at >= 0 and last <= self._start + len(self._window):
            return self._window[at : last - self._start : place.step]
        found = self._read(first, last - first)
        return found[:: place.step] if place.step else found

    def _read(self, offset: int, count: int) -> bytes:
        if count <= 0:
            return b""
        found = bytearray(count)
        self.read_into(memoryview(found), offset)
        return bytes(found)

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fills ``buffer`` from ``offset``. OSError if the file has shrunk."""
        done = 0
        while done < len(buffer):
            with about(self.name):
                got = _read_at(self.fd, buffer[done:], offset + done)
            if got == 0:
                raise OSError(f"{self.name}: the file became shorter while it was read")
            done += got

    def close(self) -> None:
        """Closes the descriptor: nothing more can be read."""
        if self.fd >= 0:
            with suppress(OSError):  # it was read, so nothing can be lost
                os.close(self.fd)
            self.fd = -1

    def __del__(self) -> None:
        self.close()


def _read_at(fd: int, buffer: memoryview, offset: int) -> int:
    """How many bytes were read into the buffer."""
    if hasattr(os, "preadv"):
        return os.preadv(fd, [buffer], offset)
    os.lseek(fd, offset, os.SEEK_SET)  # in a browser
    found = os.read(fd, min(len(buffer), _STEP))
    buffer[: len(found)] = found
    return len(found)
