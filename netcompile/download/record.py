"""`fetched.json`: what files that nobody gave hashes of were when they were fetched first, beside these files.

Whoever fetches one of them again gets the same, or is told.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

from netcompile.diagnostics.diagnostic import refuse
from netcompile.files.locks import try_lock
from netcompile.files.reading import read_json
from netcompile.files.whole import whole_file

NAME = "fetched.json"
_PATIENCE = 10.0  # seconds that another run may take to add a line


@dataclass(frozen=True, slots=True)
class Fetched:
    """The net that a file belongs to, where it came from, and what it was."""

    net: str
    url: str
    bytes: int
    sha1: str
    sha256: str


def recorded(folder: str, file: str, net: str) -> Fetched | None:
    """What is recorded of a file as this net's; None if nothing is. Raises OSError, NetError for a damaged record."""
    found = _read(folder).get(file)
    return found if found is not None and found.net == net else None


def record(folder: str, file: str, fetched: Fetched) -> None:
    """Record it, in place of what was. Raises OSError; NetError for a damaged record."""
    with _alone(folder or os.curdir):
        rows = {**_read(folder), file: fetched}
        text = json.dumps({name: asdict(rows[name]) for name in sorted(rows)}, indent=2)
        with whole_file(os.path.join(folder, NAME)) as out:
            out.write(f"{text}\n".encode())


@contextmanager
def _alone(folder: str) -> Iterator[None]:
    """One run at a time adds a line: by a lock on the folder itself, of which nothing stays."""
    if not hasattr(os, "O_DIRECTORY"):  # folders cannot be opened there
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | getattr(os, "O_CLOEXEC", 0))
    try:
        end = time.monotonic() + _PATIENCE
        while try_lock(descriptor) is False:
            if time.monotonic() > end:
                refuse("output-busy", f"another run is writing to {folder}", remedy="wait for it, or give another -o")
            time.sleep(0.01)
        yield
    finally:
        with suppress(OSError):  # nothing was written to it
            os.close(descriptor)


def _read(folder: str) -> dict[str, Fetched]:
    path = os.path.join(folder, NAME)
    try:
        found = read_json(path)
        return {str(name): _fetched(row) for name, row in found.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError, AttributeError):
        why = "it says what the files here were when they were fetched first"
        refuse("manifest", f"{path} is damaged", why=why, remedy="remove it if you trust the files that lie here")


def _fetched(row: dict[str, object]) -> Fetched:
    size, *texts = (row[key] for key in ("bytes", "net", "url", "sha1", "sha256"))
    if not isinstance(size, int) or not all(isinstance(text, str) for text in texts):
        raise ValueError
    net, url, sha1, sha256 = map(str, texts)
    return Fetched(net, url, size, sha1, sha256)
