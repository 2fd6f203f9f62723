"""What is said on stderr: notes, warnings and errors, in colour where a person sees them."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress

from netcompile.diagnostics.diagnostic import Diagnostic, sorted_by_position, visible

MOST = 200  # findings that are shown; a file of mistakes has any number
SAME = 3  # notes and warnings of one code that are shown in full before the rest is counted
_SEVERITIES = ("error", "warning", "note")


def coloured() -> bool:
    """Whether stderr is a terminal that may be written to in colour (https://no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or sys.stderr is None:
        return False
    return sys.stderr.isatty()


def show(diagnostics: Iterable[Diagnostic]) -> None:
    """All of them, sorted by position, each with its excerpt, reason and remedy; of very many the first ones.

    Errors go before warnings and notes where not all are shown.
    """
    color = coloured()
    ordered = sorted_by_position(diagnostics)
    chosen = ordered
    if len(ordered) > MOST:
        chosen = sorted_by_position(sorted(ordered, key=lambda found: _SEVERITIES.index(found.severity))[:MOST])
    for diagnostic in chosen:
        print(diagnostic.format(color), file=sys.stderr)
    if len(ordered) > MOST:
        print(f"(and {len(ordered) - MOST} more; netcompile check --json has all)", file=sys.stderr)


def show_notes(notes: Sequence[Diagnostic], codes: frozenset[str]) -> None:
    """Warnings, and the notes of these codes; of many alike only the first few. `check` shows them all."""
    counts: Counter[str] = Counter()
    shown = []
    for note in notes:
        if note.severity == "note" and note.code not in codes:
            continue
        counts[note.code] += 1
        if counts[note.code] <= SAME:
            shown.append(note)
    show(shown)
    for code, count in counts.items():
        if count > SAME:
            print(f"({count - SAME} more [{code}]: netcompile check shows all)", file=sys.stderr)


def say(text: str) -> None:
    """One line on stderr."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(f"netcompile: {visible(text)}", file=sys.stderr, flush=True)
