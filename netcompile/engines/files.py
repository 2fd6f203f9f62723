"""ONNX files that were written for engines, kept in the user's cache folder: to write one takes seconds.

Each has a small JSON file beside it, which is written last and holds its checksum: a file that is not the one that was
written counts as none. The folder is ``netcompile/onnx`` of ``XDG_CACHE_HOME``, or of ``~/.cache``; whatever lies
there can be removed at any time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import file_digest, sha256
from shutil import copyfileobj, disk_usage
from typing import Any

from netcompile.diagnostics.diagnostic import NetError
from netcompile.emit.names import file_stem
from netcompile.engines.engine import WRITING, version_of
from netcompile.engines.kept import cache_root
from netcompile.files.look import make_folder
from netcompile.files.reading import open_file, read_json
from netcompile.files.whole import whole_file
from netcompile.version import __version__

FORMAT = 1
ALL = 4 << 30  # bytes that the folder may take
LARGEST = 2**31 - 1  # of a file that holds its weights
Notes = Mapping[str, Any]  # what is written down beside a file: plain JSON


def folder() -> str:
    """The folder of the files; it need not be there."""
    return os.path.join(cache_root(), "onnx")


def place_of(net: str, content: Sequence[str]) -> str:
    """Where the file of a net lies, given all that it is made of but for the versions of what writes it."""
    versions = [__version__, *(version_of(name) for name in ("torch", *WRITING))]
    key = sha256(json.dumps([FORMAT, versions, *content]).encode()).hexdigest()[:24]
    return os.path.join(folder(), f"{file_stem(net)[:40]}-{key}.onnx")


def read_notes(path: str) -> Notes | None:
    """What was written down of the file at `path`, which is used from now on; None where that is not there, or broken.

    A broken one is removed.
    """
    try:
        found: Notes = read_json(_beside(path))
        with open_file(path) as file:
            if found["sha256"] == file_digest(file, "sha256").hexdigest():
                with suppress(OSError):
                    os.utime(path)  # those that were not used for the longest time go first
                return dict(found["notes"])
    except (NetError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    _remove(path)
    return None


def keep_file(written: str, path: str, notes: Notes) -> None:
    """Keep a file that was written at another place; nothing happens where that cannot be, or would fill the disk."""
    try:
        size = os.path.getsize(written)
        make_folder(folder())
        if size > min(LARGEST, ALL, disk_usage(folder()).free // 2) or os.listdir(os.path.dirname(written)) != [
            os.path.basename(written)  # else its weights lie beside it
        ]:
            return
        make_room(ALL - size)
        with open(written, "rb") as source:
            digest = file_digest(source, "sha256").hexdigest()
            source.seek(0)
            with whole_file(path) as file:
                copyfileobj(source, file, 1 << 20)
        text = json.dumps({"sha256": digest, "notes": dict(notes)}, indent=1)
        with whole_file(_beside(path)) as file:
            file.write(f"{text}\n".encode())
    except (OSError, NetError):
        _remove(path)


def make_room(most: int) -> None:
    """Remove those files that were not used for the longest time, until all take at most so many bytes."""
    with suppress(OSError):
        found = []
        for entry in os.scandir(folder()):
            if entry.name.endswith(".onnx") and entry.is_file(follow_symlinks=False):
                about = entry.stat(follow_symlinks=False)
                found.append((about.st_mtime, about.st_size, entry.path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= most:
                break
            _remove(path)
            total -= size


def _remove(path: str) -> None:
    for name in (_beside(path), path):
        with suppress(OSError):
            os.unlink(name)


def _beside(path: str) -> str:
    return f"{path}.json"
