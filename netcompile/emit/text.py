"""Text of a net in comments and docstrings of the emitted module."""

from __future__ import annotations

from textwrap import wrap

from netcompile.algebra.size import Size
from netcompile.diagnostics.visible import is_visible
from netcompile.layers.base import Shape


def dims_text(dims: Shape, brief: bool = False) -> str:
    """``1 × 21 × (H + 6) × W``; parentheses where an extent is a sum.

    If `brief`, an extent is as it is for large images, without what holds for small ones.
    """
    parts = []
    for dim in dims:
        text = dim.formula() if brief and isinstance(dim, Size) else str(dim)
        parts.append(f"({text})" if (" + " in text or " - " in text) else text)
    return " × ".join(parts) or "scalar"


def folded(text: str) -> list[str]:
    """Text as lines of at most 88 columns; a longer word has a line of its own."""
    return wrap(text, 88, break_long_words=False, break_on_hyphens=False)


LONGEST = 200  # characters of a text of the net in a comment


def one_line(text: str) -> str:
    """Text for a comment: one line, printable, its beginning where it is long."""
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}…"
    return "".join(c if is_visible(c) else "?" for c in text)


def doc_text(text: str) -> str:
    """Text for a docstring: one line, and nothing that could end it."""
    return one_line(text).replace("\\", "/").replace('"', "'")
