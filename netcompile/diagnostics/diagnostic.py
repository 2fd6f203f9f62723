"""What is wrong with a net, where, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, NoReturn
from unicodedata import combining, east_asian_width

from netcompile.diagnostics.source import Span
from netcompile.diagnostics.text import LONG_WORD, shortened
from netcompile.diagnostics.visible import dotted, visible

Severity = Literal["error", "warning", "note"]

_WIDTH = 110  # an excerpt longer than this is cut around the place at fault
_COLOURS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "note": "\x1b[1;36m"}
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


def cells(text: str) -> int:
    """How many terminal columns a text takes: two for wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def _excerpt(span: Span) -> list[str]:
    number, column = span.source.position(span.start)
    begin, end = span.source.line_range(number)
    first, whole = column - 1, end - begin
    length = max(1, min(span.end - span.start, whole - first))
    before, after, left = "", "", 0
    if whole > _WIDTH:
        left = max(0, min(first - _WIDTH // 3, whole - _WIDTH))
        right = left + _WIDTH
        before, after = "…" * (left > 0), "…" * (right < whole)
        first, length, whole = first - left, min(length, max(1, right - first)), _WIDTH
    line = span.source.text[begin + left : begin + left + whole]
    line = dotted(line)
    gutter = f"{number:>5}"
    pad = " " * (len(before) + cells(line[:first]))
    marks = "^" * max(1, cells(line[first : first + length]))
    return [f"{gutter} | {before}{line}{after}", f"{' ' * len(gutter)} | {pad}{marks}"]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. ``code`` names its page of ``netcompile explain``; ``related`` are other places that matter."""

    code: str
    what: str
    span: Span | None = None
    why: str = ""
    remedy: str = ""
    severity: Severity = "error"
    related: tuple[tuple[Span, str], ...] = ()

    def __post_init__(self) -> None:
        """Cut what is quoted without measure: findings are many, and a name may be as long as a file."""
        for field in ("what", "why", "remedy"):
            text = getattr(self, field)
            if len(text) > LONG_WORD:
                object.__setattr__(self, field, shortened(text))

    def format(self, color: bool = False) -> str:
        """The finding as shown to a person: place, kind, excerpt with a caret, reason, remedy."""
        where = f"{visible(str(self.span))}: " if self.span is not None else ""
        kind = f"{self.severity}[{self.code}]"
        what = visible(self.what)
        if color:
            where, kind = f"{_BOLD}{where}{_PLAIN}", f"{_COLOURS[self.severity]}{kind}{_PLAIN}"
            what = f"{_BOLD}{what}{_PLAIN}"
        out = [f"{where}{kind}: {what}"]
        if self.span is not None and self.span.source.text:
            out += _excerpt(self.span)
        out += [f"  see: {visible(str(span))}: {visible(shortened(text))}" for span, text in self.related]
        for label, text in (("why", self.why), ("fix", self.remedy)):
            if text:
                rows = [visible(row) for row in text.split("\n")]
                out += [f"  {label}: {rows[0]}", *(f"       {row}" for row in rows[1:])]
        return "\n".join(out)

    def to_json(self) -> dict[str, object]:
        """Plain data: file, line, column, end_line, end_column (from 1, the end exclusive) are null without a place."""
        return {
            "code": self.code,
            "severity": self.severity,
            "what": self.what,
            **_place(self.span),
            "why": self.why,
            "remedy": self.remedy,
            "related": [{**_place(span), "what": shortened(text)} for span, text in self.related],
        }

    def __str__(self) -> str:
        return self.format()


def _place(span: Span | None) -> dict[str, object]:
    names = ("file", "line", "column", "end_line", "end_column")
    if span is None:
        return dict.fromkeys(names)
    position = span.source.position
    return dict(zip(names, (span.source.name, *position(span.start), *position(span.end)), strict=True))


def sorted_by_position(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """By file, then by place; findings without a place come first. Equal places keep their order."""
    return tuple(sorted(diagnostics, key=lambda d: (d.span.source.name, d.span.start) if d.span else ("", -1)))


class NetError(Exception):
    """Mistakes of a net's author: every one found, sorted by position. ``str()`` shows them all.

    ``partial`` is what could be made all the same, for whoever looks for the mistakes of the next stage too.
    """

    diagnostics: tuple[Diagnostic, ...]
    partial: object

    def __init__(self, diagnostics: Diagnostic | Iterable[Diagnostic], partial: object = None) -> None:
        self.partial = partial
        found = (diagnostics,) if isinstance(diagnostics, Diagnostic) else diagnostics
        self.diagnostics = sorted_by_position(found)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        return "\n".join(d.format() for d in self.diagnostics)


@contextmanager
def located(span: Span | None) -> Iterator[None]:
    """Findings without a place that are raised in the block get this one: where a text names the file at fault."""
    try:
        yield
    except NetError as problem:
        found = [replace(d, span=span) if d.span is None else d for d in problem.diagnostics]
        raise NetError(found, problem.partial) from None


def refuse(
    code: str,
    what: str,
    span: Span | None = None,
    why: str = "",
    remedy: str = "",
    *,
    related: tuple[tuple[Span, str], ...] = (),
) -> NoReturn:
    """Raise NetError with one error, described as in `Diagnostic`."""
    raise NetError(Diagnostic(code, what, span, why, remedy, related=related))
