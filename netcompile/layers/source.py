"""Python source of values, as layers and emission write it."""

from __future__ import annotations

from netcompile.algebra.nset import SizeTooComplex
from netcompile.algebra.volume import Volume
from netcompile.layers.base import Dim


def string(text: str) -> str:
    """A string literal in double quotes, as ruff writes it."""
    quoted = repr(text)
    if quoted[0] == "'" and '"' not in text:
        return '"' + quoted[1:-1].replace("\\'", "'") + '"'
    return quoted


def extent(dim: Dim) -> str:
    """An extent in terms of H and W; in brackets where it is a choice. Raises SizeTooComplex for a product of both."""
    if isinstance(dim, int):
        return str(dim)
    if isinstance(dim, Volume):
        raise SizeTooComplex(f"the extent {dim}")
    source = dim.python().replace("//", " // ").replace("*", " * ")
    return source if source in ("H", "W") else f"({source})" if " if " in source else source


def span(start: int, length: Dim) -> str:
    """A slice of so many elements from `start` on."""
    begin, end = str(start) if start else "", extent(length + start)
    if " " in end:
        return f"{begin} : {end}".strip()
    return f"{begin}:{end}"
