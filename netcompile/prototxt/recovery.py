"""The careful way through a text: one token at a time, every mistake reported with its place, then on behind it.

``Careful.step`` reads one field, brace or separator and returns the offset behind it. Recovery follows a few rules:
an unknown field's value is skipped; a wrong value counts as read; a brace of the wrong kind closes all the same;
text that makes no sense is skipped word by word and reported once per run.
"""

from __future__ import annotations

from netcompile.prototxt import hints
from netcompile.prototxt.diagnostic import Diagnostic
from netcompile.prototxt.lexer import CONFLICT, SKIP, TEMPLATE, WORD
from netcompile.prototxt.message import Entry, Message
from netcompile.prototxt.scalars import Scalars
from netcompile.prototxt.schema import FieldType, MessageType, message_type
from netcompile.prototxt.source import Source, Span

LIMIT = 50
DEPTH = 100
_CLOSER = {"{": "}", "<": ">"}


class Stop(Exception):  # noqa: N818 - it ends the reading, it is no error
    """Reading on makes no sense."""


class Frame:
    """A message being read. ``type`` None: a block of an unknown field, in which everything is accepted."""

    __slots__ = (
        "closer", "entries", "field", "fields", "head_end", "listed", "opened", "parent", "seen", "simple", "start",
        "type",
    )  # fmt: skip

    def __init__(
        self,
        type: MessageType | None,
        field: FieldType | None,
        parent: Frame | None,
        start: int,
        head_end: int,
        opened: int,
        closer: str = "}",
        listed: bool = False,
    ) -> None:
        self.type = type
        self.fields: dict[str, FieldType] = type.fields if type is not None else {}
        self.entries: list[Entry] = []
        self.seen: set[str] = set()
        self.field = field
        self.parent = parent
        self.start = start
        self.head_end = head_end
        self.opened = opened
        self.closer = closer
        self.listed = listed
        # whether a plain "}" may end it without a further look
        self.simple = closer == "}" and not listed and type is not None and not type.required


