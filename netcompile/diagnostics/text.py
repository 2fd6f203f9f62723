"""Values as short text, spelled the same way in every message."""

from __future__ import annotations

from collections.abc import Iterable


def shape_text(dims: Iterable[object] | None) -> str:
    """A shape: extents that are sums in parentheses, "scalar" for no axes, "?" for None.

    >>> shape_text((1, 21, "H + 6", "W")), shape_text(()), shape_text(None)
    ('1×21×(H + 6)×W', 'scalar', '?')
    """
    if dims is None:
        return "?"
    return "×".join(f"({text})" if " " in (text := str(dim)) else text for dim in dims) or "scalar"


def listed(names: Iterable[object], most: int = 8) -> str:
    """Names with commas between them, "…" in place of those after the first `most`.

    >>> listed(["a", "b", "c"], 2)
    'a, b, …'
    """
    texts = list(map(str, names))
    return ", ".join([*texts[:most], "…"] if len(texts) > most else texts)
