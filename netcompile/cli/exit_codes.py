"""Exit codes; part of the command-line contract."""

from __future__ import annotations

DONE, FINDINGS, USAGE, IO_FAILED, BUG, INTERRUPTED = 0, 1, 2, 3, 70, 130
