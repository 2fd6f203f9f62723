"""Files that appear whole or not at all: one, several together, or a folder that a long run fills.

A file is written without a name, or under another one in the same file system, and renamed at the end. Several files
are staged in a hidden folder of their destination, `PARTIAL`, and moved from there one by one; once all of them are
ready that folder says so, and where a process ends between two moves, the next run or reader makes the rest. All of it
survives the end of a process, not a power cut: the disk is not waited for, as with ``cp``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import file_digest
from shutil import copyfileobj, rmtree
from typing import BinaryIO

from netcompile.diagnostics.diagnostic import refuse

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment]

PARTIAL = ".netcompile-partial"
_STAGED, _READY, _BEFORE = "staged", "ready", "before"  # folders in PARTIAL: before and after the decision, old files


@contextmanager
def whole_file(path: str | os.PathLike[str], staging: str | None = None) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when the block ends well; after a failure `path` is as it was.

    `staging` is a folder of the same file system for what is not complete, by default the file's own. Raises OSError.
    """
    target = os.path.realpath(path) if staging is None else os.fspath(path)
    folder, name = os.path.split(target)
    staging = staging or folder
    temporary = os.path.join(staging, f".{name[:100]}.{os.urandom(4).hex()}.tmp")
    try:
        with _unnamed(staging) or open(temporary, "xb") as file:
            yield file
            file.flush()
            if not os.path.lexists(temporary):
                _give_name(file, temporary)
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _unnamed(folder: str) -> BinaryIO | None:
    """A file without a name, of which nothing stays if the process ends; None where the system has no such files."""
    flag = getattr(os, "O_TMPFILE", 0)
    if not flag or not os.path.isdir("/proc/self/fd"):
        return None
    try:
        return os.fdopen(os.open(folder, flag | os.O_RDWR, 0o666), "w+b")
    except OSError:
        return None


def _give_name(file: BinaryIO, path: str) -> None:
    """A name for a complete file without one."""
    here = os.open(".", os.O_RDONLY)  # not used, but with it Python calls linkat(), which follows the link
    try:
        os.link(f"/proc/self/fd/{file.fileno()}", path, src_dir_fd=here, follow_symlinks=True)
    except OSError:
        file.seek(0)
        with open(path, "xb") as copy:
            copyfileobj(file, copy)
    finally:
        os.close(here)


