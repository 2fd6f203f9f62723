"""Findings as a text for people: each in full, of very many the first ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netcompile.diagnostics.diagnostic import Diagnostic, sorted_by_position

MOST = 200  # findings that are shown; a file of mistakes has any number
_SEVERITIES = ("error", "warning", "note")


def listing(diagnostics: Iterable[Diagnostic], color: bool = False) -> Iterator[str]:
    """The findings, sorted by position, each as lines; where not all are shown, errors go before the others."""
    ordered = sorted_by_position(diagnostics)
    chosen = ordered
    if len(ordered) > MOST:
        chosen = sorted_by_position(sorted(ordered, key=lambda found: _SEVERITIES.index(found.severity))[:MOST])
    for diagnostic in chosen:
        yield f"{diagnostic.format(color)}\n"
    if len(ordered) > MOST:
        yield f"(and {len(ordered) - MOST} more; netcompile check --json has all)\n"
