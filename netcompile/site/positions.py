"""Places in a text as JavaScript counts them: in units of UTF-16, of which characters beyond U+FFFF take two."""

from __future__ import annotations

import re
from bisect import bisect_left

_WIDE = re.compile("[\U00010000-\U0010ffff]")


class Units:
    """The units of a text as it was given; the byte order mark that it may begin with is a unit, and no character."""

    def __init__(self, text: str) -> None:
        self._start = int(text.startswith("\ufeff"))
        body = text[self._start :]
        self._wide = [] if body.isascii() else [match.start() for match in _WIDE.finditer(body)]
        self._units = [at + index for index, at in enumerate(self._wide)]  # where these characters begin, in units

    def of(self, offset: int) -> int:
        """The unit at which the character with this offset begins."""
        return self._start + offset + bisect_left(self._wide, offset)

    def offset(self, unit: int) -> int:
        """The offset of the character that begins at this unit or lies across it."""
        unit = max(unit - self._start, 0)
        return unit - bisect_left(self._units, unit)
