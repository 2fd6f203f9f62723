"""Hashes of files that are about to appear."""

from __future__ import annotations

import os
from hashlib import file_digest

from netcompile.files.look import about
from netcompile.files.whole import Staged


def hashes(staged: Staged) -> dict[str, str]:
    """SHA-256 of every file. Raises OSError."""
    found = {}
    for name in staged.names:
        path = os.path.join(staged.folder, name)
        with about(path), open(path, "rb") as file:
            found[name] = file_digest(file, "sha256").hexdigest()
    return found
