"""What was probably meant by a name that there is not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

LONGEST, MOST = 100, 5000  # characters of a name, and names, that are compared: the time grows with their squares


def nearest(word: str, known: Iterable[str], count: int = 1, cutoff: float = 0.6) -> list[str]:
    """At most `count` of the known names, those most like `word` first, whatever their case.

    `cutoff` is the least likeness that counts, between 0 and 1 (`difflib.SequenceMatcher.ratio`).

    >>> nearest("Convolutoin", ["Convolution", "Deconvolution", "Crop"])
    ['Convolution']
    """
    lowered: dict[str, list[str]] = {}
    for name in dict.fromkeys(known):
        if len(lowered) < MOST:
            lowered.setdefault(name.lower(), []).append(name)
    found = get_close_matches(word[:LONGEST].lower(), lowered, count, cutoff)
    return [name for key in found for name in lowered[key]][:count]


def did_you_mean(names: Sequence[str], otherwise: str = "") -> str:
    """The question after these names; `otherwise` where there are none.

    >>> did_you_mean(["pool1", "pool2"])
    "did you mean 'pool1' or 'pool2'?"
    """
    quoted = " or ".join(f"'{name}'" for name in names)
    return f"did you mean {quoted}?" if names else otherwise
