"""Data on stdout, the same bytes whatever the terminal's encoding; nothing in it steers the terminal."""

from __future__ import annotations

from typing import Any

from netcompile.diagnostics.json_text import json_text
from netcompile.diagnostics.visible import visible
from netcompile.terminal import is_quiet, write_out


def write_text(text: str) -> None:
    """A text of lines to stdout, at once, so that what is said on stderr next comes after it.

    What is not visible is written as escapes; names in it are made `visible` before, lest they begin new lines.
    """
    write_out(text)


def write_lines(*lines: str) -> None:
    """Lines to stdout, whatever is in them: a line end within one is written as an escape."""
    write_out("".join(f"{visible(line)}\n" for line in lines))


def write_done(*lines: str) -> None:
    """Lines to stdout about what was done, such as which files were written; none with -q."""
    if not is_quiet():
        write_lines(*lines)


def write_json(value: Any) -> None:
    """Indented JSON to stdout."""
    write_text(json_text(value))