class Staged:
    """Files that are ready to appear, in the order in which they were added."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.names: list[str] = []

    def add(self, name: str) -> str:
        """The path to write the file `name` to."""
        self.names.append(name)
        return os.path.join(self.folder, name)

    def write(self, name: str, data: bytes) -> None:
        """Add a file with this content. Raises OSError."""
        with open(self.add(name), "xb") as file:
            file.write(data)

    def sizes(self) -> dict[str, int]:
        """Bytes of every file."""
        return {name: os.path.getsize(os.path.join(self.folder, name)) for name in self.names}

    def hashes(self) -> dict[str, str]:
        """SHA-256 of every file."""
        found = {}
        for name in self.names:
            with open(os.path.join(self.folder, name), "rb") as file:
                found[name] = file_digest(file, "sha256").hexdigest()
        return found


@contextmanager
def whole_folder(folder: str, group: str = "") -> Iterator[Staged]:
    """Stage files; when the block ends well they appear in `folder`, which is created if need be.

    If that fails half-way, the files that were replaced come back; if the process ends half-way, the next call or
    `recover` finishes it. Whatever else lies in `folder` is not touched. Files that are written together have a name as
    a `group` where others are written to that folder at the same time. Raises NetError where another run is writing
    the same group, OSError.
    """
    made = _make(folder)
    partial = os.path.join(folder, PARTIAL + group)
    try:
        with _locked(partial, folder):
            try:
                _finish(partial, folder)
                staged = Staged(os.path.join(partial, _STAGED))
                os.mkdir(staged.folder)
                yield staged
                _appear(staged, partial, folder)
            finally:
                if not os.path.isdir(os.path.join(partial, _READY)):  # else neither finished nor undone: for `recover`
                    rmtree(partial, ignore_errors=True)
    except BaseException:
        for path in reversed(made):
            with suppress(OSError):
                os.rmdir(path)
        raise


def recover(folder: str, group: str = "") -> None:
    """Finish what a process that was ended left half moved, so that the folder's files are of one run.

    Call it before reading files that `whole_folder` wrote. Raises NetError where another run is writing them now, and
    OSError where the folder cannot be written to.
    """
    partial = os.path.join(folder, PARTIAL + group)
    if os.path.isdir(os.path.join(partial, _READY)) and not os.path.islink(partial):
        with _locked(partial, folder):
            _finish(partial, folder)
            rmtree(partial, ignore_errors=True)


def _make(folder: str) -> list[str]:
    """Create a folder and its parents; says which ones were not there."""
    missing = []
    path = os.path.abspath(folder)
    while not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(path)
    missing.reverse()
    for index, path in enumerate(missing):
        try:
            os.mkdir(path)
        except OSError:
            for earlier in reversed(missing[:index]):
                with suppress(OSError):
                    os.rmdir(earlier)
            raise
    if not os.path.isdir(folder):
        raise NotADirectoryError(20, "this is a file, not a folder", folder)
    return missing


def _appear(staged: Staged, partial: str, folder: str) -> None:
    """Move the files to their places. At every moment each is in `ready` or in its place, so that it can go on."""
    ready, before = os.path.join(partial, _READY), os.path.join(partial, _BEFORE)
    for name in staged.names:
        if os.path.isdir(target := os.path.join(folder, name)):
            raise IsADirectoryError(21, "there is a folder of that name", target)
    os.mkdir(before)
    os.rename(staged.folder, ready)
    done: list[str] = []
    try:
        for name in staged.names:
            target = os.path.join(folder, name)
            if os.path.lexists(target):
                try:
                    os.link(target, os.path.join(before, name), follow_symlinks=False)
                except OSError:  # a file system without hard links
                    os.rename(target, os.path.join(before, name))
            done.append(name)
            os.replace(os.path.join(ready, name), target)
        os.rmdir(ready)
    except BaseException:
        for name in reversed(done):
            target, new, old = (os.path.join(place, name) for place in (folder, ready, before))
            if not os.path.lexists(new):
                os.rename(target, new)
            if os.path.lexists(old):
                os.replace(old, target)
        os.rename(ready, staged.folder)
        raise


def _finish(partial: str, folder: str) -> None:
    """What a process that was ended left: files that were all ready go to their places, others away."""
    ready = os.path.join(partial, _READY)
    if os.path.isdir(ready):
        for name in sorted(os.listdir(ready)):
            os.replace(os.path.join(ready, name), os.path.join(folder, name))
        os.rmdir(ready)
    for name in os.listdir(partial):
        path = os.path.join(partial, name)
        if os.path.isdir(path):
            rmtree(path)
        else:
            os.unlink(path)


@contextmanager
def claimed(folder: str, leads: bool, wait: Callable[[], None]) -> Iterator[None]:
    """The folder for this run alone: created, and freed of what an interrupted run left half written.

    `PARTIAL` in it is for files that are not complete. Only the leading process does so; the others wait. Raises
    NetError where another run is writing to it, OSError.
    """
    partial = os.path.join(folder, PARTIAL)
    if not leads:
        wait()
        yield
        wait()
        return
    os.makedirs(folder, exist_ok=True)
    with _locked(partial, folder):
        _finish(partial, folder)
        wait()
        try:
            yield
            wait()
        finally:
            with suppress(OSError):
                os.rmdir(partial)


@contextmanager
def _locked(partial: str, folder: str) -> Iterator[None]:
    """The folder `partial`, made if need be, with a lock that ends with the process, however it ends.

    No lock where the system or the file system knows none. Raises NetError where another process has it.
    """
    descriptor = -1
    try:
        while True:
            os.makedirs(partial, exist_ok=True)
            if os.path.islink(partial):  # what lies behind it is somebody else's
                why = "the folder for files that are not complete must be a folder of its own"
                refuse("output-path", f"{partial} is a link", why=why, remedy="remove it")
            if fcntl is None:
                break
            with suppress(FileNotFoundError):
                descriptor = os.open(partial, os.O_RDONLY)
                with suppress(OSError):
                    try:
                        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        what = f"another run is writing to {folder}"
                        refuse("output-busy", what, remedy="wait for it, or give another -o")
                if os.path.samestat(os.fstat(descriptor), os.stat(partial)):
                    break  # else the one who had it took the folder away
            if descriptor >= 0:
                os.close(descriptor)
                descriptor = -1
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)
