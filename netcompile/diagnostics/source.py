"""A text with a name, and places in it: offsets to lines and columns."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass


class Source:
    """A text and the name it is shown under; the line table is built on first use.

    Lines end at ``\\n``; a ``\\r`` before it is no part of the line, so columns are right in CRLF files.
    Columns count characters from 1. A leading byte order mark is dropped.
    Bytes that are not UTF-8 stand in ``text`` as lone surrogates U+DC80..U+DCFF (one per byte).
    """

    __slots__ = ("_starts", "name", "text")

    def __init__(self, text: str, name: str = "<string>") -> None:
        self.name = name
        self.text = text[1:] if text.startswith("\ufeff") else text
        self._starts: list[int] | None = None

    def _table(self) -> list[int]:
        if self._starts is None:
            self._starts = [0, *(end.end() for end in re.finditer("\n", self.text))]
        return self._starts

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both from 1. Offsets past the end give the end."""
        table = self._table()
        offset = max(0, min(offset, len(self.text)))
        line = bisect_right(table, offset)
        return line, offset - table[line - 1] + 1

    def offset(self, number: int) -> int:
        """Where a line (from 1) begins. Lines past the end begin there."""
        table = self._table()
        return table[number - 1] if number <= len(table) else len(self.text)

    def line(self, number: int) -> str:
        """The text of a line (from 1), without its line end; empty outside the text."""
        begin, end = self.line_range(number)
        return self.text[begin:end]

    def line_range(self, number: int) -> tuple[int, int]:
        """Where a line (from 1) begins, and where it ends without its line end; twice the text's end outside of it."""
        table = self._table()
        if not 1 <= number <= len(table):
            return len(self.text), len(self.text)
        begin, end = table[number - 1], table[number] - 1 if number < len(table) else len(self.text)
        while end > begin and self.text[end - 1] == "\r":
            end -= 1
        return begin, end

    def span(self, start: int, end: int) -> Span:
        return Span(self, start, end)

    def __repr__(self) -> str:
        return f"Source({self.name!r}, {len(self.text)} characters)"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch ``[start, end)`` of a source, in characters."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        return self.source.position(self.start)[1]

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def __str__(self) -> str:
        line, column = self.source.position(self.start)
        return f"{self.source.name}:{line}:{column}"
