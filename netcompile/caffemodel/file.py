"""A file of weights, open for reading: mapped for the walk over it, read in pieces for copying."""

from __future__ import annotations

import mmap
import os
import stat
from errno import ENOENT

from netcompile.diagnostics.diagnostic import refuse


class DataFile:
    """An open regular file. ``map`` is its mapping (empty bytes if it is empty), ``size`` its length in bytes.

    The descriptor is closed with the object; the mapping lives as long as an array over it does. A file that somebody
    else shortens meanwhile ends the process (SIGBUS), as with every mapping.
    """

    __slots__ = ("fd", "map", "name", "size")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises OSError; NetError for a path that is no regular file."""
        self.fd = -1
        self.name = os.fspath(path)
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            self.fd = os.open(self.name, flags)
        except ValueError:  # a NUL in it, or what the file system's encoding lacks
            raise FileNotFoundError(ENOENT, "no file can have this name", self.name) from None
        status = os.fstat(self.fd)
        if not stat.S_ISREG(status.st_mode):
            what = f"{self.name}: not a file that can be mapped (a folder, a pipe or a device)"
            refuse("caffemodel-not", what, remedy="give the path of a .caffemodel")
        self.size = status.st_size
        self.map: bytes | mmap.mmap = b""
        if self.size:
            self.map = mmap.mmap(self.fd, self.size, access=mmap.ACCESS_READ)

    def head(self, count: int) -> bytes:
        """The first ``count`` bytes, fewer if the file is shorter."""
        return self.map[:count]

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fills ``buffer`` from ``offset`` without touching the mapping. OSError if the file has shrunk."""
        done = 0
        while done < len(buffer):
            got = os.preadv(self.fd, [buffer[done:]], offset + done)
            if got == 0:
                raise OSError(f"{self.name}: the file became shorter while it was read")
            done += got

    def release(self) -> None:
        """Lets go of the pages of the mapping that were read; they come back from the file when needed."""
        if isinstance(self.map, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            self.map.madvise(mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Closes the descriptor. Arrays over the mapping stay valid."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __del__(self) -> None:
        self.close()
