"""Values as short text, spelled the same way in every message."""

from __future__ import annotations

import re
from collections.abc import Iterable


def shape_text(dims: Iterable[object] | None) -> str:
    """A shape: extents that are sums in parentheses, "scalar" for no axes, "?" for None.

    >>> shape_text((1, 21, "H + 6", "W")), shape_text(()), shape_text(None)
    ('1×21×(H + 6)×W', 'scalar', '?')
    """
    if dims is None:
        return "?"
    return "×".join(f"({text})" if " " in (text := str(dim)) else text for dim in dims) or "scalar"


LONG_WORD, LONG_ROW = 160, 2000  # characters of a word or a name in quotes, and of a row, that messages show whole
_KEPT = 80  # characters of what is longer
_WORD = re.compile(rf"'[^'\n]{{{LONG_WORD},}}+'|\S{{{LONG_WORD},}}+")


def shortened(text: str) -> str:
    """The text, words, names in quotes and rows without measure cut, with the number of characters that they have.

    >>> shortened("name: " + 1000 * "a") == "name: " + 80 * "a" + "… (1000 characters)"
    True
    """
    if len(text) <= LONG_WORD:
        return text
    rows = _WORD.sub(_cut, text).split("\n")
    return "\n".join(row if len(row) <= LONG_ROW else _ends(row) for row in rows)


def _cut(match: re.Match[str]) -> str:
    word = match[0]
    quote = "'" if word[0] == word[-1] == "'" else ""
    return f"{word[: _KEPT + len(quote)]}…{quote} ({len(word) - 2 * len(quote)} characters)"


def _ends(row: str) -> str:
    kept = LONG_ROW // 2
    return f"{row[:kept]} … ({len(row) - 2 * kept} characters left out) … {row[-kept:]}"


def listed(names: Iterable[object], most: int = 8) -> str:
    """Names with commas between them, "…" in place of those after the first `most`.

    >>> listed(["a", "b", "c"], 2)
    'a, b, …'
    """
    texts = list(map(str, names))
    return ", ".join([*texts[:most], "…"] if len(texts) > most else texts)


def count_text(count: int) -> str:
    """A count as people read it.

    >>> count_text(0), count_text(999), count_text(134_486_000), count_text(15_300_000_000)
    ('0', '999', '134.5 M', '15.3 G')
    """
    for factor, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return str(count)


def bytes_text(count: int) -> str:
    """A size of a file.

    >>> bytes_text(12), bytes_text(2048), bytes_text(538_000_000)
    ('12 B', '2.0 kB', '538.0 MB')
    """
    return f"{count} B" if count < 1000 else f"{count_text(count)}B"


def short_path(path: str) -> str:
    """The last two parts of a path: enough to know the file, nothing of the machine.

    >>> short_path("/home/me/nets/fcn/val.prototxt"), short_path("val.prototxt")
    ('fcn/val.prototxt', 'val.prototxt')
    """
    return "/".join(path.replace("\\", "/").split("/")[-2:])
