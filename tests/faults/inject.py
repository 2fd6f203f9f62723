"""The file operation of a given number fails, or ends the process: Python's own operations, replaced one by one.

Files that Python opens are given a raw file whose reads, writes and closing count; what C libraries open by themselves
(HDF5, safetensors) does not go through here.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import io
import mmap
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

OPERATIONS = (
    *("open", "close", "read", "write", "preadv", "pread", "rename", "replace", "link", "unlink", "remove", "rmdir"),
    *("mkdir", "stat", "lstat", "fstat", "listdir", "scandir", "utime", "ftruncate", "truncate", "readlink", "symlink"),
    *("sendfile", "copy_file_range", "fsync", "dup2", "chmod"),
)
STREAMS = (0, 1, 2)
BEFORE, AFTER = "killed before", "killed after"  # ends of the process instead of an error
ERRNOS = (errno.EIO, errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EINTR, errno.EMFILE, errno.ENOMEM)


@dataclass
class Plan:
    """Which operation fails, and how; `seen` lists those that were begun."""

    number: int = 0
    failure: int | str = 0
    seen: list[str] = field(default_factory=list)

    def call(self, name: str, real: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """The operation, unless it is its turn."""
        self.seen.append(name)
        if len(self.seen) != self.number:
            return real(*arguments, **options)
        if self.failure == BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.failure == AFTER:
            real(*arguments, **options)
            os.kill(os.getpid(), signal.SIGKILL)
        assert isinstance(self.failure, int)
        if name == "close":  # as in Linux: the descriptor is gone all the same
            real(*arguments, **options)
        path = [part for part in arguments[:1] if name not in NAMELESS and isinstance(part, str | bytes | os.PathLike)]
        raise OSError(self.failure, os.strerror(self.failure), *path)


NAMELESS = {"close", "read", "write", "preadv", "pread", "fstat", "ftruncate", "sendfile", "flock", "mmap", "seek"}


def install(plan: Plan) -> None:
    """Replace the operations, in this process for good."""
    reals = {name: getattr(os, name) for name in OPERATIONS if hasattr(os, name)}

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **options: Any) -> Any:
            if arguments and isinstance(arguments[0], int) and arguments[0] in STREAMS:
                return real(*arguments, **options)
            return plan.call(name, real, *arguments, **options)

        return operation

    for name, real in reals.items():
        setattr(os, name, counted(name, real))
    fcntl.flock = counted("flock", fcntl.flock)  # type: ignore[assignment]
    _install_mmap(plan)
    _install_files(plan)


def _install_mmap(plan: Plan) -> None:
    real = mmap.mmap

    class Counted(real):  # type: ignore[valid-type, misc]
        def __new__(cls, *arguments: Any, **options: Any) -> Any:
            return plan.call("mmap", lambda *a, **o: real.__new__(cls, *a, **o), *arguments, **options)

    mmap.mmap = Counted  # type: ignore[misc]


def _install_files(plan: Plan) -> None:
    real_open = io.open

    class Raw(io.FileIO):
        def __init__(self, file: Any, mode: str = "r", closefd: bool = True, opener: Any = None) -> None:
            make = super().__init__
            if isinstance(file, int):
                make(file, mode, closefd, opener)
            else:
                plan.call("open", lambda path: make(path, mode, closefd, opener), file)

        def readinto(self, buffer: Any) -> Any:
            return plan.call("read", super().readinto, buffer)

        def read(self, size: int = -1) -> Any:
            return plan.call("read", super().read, size)

        def readall(self) -> Any:
            return plan.call("read", super().readall)

        def write(self, data: Any) -> Any:
            return plan.call("write", super().write, data)

        def seek(self, *where: int) -> Any:
            return plan.call("seek", super().seek, *where)

        def close(self) -> None:
            if self.closed or not self.closefd:
                super().close()
            else:
                plan.call("close", super().close)

    def opened(
        file: Any, mode: str = "r", buffering: int = -1, encoding: str | None = None, errors: str | None = None,
        newline: str | None = None, closefd: bool = True, opener: Any = None,
    ) -> Any:  # fmt: skip
        if isinstance(file, int) and file in STREAMS:
            return real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = Raw(file, mode.replace("t", "").replace("b", ""), closefd, opener)
        if buffering == 0:
            return raw
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        buffer: Any
        if "+" in mode:
            buffer = io.BufferedRandom(raw, size)
        elif "r" in mode:
            buffer = io.BufferedReader(raw, size)
        else:
            buffer = io.BufferedWriter(raw, size)
        return buffer if "b" in mode else io.TextIOWrapper(buffer, encoding, errors, newline)

    builtins.open = io.open = opened  # type: ignore[assignment]
    os.fdopen = opened  # type: ignore[assignment]
