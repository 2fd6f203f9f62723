"""Files that appear whole or not at all: one, several together, or a folder that a long run fills.

A file is written without a name, or under another one in the same file system, and renamed at the end. Several files
are staged in a hidden folder of their destination, `PARTIAL`; once all of them are ready that folder says so, the files
that they replace are moved into it, and then they are moved out. So whoever looks, whenever a process ends, sees files
of one run only, and where it ended between two moves some of them are missing until the next run or `recover` makes the
rest. All of it survives the end of a process, not a power cut: the disk is not waited for, as with ``cp``.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from shutil import copyfileobj, rmtree
from typing import BinaryIO, TypeVar

from netcompile.diagnostics.diagnostic import NetError
from netcompile.files.locks import PREFIX, TEMPORARY, locked, remove_dead, try_lock
from netcompile.files.look import about, is_folder, is_there, make_folder

PARTIAL = f"{PREFIX}partial"
_STAGED, _READY, _BEFORE = "staged", "ready-", "before"  # folders in PARTIAL: before and after the decision, old files
T = TypeVar("T")
PATIENCE = 10.0  # seconds in which another run has moved its files; they are renamed, so it is milliseconds


@contextmanager
def whole_file(path: str | os.PathLike[str], staging: str | None = None) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when the block ends well; after a failure `path` is as it was.

    `staging` is a folder of the same file system for what is not complete, by default the file's own. Raises OSError.
    """
    target = os.path.realpath(path) if staging is None else os.fspath(path)
    if staging is None:
        staging = os.path.dirname(target)
        sweep(staging)
    temporary = os.path.join(staging, f"{PREFIX}{os.urandom(8).hex()}{TEMPORARY}")
    try:
        with about(path), _unnamed(staging) or open(temporary, "xb") as file:
            try_lock(file.fileno())  # what has a name and no lock is dead
            yield file
            file.flush()
            if not is_there(temporary):
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
    here = os.open("/", os.O_RDONLY)  # not used, but with it Python calls linkat(), which follows the link
    try:
        os.link(f"/proc/self/fd/{file.fileno()}", path, src_dir_fd=here, follow_symlinks=True)
    except OSError:
        file.seek(0)
        with about(path), open(path, "xb") as copy:
            try_lock(copy.fileno())
            copyfileobj(file, copy)
    finally:
        os.close(here)


def sweep(folder: str, but: str = "") -> None:
    """Remove what runs that are dead left incomplete in `folder`, and finish what they had decided; `but` one name.

    Dead is a run that has lost its lock; where there are no locks nothing is removed. Never raises OSError.
    """
    with suppress(OSError):
        for name in os.listdir(folder or "."):
            path = os.path.join(folder, name)
            if name.startswith(PREFIX) and name.endswith(TEMPORARY):
                remove_dead(path)
            elif name.startswith(PARTIAL) and name != but:
                with suppress(OSError, NetError), locked(path, folder, 0) as certain:
                    if certain:
                        _finish(path, folder)
                        rmtree(path)


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
        path = self.add(name)
        with about(path), open(path, "xb") as file:
            file.write(data)

    def sizes(self) -> dict[str, int]:
        """Bytes of every file."""
        return {name: os.path.getsize(os.path.join(self.folder, name)) for name in self.names}


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
        sweep(folder, PARTIAL + group)
        with locked(partial, folder):
            try:
                _finish(partial, folder)
                staged = Staged(os.path.join(partial, _STAGED))
                os.mkdir(staged.folder)
                yield staged
                _appear(staged, partial, folder)
            finally:
                with suppress(OSError):
                    if _ready(partial) is None:  # else neither finished nor undone: for `recover`
                        rmtree(partial, ignore_errors=True)
    except BaseException:
        for path in reversed(made):
            with suppress(OSError):
                os.rmdir(path)
        raise


def recover(folder: str, group: str = "") -> None:
    """Finish what a process that was ended left half moved, so that the folder's files are all there.

    Call it before reading files that `whole_folder` wrote. Raises NetError where another run has been moving them for
    longer than `PATIENCE`, and OSError where the folder cannot be written to.
    """
    partial = os.path.join(folder, PARTIAL + group)
    end = time.monotonic() + PATIENCE
    while _ready(partial) is not None:
        try:
            with locked(partial, folder, 0):
                _finish(partial, folder)
                rmtree(partial, ignore_errors=True)
        except NetError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def settled(path: str, read: Callable[[], T], group: str = "") -> T:
    """What `read` makes of files that `whole_folder` wrote, of which `path` is one.

    It should raise NetError or OSError where they do not fit together. Then it is called again, if they were being
    replaced meanwhile. Raises what `read` and `recover` raise.
    """
    folder = os.path.dirname(path)
    partial = os.path.join(folder, PARTIAL + group)
    end = time.monotonic() + PATIENCE
    while True:
        recover(folder, group)
        before = _identity(path)
        still = _ready(partial) is None  # before reading as well: `path` may be new already, and others on their way
        try:
            return read()
        except (NetError, OSError):
            unchanged = still and _identity(path) == before and _ready(partial) is None
            if unchanged or time.monotonic() > end:
                raise


