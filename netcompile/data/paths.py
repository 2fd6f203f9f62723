"""Where files are: the first of several places, and whether all of a list are there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from netcompile.diagnostics.diagnostic import refuse
from netcompile.files.look import is_file


def first_there(paths: Iterable[str]) -> str | None:
    """The first path at which there is something; None where there is nothing at any."""
    return next((path for path in paths if os.path.exists(path)), None)


def read_lines(path: str) -> list[str]:
    """The lines of a list that say something, without the spaces around them. Raises OSError."""
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
        return [line.strip() for line in file if line.strip()]


def require_files(listing: str, paths: Sequence[str]) -> None:
    """Raises NetError where the list is empty, or names files that do not exist."""
    if not paths:
        refuse("data-file", f"{listing}: the list is empty")
    missing = [path for path in paths if not is_file(path)]
    if missing:
        more = f", and {len(missing) - 3} more" if len(missing) > 3 else ""
        what = f"{listing} names files that do not exist: {', '.join(missing[:3])}{more}"
        refuse("no-such-file", what)
