"""Folders that one run has for itself, and what runs that are dead left behind.

A lock (flock) ends with its process, however that ends: who gets it knows that nobody else is at work there.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import ELOOP, ENOTDIR

from netcompile.diagnostics.diagnostic import refuse
from netcompile.files.look import about

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment]

PREFIX = ".netcompile-"  # of every name that stands for something incomplete
TEMPORARY = ".tmp"  # how the name of a single incomplete file ends
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def try_lock(descriptor: int) -> bool | None:
    """Whether this process has the file or folder for itself now; None where the system or file system has no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@contextmanager
def locked(partial: str, folder: str, patience: float = 0.5) -> Iterator[bool]:
    """The folder `partial` of `folder`, made if need be, for this run alone; says whether that is certain.

    It is not where there are no locks. Another run is waited for up to `patience` seconds: it may only have looked
    whether this one is dead. Raises NetError where it is still at work, OSError where `partial` is no folder, or one
    that neither this user nor the owner of `folder` made.
    """
    end = time.monotonic() + patience
    descriptor = -1
    try:
        while True:
            with suppress(FileExistsError):
                os.mkdir(partial)
            if not hasattr(os, "O_DIRECTORY"):  # folders cannot be opened there
                _own(os.lstat(partial), folder, partial)
                yield False
                return
            with about(partial), suppress(FileNotFoundError):
                descriptor = _opened(partial)
                _own(os.fstat(descriptor), folder, partial)
                got = try_lock(descriptor)
                if got is not False and os.path.samestat(os.fstat(descriptor), os.lstat(partial)):
                    break  # else the one who had it took the folder away
                if got is False and time.monotonic() >= end:
                    what = f"another run is writing to {folder}"
                    refuse("output-busy", what, remedy="wait for it, or give another -o")
                if got is False:
                    time.sleep(0.01)
            if descriptor >= 0:
                os.close(descriptor)
            descriptor = -1
        yield got is True
    finally:
        if descriptor >= 0:
            with suppress(OSError):  # nothing was written to it
                os.close(descriptor)


def _opened(partial: str) -> int:
    """The folder, open. Raises OSError, for a link as well: what lies behind it would be taken for what a run left."""
    try:
        return os.open(partial, _FLAGS | os.O_DIRECTORY)
    except OSError as error:
        if error.errno in (ENOTDIR, ELOOP):
            raise _not_a_folder(partial) from None
        raise


def _not_a_folder(partial: str) -> NotADirectoryError:
    return NotADirectoryError(ENOTDIR, "this is a link or a file, not a folder; remove it", partial)


def _own(status: os.stat_result, folder: str, partial: str) -> None:
    """Raises OSError for what somebody else put there: its files would be moved in place, or waited for."""
    if not stat.S_ISDIR(status.st_mode):
        raise _not_a_folder(partial)
    user = getattr(os, "geteuid", lambda: status.st_uid)()
    if status.st_uid not in (user, os.stat(folder).st_uid):
        raise PermissionError(1, "another user made this folder; remove it", partial)


def remove_dead(path: str) -> None:
    """Remove an incomplete file if no process is writing it any more. Never raises OSError."""
    with suppress(OSError):
        descriptor = os.open(path, _FLAGS)
        try:
            here = os.fstat(descriptor)
            if stat.S_ISREG(here.st_mode) and try_lock(descriptor) and os.path.samestat(here, os.lstat(path)):
                os.unlink(path)
        finally:
            os.close(descriptor)
