"""Where files are: the first of several places, and whether all of a list are there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from netcompile.diagnostics.diagnostic import refuse
from netcompile.files.look import is_file
from netcompile.files.named import special
from netcompile.files.reading import read_lines as numbered_lines


def first_there(paths: Iterable[str]) -> str | None:
    """The first path at which there is something; None where there is nothing at any.

    Raises NetError where that is a device, a pipe or a socket: only files and folders are read by name.
    """
    found = next((path for path in paths if os.path.exists(path)), None)
    return None if found is None else plain(found)


def plain(path: str) -> str:
    """The path. Raises NetError where it leads to a device, a pipe or a socket."""
    kind = special(path)
    if kind:
        why = "a list or a net names it; a pipe may wait for ever, a device never end"
        refuse("not-a-file", f"{path} is {kind}, not a file", why=why, remedy="copy the data into a file")
    return path


def read_lines(path: str) -> list[str]:
    """The lines of a list that say something, without the spaces around them. Raises OSError, NetError."""
    return [line for _, line in numbered_lines(path)]


def require_files(listing: str, paths: Sequence[str]) -> None:
    """Raises NetError where the list is empty, or names files that do not exist."""
    if not paths:
        refuse("data-file", f"{listing}: the list is empty")
    missing = [path for path in paths if not is_file(plain(path))]
    if missing:
        more = f", and {len(missing) - 3} more" if len(missing) > 3 else ""
        what = f"{listing} names files that do not exist: {', '.join(missing[:3])}{more}"
        refuse("no-such-file", what)
