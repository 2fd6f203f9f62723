"""Whether there is a file or a folder at a path that somebody gave, and which file it is that an error is about.

`os.path.exists` says no as well where a folder may not be entered or a disk is broken; a message would be wrong.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENAMETOOLONG, ENOENT, ENOTDIR


def is_there(path: str | os.PathLike[str]) -> bool:
    """Whether there is anything, a link that leads nowhere included. Raises OSError."""
    return _status(path, follow=False) is not None


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether there is a regular file, or a link to one. Raises OSError."""
    found = _status(path)
    return found is not None and stat.S_ISREG(found.st_mode)


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether there is a folder, or a link to one. Raises OSError."""
    found = _status(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def make_folder(path: str | os.PathLike[str]) -> None:
    """Create a folder with its parents, unless it is there. Raises OSError."""
    try:
        os.makedirs(path)
    except FileExistsError:
        if not is_folder(path):
            raise


@contextmanager
def about(path: str | os.PathLike[str]) -> Iterator[None]:
    """Errors of the system in this block that name no file are about `path`: writing and closing know none."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = os.fspath(path)
        raise


def _status(path: str | os.PathLike[str], follow: bool = True) -> os.stat_result | None:
    try:
        return os.stat(path) if follow else os.lstat(path)
    except OSError as error:
        if error.errno in (ENOENT, ENOTDIR, ENAMETOOLONG):
            return None
        raise
    except ValueError:  # a NUL in the path
        return None
