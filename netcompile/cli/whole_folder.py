"""Several files that appear in a folder together, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import file_digest
from shutil import rmtree


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
def whole_folder(folder: str) -> Iterator[Staged]:
    """Stage files; when the block ends well they appear in `folder`, which is created if need be.

    They are written into a hidden folder inside `folder`, so that they only have to be renamed at the end.
    If that fails half-way, the files that were replaced come back. Whatever else lies in `folder` is not
    touched. Raises OSError.
    """
    made = _make(folder)
    stage = os.path.join(folder, f".netcompile-{os.urandom(4).hex()}.tmp")
    kept = os.path.join(stage, "before")
    try:
        os.mkdir(stage)
        os.mkdir(kept)
        staged = Staged(stage)
        yield staged
        _appear(staged, folder, kept)
    except BaseException:
        _remove(stage)
        for path in reversed(made):
            with suppress(OSError):
                os.rmdir(path)
        raise
    _remove(stage)


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


def _appear(staged: Staged, folder: str, kept: str) -> None:
    done: list[str] = []
    try:
        for name in staged.names:
            target, backup = os.path.join(folder, name), os.path.join(kept, name)
            if os.path.lexists(target):
                if os.path.isdir(target):
                    raise IsADirectoryError(21, "there is a folder of that name", target)
                try:
                    os.link(target, backup, follow_symlinks=False)
                except OSError:  # a file system without hard links
                    os.rename(target, backup)
            done.append(name)
            os.replace(os.path.join(staged.folder, name), target)
    except BaseException:
        for name in reversed(done):
            with suppress(OSError):
                if os.path.lexists(os.path.join(kept, name)):
                    os.replace(os.path.join(kept, name), os.path.join(folder, name))
                else:
                    os.unlink(os.path.join(folder, name))
        raise


def _remove(stage: str) -> None:

    rmtree(stage, ignore_errors=True)