class Careful:
    """The state of one reading: the message open at the moment and what was found."""

    __slots__ = ("depth", "forks", "found", "frame", "junk_end", "once", "scalars", "source", "text")

    def __init__(self, source: Source, root: MessageType, forks: bool) -> None:
        self.source = source
        self.text = source.text
        self.forks = forks
        self.found: list[Diagnostic] = []
        self.frame = Frame(root, None, None, 0, 0, 0)
        self.junk_end = -1
        self.once: set[str] = set()
        self.scalars = Scalars(self.text, self.report, forks)
        if hints.is_web_page(self.text):
            self.report("web-page", "this is a web page, not a net", 0, 1, hints.WEB_WHY, hints.WEB_FIX)

    # -- reporting ------------------------------------------------------------------------------------------------

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
        if len(self.found) >= LIMIT:
            what = f"reading stopped after {LIMIT} mistakes"
            why = "one early mistake often causes many; the rest of the file was not read"
            self.found.append(
                Diagnostic("too-many-mistakes", what, Span(self.source, end, end), why, severity="note")
            )
            raise Stop

    def _junk(self, code: str, what: str, start: int, end: int, why: str = "", remedy: str = "") -> int:
        """Reports text that makes no sense, once for a run of it; the offset behind it."""
        between = self.text[self.junk_end : start] if self.junk_end >= 0 else "x"
        if between.strip():
            self.report(code, what, start, end, why, remedy)
        self.junk_end = end
        return end

    # -- steps ----------------------------------------------------------------------------------------------------

    def _skip(self, at: int) -> int:
        match = SKIP.match(self.text, at)
        return match.end() if match else at

    def step(self, begin: int) -> int:
        """Reads one thing at ``begin``, which is the end of the thing before; the offset behind it."""
        text = self.text
        at = self._skip(begin)
        if at >= len(text):
            return at
        char = text[at]
        if char in "<>=|" and (conflict := CONFLICT.match(text, at)):
            return self._conflict(conflict.start(), conflict.end())
        if char in "}>":
            return self._close(at)
        if char in ",;":
            before = text[begin - 1] if begin else "{"
            if before in ",;{<" and self.junk_end != begin:
                self.report("unexpected-text", f"a stray '{char}'", at, at + 1, hints.SEPARATOR_WHY, "remove it")
            return at + 1
        word = WORD.match(text, at)
        if word is not None and not TEMPLATE.match(text, at):
            return self._field(word[0], at, word.end())
        return self._other(at)

    def _field(self, name: str, start: int, end: int) -> int:
        text, frame = self.text, self.frame
        field = frame.fields.get(name)
        if field is not None and field.fork is not None and not self.forks:
            field = None
        at = self._skip(end)
        char = text[at : at + 1]
        if char in "{<" and field is None and name in ("layer", "layers") and self._reopen(name, start):
            return start
        colon = char == ":"
        if char == "=" and not CONFLICT.match(text, at):
            self.report(
                "equals-sign", f"'=' after '{name}'", at, at + 1, "a value follows a colon", f"{name}: …"
            )
            colon = True
        if colon:
            at = self._skip(at + 1)
            char = text[at : at + 1]
        opens = char != "" and char in "{<" and not text.startswith(("{{", "{%", "<<<<", "<%"), at)
        if not colon and not opens and not (char == "[" and field is not None and field.message):
            return self._no_colon(name, field, start, end, at)
        if frame.type is not None:
            if field is None:
                self._unknown(name, start, end, opens)
                frame = self.frame
                field = frame.fields.get(name)  # known now if the layer around it was opened again
            if field is not None and not field.repeated:
                if name in frame.seen:
                    first = next((e for e in frame.entries if e.field.name == name), None)
                    related = ((first.name_start, first.value_end, "first given here"),) if first else ()
                    why = f"{frame.type.name} has one {name}; Caffe refuses a second"
                    self.report("duplicate-field", f"{name} given twice", start, end, why, "keep one", related)
                frame.seen.add(name)
        if opens:
            return self._open(name, field, start, end, at)
        if char == "[":
            return self._list(name, field, start, end, at)
        if field is not None and field.message is not None:
            what = f"{name} wants a block in braces"
            value, stop = self.scalars.read(None, name, at, frame.fields)
            if stop > at:
                self.report("wrong-type", what, at, stop, f"it is a {field.message}", f"{name} {{ … }}")
            elif value is not None:
                self.report("missing-value", what, end, end, f"it is a {field.message}", f"{name} {{ … }}")
            return stop if stop > at else max(end, self._back(at))
        value, stop = self.scalars.read(field, name, at, frame.fields)
        if value is not None and field is not None:
            frame.entries.append(Entry(field, value, start, end, at, stop))
        return stop if stop > at else max(end, self._back(at))

    def _no_colon(self, name: str, field: FieldType | None, start: int, end: int, at: int) -> int:
        """A name that neither a colon nor a brace follows."""
        text = self.text
        same_line = "\n" not in text[end:at] and at < len(text)
        if field is None:
            if self.frame.type is None and same_line and text[at] in "\"'-0123456789":
                self.report("missing-colon", f"':' missing after '{name}'", end, end, "", f"{name}: …")
                return self.scalars.read(None, name, at, {})[1]
            return self._junk(
                "unexpected-text",
                f"'{name}' is followed by neither ':' nor '{{'",
                start,
                end,
                hints.JUNK_WHY,
                "remove it, or put # before it to make it a comment",
            )
        self.junk_end = -1
        if field.message is not None:
            self.report(
                "missing-brace",
                f"'{{' missing after '{name}'",
                end,
                end,
                f"{name} is a block",
                f"{name} {{ … }}",
            )
            return end
        following = WORD.match(text, at)
        if following is not None and text[self._skip(following.end()) :][:1] in (":", "{"):
            same_line = False
        if not same_line or text[at] in "}>,;":
            self.report("missing-value", f"{name} has no value", start, end, "", f"{name}: {hints.example(field)}")
            return end
        self.report("missing-colon", f"':' missing after '{name}'", end, end, "", f"{name}: …")
        value, stop = self.scalars.read(field, name, at, self.frame.fields)
        if value is not None:
            self.frame.entries.append(Entry(field, value, start, end, at, stop))
        self.frame.seen.add(name)
        return max(stop, at)

    def _unknown(self, name: str, start: int, end: int, opens: bool) -> None:
        """Reports a field that the message does not have."""
        frame = self.frame
        assert frame.type is not None
        layer = frame.entries[-1] if frame.parent is None and frame.entries else None
        if layer is not None and isinstance(layer.value, Message) and name in layer.value.type.fields:
            closed = ((layer.value_end - 1, layer.value_end, f"this closes the {layer.field.name}"),)
            why = f"it belongs into a {layer.field.name}, and the one above is closed already"
            self.report("outside-layer", f"{name} stands outside of any layer", start, end, why, "", closed)
            frame.entries.pop()
            opened = self._frame(layer.field, layer.name_start, layer.name_end, layer.value_start, "}")
            opened.entries = list(layer.value.entries)
            opened.seen = {e.field.name for e in opened.entries if not e.field.repeated}
            return
        if self.junk_end >= 0 and "\n" not in self.text[self.junk_end : start]:
            self.junk_end = end
            return
        what, why, remedy = hints.unknown_field(name, frame.type, opens)
        self.report("unknown-field", what, start, end, why, remedy)

    # -- blocks ---------------------------------------------------------------------------------------------------

    def _frame(self, field: FieldType | None, start: int, end: int, opened: int, closer: str) -> Frame:
        kind = message_type(field.message) if field is not None and field.message else None
        self.frame = Frame(kind, field if kind else None, self.frame, start, end, opened, closer)
        return self.frame

    def _open(self, name: str, field: FieldType | None, start: int, end: int, at: int) -> int:
        char = self.text[at]
        if field is not None and field.message is None:
            what = f"{name} wants {hints.wanted(field)}, not a block"
            self.report("wrong-type", what, at, at + 1, "", f"{name}: {hints.example(field)}")
            field = None
        self._frame(field, start, end, at, _CLOSER[char])
        depth, above = 0, self.frame.parent
        while above is not None:
            depth, above = depth + 1, above.parent
        if depth > DEPTH:
            self.report("too-deep", f"blocks nested more than {DEPTH} deep", at, at + 1, "protobuf's own limit")
            raise Stop
        return at + 1

    def _list(self, name: str, field: FieldType | None, start: int, end: int, at: int) -> int:
        """``[a, b]``: the short form of a repeated field."""
        text, frame = self.text, self.frame
        opened = at
        if field is not None and not field.repeated:
            what = f"{name} wants {hints.wanted(field)}, not a list"
            self.report("wrong-type", what, at, at + 1, f"{name} is given once", f"{name}: {hints.example(field)}")
            field = None
        at = self._skip(at + 1)
        if text[at : at + 1] == "]":
            return at + 1
        if text[at : at + 1] in ("{", "<"):
            if field is not None and field.message is None:
                what = f"{name} wants {hints.wanted(field)}, not a block"
                self.report("wrong-type", what, at, at + 1, "", f"{name}: [{hints.example(field)}]")
                field = None
            self._frame(field, start, end, at, _CLOSER[text[at]]).listed = True
            self.frame.simple = False
            return at + 1
        while at < len(text):
            value, stop = self.scalars.read(field, name, at, frame.fields, in_list=True)
            if field is not None and field.message is not None:
                self.report("wrong-type", f"{name} wants blocks in braces", at, max(stop, at + 1))
            elif value is not None and field is not None:
                frame.entries.append(Entry(field, value, start, end, at, stop))
            at = self._skip(stop)
            if text[at : at + 1] == "]":
                return at + 1
            if text[at : at + 1] != ",":
                break
            at = self._skip(at + 1)
        self._unclosed_list(opened, at)
        return max(end, self._back(at))

    def _unclosed_list(self, opened: int, at: int) -> None:
        related = ((opened, opened + 1, "the list begins here"),)
        at = self._back(at)
        self.report("unclosed-list", "',' or ']' missing in a list", at, at, "", "[1, 2, 3]", related)

    def _close(self, at: int) -> int:
        frame, char = self.frame, self.text[at]
        if frame.parent is None:
            what = f"unmatched brace '{char}'"
            self.report("stray-brace", what, at, at + 1, "every block above is closed already", "remove it")
            return at + 1
        if char != frame.closer:
            related = ((frame.opened, frame.opened + 1, "opened here"),)
            what = f"'{char}' closes a block that '{self.text[frame.opened]}' opened"
            self.report("wrong-bracket", what, at, at + 1, "", frame.closer, related)
        listed = frame.listed
        self._pop(at + 1)
        if not listed:
            return at + 1
        begin, end = frame.start, frame.head_end
        at = self._skip(at + 1)
        if self.text[at : at + 1] == "]":
            return at + 1
        if self.text[at : at + 1] == ",":
            at = self._skip(at + 1)
            if self.text[at : at + 1] in ("{", "<"):
                self._frame(frame.field, begin, end, at, _CLOSER[self.text[at]]).listed = True
                self.frame.simple = False
                return at + 1
        self._unclosed_list(frame.opened, at)
        return self._back(at)

    def _pop(self, end: int) -> None:
        """Ends the open message at ``end``."""
        frame = self.frame
        assert frame.parent is not None
        self.frame = frame.parent
        if frame.type is None or frame.field is None:
            return
        present = {e.field.name for e in frame.entries}
        for name in frame.type.required:
            if name not in present and name not in frame.seen:
                what = f"{self.text[frame.start : frame.head_end]} lacks {name}"
                why = f"{name} is required in a {frame.type.name}"
                self.report("missing-field", what, frame.start, frame.head_end, why, f"{name}: …")
        start, head_end = (frame.opened, frame.opened + 1) if frame.listed else (frame.start, frame.head_end)
        value = Message(frame.type, tuple(frame.entries), self.source, start, head_end, end)
        self.frame.entries.append(Entry(frame.field, value, frame.start, frame.head_end, frame.opened, end))

    def _back(self, at: int) -> int:
        """The end of the last token before ``at``."""
        text = self.text[:at]
        while True:
            text = text.rstrip()
            line = text.rfind("\n") + 1
            if not text[line:].lstrip().startswith("#"):
                return len(text)
            text = text[:line]

    def _reopen(self, name: str, start: int) -> bool:
        """A layer that begins within another block: the braces above are not closed. Closes them."""
        frames, above = [], self.frame
        while above is not None and name not in above.fields:
            frames.append(above)
            above = above.parent  # type: ignore[assignment]
        if above is None or not frames or self.source.line(self.source.position(start)[0]).find(name) < 0:
            return False
        related = tuple((f.opened, f.opened + 1, "opened here, not closed") for f in frames)
        many = "unclosed brace" if len(frames) == 1 else f"{len(frames)} unclosed braces"
        at = self._back(start)
        self.report("unclosed-brace", many, at, at, f"the next {name} begins below", "}" * len(frames), related)
        while self.frame is not above:
            self._pop(at)
        return True

    def finish(self, at: int) -> None:
        """The end of the text."""
        frames, above = [], self.frame
        while above is not None and above.parent is not None:
            frames.append(above)
            above = above.parent
        if frames:
            related = tuple((f.opened, f.opened + 1, "opened here, not closed") for f in frames)
            many = "unclosed brace" if len(frames) == 1 else f"{len(frames)} unclosed braces"
            at = self._back(at)
            self.report("unclosed-brace", many, at, at, "the text ends here", "}" * len(frames), related)

    # -- what is no field -----------------------------------------------------------------------------------------

    def _conflict(self, start: int, end: int) -> int:
        """A merge-conflict marker: reported once per conflict, whose second version is skipped."""
        text = self.text
        kind = text[start]
        if kind == "<":
            self.report("merge-conflict", "an unresolved merge conflict", start, end, hints.CONFLICT_WHY, hints.CONFLICT_FIX)
            self.once.add("conflict")
            return end
        if "conflict" not in self.once:
            self.report("merge-conflict", "a merge-conflict marker", start, end, hints.CONFLICT_WHY, hints.CONFLICT_FIX)
        if kind in "=|":
            for marker in CONFLICT.finditer(text, end):
                if marker[0][0] == ">":
                    self.once.discard("conflict")
                    return marker.end()
        self.once.discard("conflict")
        return end

    def _other(self, at: int) -> int:
        """Anything that can begin no field."""
        text, char = self.text, self.text[at]
        template = TEMPLATE.match(text, at)
        if template is not None:
            what = f"an unfilled template: {template[0]}"
            self.report("template", what, at, template.end(), hints.TEMPLATE_WHY, hints.TEMPLATE_FIX)
            return template.end()
        if char == "<" and hints.is_tag(text, at):
            self.report("web-page", "a piece of a web page", at, at + 1, hints.WEB_WHY, hints.WEB_FIX)
        if text.startswith(("//", "/*"), at):
            end = text.find("\n", at) if text[at + 1] == "/" else text.find("*/", at) + 2
            end = end if end > at + 1 else len(text)
            self.report("c-comment", f"a comment in the style of C: {text[at : at + 2]}", at, at + 2, "", "# …")
            return end
        if char == "[":
            end = text.find("]", at) + 1 or at + 1
            what = f"{text[at:end]} names an extension"
            self.report("extension", what, at, end, "Caffe's schema has no extensions and no Any", "remove it")
            after = self._skip(end)
            if text[after : after + 1] == ":":
                after = self._skip(after + 1)
            if text[after : after + 1] in ("{", "<"):
                self._frame(None, at, end, after, _CLOSER[text[after]])
                return after + 1
            return self.scalars.read(None, "", after, {})[1]
        if char in "{<":
            self.report("unexpected-text", "a block without a name", at, at + 1, "", "layer { … }")
            self._frame(None, at, at, at, _CLOSER[char])
            return at + 1
        if char in "\"'" or char.isdigit() or char in "-.":
            _, end = self.scalars.read(None, "", at, {})
            end = max(end, at + 1)
            return self._junk("unexpected-text", f"{text[at:end]} without a name before it", at, end, "", "name: …")
        if char in hints.ODD_SPACES:
            end = at + 1
            while text[end : end + 1] in hints.ODD_SPACES and end < len(text):
                end += 1
            if "space" not in self.once:
                self.once.add("space")
                self.report("odd-space", *hints.odd_space(char, at, end))
            return end
        end = at + 1
        while end < len(text) and not text[end].isspace() and text[end] not in "{}<>[]\"'#" and not text[end].isalnum():
            end += 1
        shown = text[at:end]
        return self._junk("unexpected-text", f"unexpected '{shown}'", at, end, hints.JUNK_WHY, "remove it")
