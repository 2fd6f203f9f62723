"""The careful way through a text: token by token, every mistake reported with its place, then on behind it.

``Careful.step`` reads one field, brace or separator and returns the offset behind it. Recovery follows few rules:
an unknown field's value is skipped; a wrong value counts as read; a brace of the wrong kind closes all the same;
text that makes no sense is skipped word by word and reported once per run.
"""

from __future__ import annotations

from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.diagnostics.nearest import Hints
from netcompile.diagnostics.source import Source, Span
from netcompile.prototxt import hints
from netcompile.prototxt.lexer import CONFLICT, NUMBERLIKE, STRING, TEMPLATE, WORD
from netcompile.prototxt.message import Entry, Message
from netcompile.prototxt.scalars import Scalars
from netcompile.prototxt.schema import FieldType, MessageType, message_type
from netcompile.prototxt.structure import CLOSER, DEPTH, Stop, Structure


class Careful(Structure):
    """One reading of a text."""

    __slots__ = ("closed", "conflicts", "forks", "hints", "junk_end", "scalars")

    def __init__(self, source: Source, root: MessageType, forks: bool) -> None:
        super().__init__(source, root)
        self.forks = forks
        self.junk_end = -1
        self.conflicts = 0  # that are open
        self.closed = -1  # where the last marker stands that ends a conflict; -1: not looked for
        self.hints = Hints()
        self.scalars = Scalars(self.text, self.report, self.skip, forks)
        if hints.is_web_page(self.text):
            what, place = "this is a web page, not a net", Span(source, 0, 1)
            self.found.append(Diagnostic("web-page", what, place, hints.WEB_WHY, hints.WEB_FIX))

    def _junk(self, what: str, start: int, end: int, why: str, remedy: str) -> int:
        """Reports text that makes no sense, once for a run of it; the offset behind it."""
        between = self.text[self.junk_end : start] if self.junk_end >= 0 else "x"
        if between.strip():
            self.report("unexpected-text", what, start, end, why, remedy)
        self.junk_end = end
        return end

    def step(self, begin: int) -> int:
        """Reads one thing at ``begin``, which is the end of the thing before; the offset behind it."""
        text = self.text
        at = self.skip(begin)
        if at >= len(text):
            return at
        char = text[at]
        if char in "<>=|" and (conflict := CONFLICT.match(text, at)):
            return self._conflict(conflict.start(), conflict.end())
        if char in "}>":
            return self.close(at)
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
        at = self.skip(end)
        char = text[at : at + 1]
        if char in "{<" and field is None and name in ("layer", "layers") and self.reopen(name, start):
            return start
        colon = char == ":"
        if char == "=" and not CONFLICT.match(text, at):
            self.report("equals-sign", f"'=' after '{name}'", at, at + 1, "a value follows a colon", f"{name}: …")
            colon = True
        if colon:
            at = self.skip(at + 1)
            char = text[at : at + 1]
        opens = char != "" and char in "{<" and not TEMPLATE.match(text, at) and not CONFLICT.match(text, at)
        if not colon and not opens and not (char == "[" and field is not None and field.message):
            return self._no_colon(name, field, start, end, at)
        if frame.type is not None:
            if field is None:
                self._unknown(name, start, end, opens)
                if self.frame is not frame:  # the layer around it was opened again, and knows it
                    frame = self.frame
                    field = frame.fields.get(name)
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
            _, stop = self.scalars.read(None, name, at, frame.fields)
            if stop > at:
                what = f"{name} wants a block in braces"
                self.report("wrong-type", what, at, stop, f"it is a {field.message}", f"{name} {{ … }}")
            return stop if stop > at else max(end, self.back(at))
        value, stop = self.scalars.read(field, name, at, frame.fields)
        if value is not None and field is not None:
            frame.entries.append(Entry(field, value, start, end, at, stop))
        return stop if stop > at else max(end, self.back(at))

    def _no_colon(self, name: str, field: FieldType | None, start: int, end: int, at: int) -> int:
        """A name that neither a colon nor a brace follows."""
        text = self.text
        same_line = "\n" not in text[end:at] and at < len(text)
        if field is None:
            if self.frame.type is None and same_line and text[at] in "\"'-0123456789":
                self.report("missing-colon", f"':' missing after '{name}'", end, end, "", f"{name}: …")
                return self.scalars.read(None, name, at, {})[1]
            what, remedy = (
                f"'{name}' is followed by neither ':' nor '{{'",
                "remove it, or put # before it to make it a comment",
            )
            return self._junk(what, start, end, hints.JUNK_WHY, remedy)
        self.junk_end = -1
        if field.message is not None:
            what = f"'{{' missing after '{name}'"
            self.report("missing-brace", what, end, end, f"{name} is a block", f"{name} {{ … }}")
            word = WORD.match(text, at)
            if word is not None and word[0] in message_type(field.message).fields:
                if not field.repeated:
                    self.frame.seen.add(name)
                self.open(field, start, end, start, "}")
            return end
        following = WORD.match(text, at)
        if following is not None and text[self.skip(following.end()) :][:1] in (":", "{"):
            same_line = False
        if not same_line or text[at] in "}>,;":
            if field.required:  # it is there, and what is wrong with it is told
                self.frame.seen.add(name)
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
        layer = frame.entries[-1] if frame.parent is None and frame.entries else None
        if layer is not None and isinstance(layer.value, Message) and name in layer.value.type.fields:
            closed = ((layer.value_end - 1, layer.value_end, f"this closes the {layer.field.name}"),)
            why = f"it belongs into a {layer.field.name}, and the one above is closed already"
            self.report("outside-layer", f"{name} stands outside of any layer", start, end, why, "", closed)
            frame.entries.pop()
            self.open(layer.field, layer.name_start, layer.name_end, layer.value_start, "}")
            self.frame.entries = list(layer.value.entries)
            self.frame.seen = {e.field.name for e in layer.value.entries if not e.field.repeated}
            return
        if self.junk_end >= 0 and "\n" not in self.text[self.junk_end : start]:
            self.junk_end = end
            return
        what, why, remedy = hints.unknown_field(name, frame.type, opens, frame.names(), self.hints)
        self.report("unknown-field", what, start, end, why, remedy)

    def _open(self, name: str, field: FieldType | None, start: int, end: int, at: int) -> int:
        char = self.text[at]
        if field is not None and field.message is None:
            what = f"{name} wants {hints.wanted(field)}, not a block"
            self.report("wrong-type", what, at, at + 1, "", f"{name}: {hints.example(field)}")
            field = None
        self.open(field, start, end, at, CLOSER[char])
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
        at = self.skip(at + 1)
        if text[at : at + 1] == "]":
            return at + 1
        if text[at : at + 1] in ("{", "<"):
            if field is not None and field.message is None:
                what = f"{name} wants {hints.wanted(field)}, not a block"
                self.report("wrong-type", what, at, at + 1, "", f"{name}: [{hints.example(field)}]")
                field = None
            self.open(field, start, end, at, CLOSER[text[at]], listed=True)
            return at + 1
        blocks = field is not None and field.message is not None
        while at < len(text):
            value, stop = self.scalars.read(None if blocks else field, name, at, frame.fields, in_list=True)
            if blocks:
                self.report("wrong-type", f"{name} wants blocks in braces", at, max(stop, at + 1))
            elif value is not None and field is not None:
                frame.entries.append(Entry(field, value, start, end, at, stop))
            at = self.skip(stop)
            if text[at : at + 1] == "]":
                return at + 1
            if text[at : at + 1] != ",":
                break
            at = self.skip(at + 1)
        return self.unclosed_list(opened, at)

    def _conflict(self, start: int, end: int) -> int:
        """A merge-conflict marker: reported once per conflict, whose second version is skipped."""
        kind = self.text[start]
        if self.conflicts == 0:
            what = "an unresolved merge conflict" if kind == "<" else "a merge-conflict marker"
            self.report("merge-conflict", what, start, end, hints.CONFLICT_WHY, hints.CONFLICT_FIX)
        if kind == "<":
            self.conflicts += 1
            return end
        self.conflicts = max(0, self.conflicts - 1)
        if kind == ">":
            return end
        if self.closed < 0:
            self.closed = max((m.start() for m in CONFLICT.finditer(self.text, end) if m[0][0] == ">"), default=0)
        if self.closed < end:
            return end
        depth = 0
        for marker in CONFLICT.finditer(self.text, end):
            if marker[0][0] == "<":
                depth += 1
            elif marker[0][0] == ">":
                if depth == 0:
                    return marker.end()
                depth -= 1
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
            after = self.skip(end)
            if text[after : after + 1] == ":":
                after = self.skip(after + 1)
            if text[after : after + 1] in ("{", "<"):
                self.open(None, at, end, after, CLOSER[text[after]])
                return after + 1
            return self.scalars.read(None, "", after, {})[1]
        if char in "{<":
            self.report("unexpected-text", "a block without a name", at, at + 1, "", "layer { … }")
            self.open(None, at, at, at, CLOSER[char])
            return at + 1
        if char == "]" and self.frame.listed:
            related = ((self.frame.opened, self.frame.opened + 1, "opened here, not closed"),)
            self.report("unclosed-brace", "unclosed brace", at, at, "its list ends here", "}", related)
            self.pop(at)
            return at + 1
        value = STRING.match(text, at) or NUMBERLIKE.match(text, at + (char == "-"))
        if value is not None:
            shown = text[at : value.end()]
            what = f"{shown} without a name before it"
            return self._junk(what, at, value.end(), "", f"name: {shown}")
        end = at + 1
        while end < len(text) and not text[end].isspace() and text[end] not in "{}<>[]\"'#" and not text[end].isalnum():
            end += 1
        shown = text[at:end]
        return self._junk(f"unexpected '{shown}'", at, end, hints.JUNK_WHY, "remove it")
