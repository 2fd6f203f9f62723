"""Files that appear whole or not at all, say what made them, and so tell a later run what is done already."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from PIL import Image

from netcompile.diagnostics.diagnostic import refuse

PARTIAL = ".netcompile-partial"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


class Outputs:
    """A folder that several processes write to. `settings` is a short text that identifies what makes the files."""

    def __init__(self, folder: str, settings: str, rank: int = 0) -> None:
        self.folder, self.settings = folder, settings
        self._partial = os.path.join(folder, PARTIAL)
        self._stem = f"{rank}-{os.getpid()}"
        self._count = 0

    def path(self, kind: str, name: str) -> str:
        """Where an output lies: DIR/kind/name."""
        return os.path.join(self.folder, kind, name)

    def write(self, path: str, content: Callable[[BinaryIO], None]) -> None:
        """Let `content` write the file; it takes its place under its name when it is complete. Raises OSError."""
        self._count += 1
        temporary = os.path.join(self._partial, f"{self._stem}-{self._count}")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            with _unnamed(self._partial) or open(temporary, "xb") as file:
                content(file)
                file.flush()
                if not os.path.lexists(temporary):
                    _give_name(file, temporary)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise

    def is_done(self, path: str, source: str) -> bool:
        """Whether `path` is whole, made with these settings, and not older than the image that it was made from."""
        try:
            if os.stat(path).st_mtime_ns < os.stat(source).st_mtime_ns:
                return False
            return (made_by_npz(path) if path.endswith(".npz") else made_by_png(path)) == self.settings
        except OSError:
            return False


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
        from shutil import copyfileobj

        file.seek(0)
        with open(path, "xb") as copy:
            copyfileobj(file, copy)
    finally:
        os.close(here)


@contextmanager
def claimed(folder: str, leads: bool, wait: Callable[[], None]) -> Iterator[None]:
    """The folder for this run alone: created, and freed of what an interrupted run left half written.

    Only the leading process does so; the others wait. Raises NetError where another run is writing to it, OSError.
    """
    partial = os.path.join(folder, PARTIAL)
    lock = -1
    if leads:
        os.makedirs(partial, exist_ok=True)
        lock = _locked(partial, folder)
        for name in os.listdir(partial):
            os.unlink(os.path.join(partial, name))
    wait()
    try:
        yield
        wait()
    finally:
        if leads:
            with suppress(OSError):
                os.rmdir(partial)
            if lock >= 0:
                os.close(lock)


def _locked(partial: str, folder: str) -> int:
    """A lock that ends with the process, however it ends; none where the file system knows no locks."""
    try:
        import fcntl
    except ImportError:  # not a Unix
        return -1
    descriptor = os.open(partial, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        refuse("output-busy", f"another run is writing to {folder}", remedy="wait for it, or give another -o")
    except OSError:
        pass
    return descriptor


def made_by_png(path: str) -> str | None:
    """The text that `images.png` put into a PNG; None for a PNG of another origin, or one that is not whole."""

    with open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        if file.tell() < 60:
            return None
        file.seek(-len(_PNG_END), os.SEEK_END)
        if file.read() != _PNG_END:
            return None
        file.seek(0)
        try:
            with Image.open(file, formats=["PNG"]) as image:
                text = image.info.get("netcompile")
        except (OSError, SyntaxError, ValueError):
            return None
    return text if isinstance(text, str) else None


def made_by_npz(path: str) -> str | None:
    """The comment of an npz archive; None where it is not whole."""

    try:
        with ZipFile(path) as archive:
            return archive.comment.decode("utf-8", "replace")
    except BadZipFile:
        return None


def npz(file: BinaryIO, name: str, array: object, made_by: str = "") -> None:
    """Write an npz archive with one array; the same array gives the same bytes."""

    with ZipFile(file, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        member = ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
        member.compress_type = ZIP_DEFLATED
        with archive.open(member, "w", force_zip64=True) as out:
            np.lib.format.write_array(out, np.asarray(array), allow_pickle=False)
        archive.comment = made_by.encode()
