"""What is said on stderr: notes, warnings and errors, in colour where a person sees them."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress

from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.diagnostics.listing import listing
from netcompile.diagnostics.visible import visible
from netcompile.terminal import is_quiet, is_verbose, try_error, write_styled

SAME = 3  # notes and warnings of one code that are shown in full before the rest is counted


def coloured() -> bool:
    """Whether stderr is a terminal that may be written to in colour (https://no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or sys.stderr is None:
        return False
    return sys.stderr.isatty()


def show(diagnostics: Iterable[Diagnostic]) -> None:
    """All of them, sorted by position, each with its excerpt, reason and remedy; of very many the first ones.

    Errors go before warnings and notes where not all are shown. Notes are left out with -q.
    """
    color = coloured()
    quiet = is_quiet()
    with suppress(OSError, ValueError):  # who reads no messages still gets the exit code
        for text in listing((found for found in diagnostics if not quiet or found.severity != "note"), color):
            write_styled(text)


def show_notes(notes: Sequence[Diagnostic], codes: frozenset[str]) -> None:
    """Warnings, and the notes of these codes; of many alike only the first few.

    `check` shows them all, and so does every command with -v; with -q there are no notes.
    """
    if is_verbose():
        show(notes)
        return
    quiet = is_quiet()
    counts: Counter[str] = Counter()
    shown = []
    for note in notes:
        if note.severity == "note" and (quiet or note.code not in codes):
            continue
        counts[note.code] += 1
        if counts[note.code] <= SAME:
            shown.append(note)
    show(shown)
    for code, count in counts.items():
        if count > SAME:
            say_lines(f"({count - SAME} more [{code}]: netcompile check shows all)")


def say(text: str) -> None:
    """One line on stderr."""
    try_error(f"netcompile: {visible(text)}\n")


def tell(text: str) -> None:
    """One line on stderr about what was done; none with -q."""
    if not is_quiet():
        say(text)


def tell_lines(*lines: str) -> None:
    """As `say_lines`, what nobody has to know: none with -q."""
    if not is_quiet():
        say_lines(*lines)


def say_lines(*lines: str) -> None:
    """Lines on stderr as they are, each made visible; a training does not end because nobody can read its log."""
    try_error("".join(f"{visible(line)}\n" for line in lines))
