"""What was probably meant by a name that there is not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from itertools import islice

LONGEST, MOST = 100, 5000  # characters of a name, and names, that are compared: the time grows with their squares


def nearest(word: str, known: Iterable[str], count: int = 1, cutoff: float = 0.6) -> list[str]:
    """At most `count` of the known names, those most like `word` first, whatever their case.

    `cutoff` is the least likeness that counts, between 0 and 1 (`difflib.SequenceMatcher.ratio`).

    >>> nearest("Convolutoin", ["Convolution", "Deconvolution", "Crop"])
    ['Convolution']
    """
    lowered: dict[str, list[str]] = {}
    for name in dict.fromkeys(islice(known, MOST)):
        if len(name) <= 2 * LONGEST:
            lowered.setdefault(name.lower(), []).append(name)
    found = get_close_matches(word[:LONGEST].lower(), lowered, count, cutoff)
    return [name for key in found for name in lowered[key]][:count]


class Hints:
    """`nearest` for a file with any number of mistakes: after so many comparisons of names there are no more hints."""

    def __init__(self, left: int = 20_000) -> None:
        self.left = left

    def nearest(self, word: str, known: Collection[str], count: int = 1, cutoff: float = 0.6) -> list[str]:
        """As the function, or nothing where too many names were compared already."""
        if self.left <= 0:
            return []
        self.left -= min(len(known), MOST)
        return nearest(word, known, count, cutoff)


def did_you_mean(names: Sequence[str], otherwise: str = "") -> str:
    """The question after these names; `otherwise` where there are none.

    >>> did_you_mean(["pool1", "pool2"])
    "did you mean 'pool1' or 'pool2'?"
    """
    quoted = " or ".join(f"'{name}'" for name in names)
    return f"did you mean {quoted}?" if names else otherwise
