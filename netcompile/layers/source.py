"""Python source of values, as layers and emission write it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netcompile.algebra.nset import SizeTooComplex
from netcompile.algebra.size import Size
from netcompile.algebra.volume import Volume
from netcompile.diagnostics.visible import visible
from netcompile.prototxt.message import float_text


def call(function: str, *args: object, **kwargs: object) -> str:
    """Source text of a call; keyword arguments whose value is None are left out."""
    parts = [str(a) for a in args] + [f"{k}={v}" for k, v in kwargs.items() if v is not None]
    return f"{function}({', '.join(parts)})"


def literal(value: Any) -> str:
    """Python source of a number, a bool, a list or a tuple; a tuple of equals becomes one number, as PyTorch allows."""
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, tuple):
        if len(set(value)) == 1:
            return literal(value[0])
        return "(" + ", ".join(literal(v) for v in value) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, float):
        text = float_text(value)
        return f'float("{text}")' if text.lstrip("-") in ("inf", "nan") else text
    return repr(value)


def as_planes(x: str, shape: Sequence[object]) -> str:
    """Source of a bottom with the four axes of `planes`."""
    return x if len(shape) > 3 else f"{x}[...{', None' * (4 - len(shape))}]"


def string(text: str) -> str:
    """A string literal in double quotes, as ruff writes it; what does not show is written as escapes."""
    quoted = visible(repr(text))
    if quoted[0] == "'" and '"' not in text:
        return '"' + quoted[1:-1].replace("\\'", "'") + '"'
    return quoted


def extent(dim: int | Size | Volume) -> str:
    """An extent in terms of H and W; in brackets where it is a choice. Raises SizeTooComplex for a product of both."""
    if isinstance(dim, int):
        return str(dim)
    if isinstance(dim, Volume):
        raise SizeTooComplex(f"the extent {dim}")
    source = dim.python().replace("//", " // ").replace("*", " * ")
    return source if source in ("H", "W") else f"({source})" if " if " in source else source


def span(start: int, length: int | Size | Volume) -> str:
    """A slice of so many elements from `start` on."""
    begin, end = str(start) if start else "", extent(length + start)
    if " " in end:
        return f"{begin} : {end}".strip()
    return f"{begin}:{end}"