def _identity(path: str) -> tuple[int, int, int] | None:
    """Changes whenever another file takes the place of this one."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _make(folder: str) -> list[str]:
    """Create a folder and its parents; says which ones were not there."""
    missing = []
    path = os.path.abspath(folder)
    while not is_there(path):
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
    if not is_folder(folder):
        raise NotADirectoryError(20, "this is a file, not a folder", folder)
    return missing


def _ready(partial: str) -> str | None:
    """The folder of files that were all ready, if there is one.

    Its name ends with its own number in the file system, so that none that came with an archive or a copy counts.
    """
    try:
        if not stat.S_ISDIR(os.lstat(partial).st_mode):
            return None
        for name in os.listdir(partial):
            path = os.path.join(partial, name)
            if name.startswith(_READY):
                found = os.lstat(path)
                if stat.S_ISDIR(found.st_mode) and name == f"{_READY}{found.st_ino}":
                    return path
    except (FileNotFoundError, NotADirectoryError):
        pass
    return None


def _appear(staged: Staged, partial: str, folder: str) -> None:
    """Move the files to their places."""
    ready = os.path.join(partial, f"{_READY}{os.lstat(staged.folder).st_ino}")
    before = os.path.join(partial, _BEFORE)
    _no_folders(staged.names, folder)
    os.mkdir(before)
    try:
        os.rename(staged.folder, ready)  # decided: from here on whoever comes next finishes it
        _move(staged.names, ready, before, folder)
        os.rmdir(ready)
    except BaseException:
        _undo(staged, ready, before, folder)
        raise


def _no_folders(names: Iterable[str], folder: str) -> None:
    for name in names:
        if is_folder(target := os.path.join(folder, name)):
            raise IsADirectoryError(21, "there is a folder of that name", target)


def _move(names: Iterable[str], ready: str, before: str, folder: str) -> None:
    """Take all old files away, and only then put the first new one in its place: old and new are never seen together.

    A new file is later than the old one by a second at least: Python takes bytecode of the same second and size for
    that of the new source.
    """
    for name in names:
        target = os.path.join(folder, name)
        if is_there(target):
            os.replace(target, os.path.join(before, name))
    for name in names:
        new, old = os.path.join(ready, name), os.path.join(before, name)
        if is_there(old):
            least = (os.lstat(old).st_mtime_ns // 10**9 + 1) * 10**9
            if os.stat(new).st_mtime_ns < least:
                os.utime(new, ns=(least, least))
        os.replace(new, os.path.join(folder, name))


def _undo(staged: Staged, ready: str, before: str, folder: str) -> None:
    """The reverse of `_move`, in its order reversed as well; nothing if it had not begun or was complete."""
    if not is_folder(ready):
        return
    for name in staged.names:
        new, target = os.path.join(ready, name), os.path.join(folder, name)
        if not is_there(new) and is_there(target):
            os.replace(target, new)
    for name in staged.names:
        old = os.path.join(before, name)
        if is_there(old):
            os.replace(old, os.path.join(folder, name))
    os.rename(ready, staged.folder)


def _finish(partial: str, folder: str) -> None:
    """What a process that was ended left: files that were all ready go to their places, others away."""
    ready = _ready(partial)
    if ready is not None:
        names = sorted(os.listdir(ready))
        if all(stat.S_ISREG(os.lstat(os.path.join(ready, name)).st_mode) for name in names):
            before = os.path.join(partial, _BEFORE)
            if not stat.S_ISDIR(os.lstat(before).st_mode):
                raise NotADirectoryError(20, "Not a directory", before)
            _no_folders(names, folder)
            _move(names, ready, before, folder)
            os.rmdir(ready)
    for name in os.listdir(partial):
        path = os.path.join(partial, name)
        if stat.S_ISDIR(os.lstat(path).st_mode):
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
    make_folder(folder)
    sweep(folder, PARTIAL)
    with locked(partial, folder):
        _finish(partial, folder)
        wait()
        try:
            yield
            wait()
        finally:
            with suppress(OSError):
                os.rmdir(partial)
