"""How names, shapes and places of a caffemodel appear in messages."""

from __future__ import annotations


def shown(name: str) -> str:
    """A name from a file for a message: quoted, of bounded length."""
    return repr(name if len(name) <= 80 else f"{name[:77]}...")
