"""Files that say what made them, and so tell a later run what is done already."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from netcompile.data.image_file import open_image
from netcompile.diagnostics.diagnostic import NetError, refuse
from netcompile.files.look import make_folder
from netcompile.files.named import below
from netcompile.files.npz import made_by_npz
from netcompile.files.reading import open_file, read_json
from netcompile.files.whole import PARTIAL, whole_file

MADE_BY = "netcompile"  # the key of the text that says what made a file
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


class Outputs:
    """A folder that several processes write to. `settings` is a short text that identifies what makes the files."""

    def __init__(self, folder: str, settings: str) -> None:
        self.folder, self.settings = folder, settings
        self._partial = os.path.join(folder, PARTIAL)

    def path(self, kind: str, name: str) -> str:
        """Where an output lies: DIR/kind/name."""
        return os.path.join(self.folder, kind, name)

    def write(self, path: str, content: Callable[[BinaryIO], None]) -> None:
        """Let `content` write the file; it takes its place under its name when it is complete.

        Raises OSError; NetError where a link leads out of the folder.
        """
        inside(self.folder, os.path.relpath(path, self.folder))
        make_folder(os.path.dirname(path))
        with whole_file(path, self._partial) as file:
            content(file)

    def is_done(self, path: str, source: str) -> bool:
        """Whether `path` is whole, made with these settings, and not older than the image that it was made from."""
        try:
            if os.stat(path).st_mtime_ns < os.stat(source).st_mtime_ns:
                return False
            made_by = _READERS[os.path.splitext(path)[1]]
            return made_by(path) == self.settings
        except OSError:
            return False


def inside(folder: str, name: str) -> str:
    """The path of `name` in a folder of outputs. Raises NetError where a link leads out of that."""
    path = os.path.join(folder, name)
    try:
        below(folder, name)
    except ValueError as error:
        refuse("path-outside", f"{path} is no place to write to", why=str(error), remedy="give another -o")
    return path


@contextmanager
def whole_output(folder: str, name: str) -> Iterator[BinaryIO]:
    """A file that takes its place in a claimed folder of outputs when the block ends well; a link there is replaced.

    Raises OSError; NetError where a link leads out of the folder.
    """
    with whole_file(inside(folder, name), os.path.join(folder, PARTIAL)) as file:
        yield file


def made_by_png(path: str) -> str | None:
    """The text that `images.png` put into a PNG; None for a PNG of another origin, or one that is not whole."""
    with open_file(path) as file:
        file.seek(0, os.SEEK_END)
        if file.tell() < 60:
            return None
        file.seek(-len(_PNG_END), os.SEEK_END)
        if file.read() != _PNG_END:
            return None
    try:
        with open_image(path) as image:
            text = image.info.get(MADE_BY)
    except (ValueError, NetError):
        return None
    return text if isinstance(text, str) else None


def made_by_json(path: str) -> str | None:
    """The text under `MADE_BY` in a JSON object; None for other JSON, or what is none."""
    try:
        found = read_json(path)
    except (ValueError, NetError):
        return None
    text = found.get(MADE_BY) if isinstance(found, dict) else None
    return text if isinstance(text, str) else None


_READERS = {".png": made_by_png, ".npz": made_by_npz, ".json": made_by_json}
