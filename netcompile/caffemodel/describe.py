"""How names, shapes and places of a caffemodel appear in messages."""

from __future__ import annotations

from collections.abc import Iterable


def shape_text(shape: Iterable[int]) -> str:
    """A shape as people write it: 64x3x3x3, () for a scalar.

    >>> shape_text((64, 3, 3, 3)), shape_text(())
    ('64x3x3x3', '()')
    """
    return "x".join(map(str, shape)) or "()"


def shown(name: str) -> str:
    """A name from a file for a message: quoted, of bounded length."""
    return repr(name if len(name) <= 80 else f"{name[:77]}...")
