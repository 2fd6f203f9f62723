"""The state of a careful reading: the messages open at the moment, their braces, and what was found."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.diagnostics.source import Source, Span
from netcompile.prototxt import hints
from netcompile.prototxt.lexer import COMMENT, SKIP, end_before
from netcompile.prototxt.message import Entry, Message
from netcompile.prototxt.schema import FieldType, MessageType, message_type

LIMIT = 50  # mistakes after which reading stops; within a layer, fields that may be a fork's count a tenth
DEPTH = 100
CLOSER = {"{": "}", "<": ">"}


class Stop(Exception):
    """Reading on makes no sense."""


@dataclass(slots=True, eq=False)
class Frame:
    """A message being read. ``type`` None: a block of an unknown field, in which everything is accepted."""

    type: Any  # a MessageType; None only in the careful way
    field: Any
    parent: Frame | None
    start: int
    head_end: int
    opened: int
    closer: str = "}"
    listed: bool = False  # one of several in a list, [{ … }, { … }]
    fields: dict[str, FieldType] = field(init=False)
    entries: list[Entry] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    named: dict[str, None] = field(default_factory=dict)  # see `names`
    counted: int = 0  # entries whose names are in `named`
    simple: bool = field(init=False)  # whether a plain "}" may end it without a further look

    def __post_init__(self) -> None:
        self.fields = self.type.fields if self.type is not None else {}
        self.simple = self.closer == "}" and not self.listed and self.type is not None and not self.type.required

    def names(self) -> Collection[str]:
        """The fields that are set so far."""
        self.named.update((entry.field.name, None) for entry in self.entries[self.counted :])
        self.counted = len(self.entries)
        return self.named


class Structure:
    """Opens and closes messages; keeps findings."""

    __slots__ = ("counted", "found", "frame", "odd_space", "source", "text")

    def __init__(self, source: Source, root: MessageType) -> None:
        self.source = source
        self.text = source.text
        self.found: list[Diagnostic] = []
        self.counted = 0
        self.frame = Frame(root, None, None, 0, 0, 0)
        self.odd_space = False  # reported, once for all

    def report(
        self,
        code: str,
        what: str,
        start: int,
        end: int,
        why: str = "",
        remedy: str = "",
        related: tuple[tuple[int, int, str], ...] = (),
    ) -> None:
        """Keeps a finding at [start, end). Raises Stop when there are too many, or when what follows is no net."""
        places = tuple((Span(self.source, a, b), text) for a, b, text in related)
        self.found.append(Diagnostic(code, what, Span(self.source, start, end), why, remedy, related=places))
        if code == "web-page":
            raise Stop
        self.counted += code != "unknown-field" or self.frame.parent is None
        if self.counted >= LIMIT or len(self.found) >= 10 * LIMIT:
            what = f"reading stopped after {len(self.found)} mistakes"
            why = "one early mistake often causes many; the rest of the file was not read"
            self.found.append(Diagnostic("too-many-mistakes", what, Span(self.source, end, end), why, severity="note"))
            raise Stop

    def skip(self, at: int) -> int:
        """The next offset from ``at`` on where neither space nor comment stands."""
        text = self.text
        while True:
            match = SKIP.match(text, at)
            at = match.end() if match else at
            if text[at : at + 1] not in hints.ODD_SPACES or at >= len(text):
                return at
            if not self.odd_space:
                self.odd_space = True
                self.report("odd-space", *hints.odd_space(text[at], at))
            at += 1

    def open(
        self, field: FieldType | None, start: int, end: int, opened: int, closer: str, listed: bool = False
    ) -> None:
        kind = message_type(field.message) if field is not None and field.message else None
        self.frame = Frame(kind, field if kind else None, self.frame, start, end, opened, closer, listed)

    def pop(self, end: int) -> None:
        """Ends the open message at ``end``."""
        frame = self.frame
        assert frame.parent is not None
        self.frame = frame.parent
        if frame.type is None or frame.field is None:
            return
        for name in frame.type.required:
            if name not in frame.names() and name not in frame.seen:
                what = f"{self.text[frame.start : frame.head_end]} lacks {name}"
                why = f"{name} is required in a {frame.type.name}"
                self.report("missing-field", what, frame.start, frame.head_end, why, f"{name}: …")
        start, head_end = (frame.opened, frame.opened + 1) if frame.listed else (frame.start, frame.head_end)
        value = Message(frame.type, tuple(frame.entries), self.source, start, head_end, end)
        self.frame.entries.append(Entry(frame.field, value, frame.start, frame.head_end, frame.opened, end))

    def back(self, at: int) -> int:
        """The end of the last token before ``at``."""
        while True:
            at = end_before(self.text, at)
            line = self.text.rfind("\n", 0, at) + 1
            if not COMMENT.match(self.text, line, at):
                return at
            at = line

    def close(self, at: int) -> int:
        frame, char = self.frame, self.text[at]
        if frame.parent is None:
            what = f"unmatched brace '{char}'"
            self.report("stray-brace", what, at, at + 1, "every block above is closed already", "remove it")
            return at + 1
        if char != frame.closer:
            related = ((frame.opened, frame.opened + 1, "opened here"),)
            what = f"'{char}' closes a block that '{'{' if frame.closer == '}' else '<'}' opened"
            self.report("wrong-bracket", what, at, at + 1, "", frame.closer, related)
        listed = frame.listed
        self.pop(at + 1)
        if not listed:
            return at + 1
        begin, end = frame.start, frame.head_end
        at = self.skip(at + 1)
        if self.text[at : at + 1] == "]":
            return at + 1
        if self.text[at : at + 1] == ",":
            at = self.skip(at + 1)
            if self.text[at : at + 1] in ("{", "<"):
                self.open(frame.field, begin, end, at, CLOSER[self.text[at]], listed=True)
                return at + 1
        return self.unclosed_list(frame.opened, at)

    def unclosed_list(self, opened: int, at: int) -> int:
        """Reports a list that goes wrong at ``at``; the offset behind it, or behind what may be its end."""
        related = ((opened, opened + 1, "the list begins here"),)
        behind = self.back(at)
        self.report("unclosed-list", "',' or ']' missing in a list", behind, behind, "", "[1, 2, 3]", related)
        for end in range(at, len(self.text)):
            if self.text[end] in "]{}<>\n":
                return end + 1 if self.text[end] == "]" else behind
        return behind

    def reopen(self, name: str, start: int) -> bool:
        """Whether a layer that begins within another block does so because the braces above are not closed.

        It does when it is the first on its line and stands no deeper than the layer around it. Closes them then.
        """
        frames: list[Frame] = []
        above: Frame | None = self.frame
        while above is not None and name not in above.fields:
            frames.append(above)
            above = above.parent
        if above is None or not frames:
            return False
        column = self.source.position(start)[1]
        if self.text[start - column + 1 : start].strip() or column > self.source.position(frames[-1].start)[1]:
            return False
        at = self._unclosed(frames, start, f"the next {name} begins below")
        while self.frame is not above:
            self.pop(at)
        return True

    def _unclosed(self, frames: list[Frame], at: int, why: str) -> int:
        """Reports messages whose braces are not closed before `at`; the end of the last token there."""
        related = tuple((f.opened, f.opened + 1, "opened here, not closed") for f in frames)
        many = "unclosed brace" if len(frames) == 1 else f"{len(frames)} unclosed braces"
        at = self.back(at)
        self.report("unclosed-brace", many, at, at, why, "}" * len(frames), related)
        return at

    def finish(self, at: int) -> None:
        """The end of the text."""
        frames: list[Frame] = []
        above = self.frame
        while above.parent is not None:
            frames.append(above)
            above = above.parent
        if frames:
            self._unclosed(frames, at, "the text ends here")
