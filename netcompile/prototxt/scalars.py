"""One value of the text format: a number, a word or a string, checked against its field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netcompile.prototxt import hints
from netcompile.prototxt.lexer import (
    BOOLS,
    DECIMAL,
    FLOAT_WORDS,
    INTEGER,
    NUMBERLIKE,
    STRING,
    TEMPLATE,
    WORD,
    BadEscape,
    end_before,
    unescape,
)
from netcompile.prototxt.schema import INTEGER_BOUNDS, V1_TYPE, Clash, FieldType, enum_type, float32
from netcompile.prototxt.upgrade_tables import v1_type, v2_type

Report = Callable[..., None]
DIGITS = 100  # of a decimal integer that are read


def integer(text: str) -> int:
    """The value of an INTEGER: decimal, 0x…, or octal after a leading 0."""
    if text[:2] in ("0x", "0X"):
        return int(text, 16)
    if text[0] == "0":
        return int(text, 8)
    # Python reads no more than 4300 decimal digits; any number of so many lies outside of every field's range.
    return int(text[:DIGITS])


class Scalars:
    """Reads values of ``text``; mistakes go to ``report``."""

    __slots__ = ("forks", "report", "skip", "text")

    def __init__(self, text: str, report: Report, skip: Callable[[int], int], forks: bool) -> None:
        self.text = text
        self.report = report
        self.forks = forks
        self.skip = skip

    def read(
        self, field: FieldType | None, name: str, at: int, known: dict[str, FieldType], in_list: bool = False
    ) -> tuple[Any, int]:
        """The value at ``at`` and the offset behind it; value None where it is wrong, which is reported then.

        ``field`` None accepts a value of any type. The offset is ``at`` itself where there is no value.
        """
        text = self.text
        char = text[at : at + 1]
        if char and char in "\"'":
            return self._string(field, name, at)
        template = TEMPLATE.match(text, at)
        if template is not None:
            return None, self._template(name, at, template.end())
        start = at
        if char == "-":
            at = self.skip(at + 1)
        number = NUMBERLIKE.match(text, at)
        if number is not None:
            template = TEMPLATE.match(text, number.end())
            if template is not None:
                return None, self._template(name, start, template.end())
            return self._number(field, name, start, number[0], number.end(), char == "-"), number.end()
        word = WORD.match(text, at)
        if word is not None:
            after = self.skip(word.end())
            follows = text[after : after + 1]
            if char != "-" and not in_list and follows in (":", "{") and (follows == ":" or word[0] in known):
                self._missing(field, name, start)
                return None, start
            return self._word(field, name, start, word[0], word.end(), char == "-"), word.end()
        if char and char in hints.SMART_QUOTES:
            end = at + 1
            while end < len(text) and text[end] not in hints.SMART_QUOTES + "\n":
                end += 1
            end = min(end + 1, len(text))
            fixed = text[at + 1 : end].rstrip(hints.SMART_QUOTES + "\n")
            what = f"{name} is in typographic quotes"
            self.report("smart-quotes", what, at, end, "strings stand in \" or '", f'{name}: "{fixed}"')
            return None, end
        if char in ("", "}", ">", "]", ",", ";"):
            self._missing(field, name, start)
            return None, start
        end = start + 1
        while end < len(text) and not text[end].isspace() and text[end] not in "{}[]\"'#,;":
            end += 1
        wants = f"; {name} wants {hints.wanted(field)}" if field is not None else ""
        self.report("unexpected-text", f"unexpected '{text[start:end]}'{wants}", start, end)
        return None, end

    def _missing(self, field: FieldType | None, name: str, at: int) -> None:
        end = end_before(self.text, at)
        example = f"{name}: {hints.example(field)}" if field is not None else f"{name}: …"
        self.report("missing-value", f"{name} has no value", end, end, "", example)

    def _template(self, name: str, start: int, end: int) -> int:
        text = self.text
        while (end < len(text) and (text[end].isalnum() or text[end] in "_.")) or TEMPLATE.match(text, end):
            end += 1
        what = f"an unfilled template: {text[start:end]}"
        self.report("template", what, start, end, hints.TEMPLATE_WHY, hints.TEMPLATE_FIX)
        return end

    def _wrong(self, field: FieldType, start: int, end: int, why: str = "", remedy: str = "") -> None:
        given = self.text[start:end]
        given = given if len(given) <= 60 else given[:57] + "…"
        what = f"{field.name} wants {hints.wanted(field)}, not {given}"
        self.report("wrong-type", what, start, end, why, remedy or f"{field.name}: {hints.example(field)}")

    def _string(self, field: FieldType | None, name: str, at: int) -> tuple[Any, int]:
        text = self.text
        data, start, end = bytearray(), at, at
        good = True
        while at < len(text) and text[at] in "\"'":
            match = STRING.match(text, at)
            if match is None:
                line = text.find("\n", at)
                end = len(text) if line < 0 else line
                end = at + len(text[at:end].rstrip())
                what = "a string that does not end on its line"
                why = "a string ends before its line does; a newline in it is written \\n"
                self.report("unclosed-string", what, at, end, why, f"{text[at]} at its end")
                return None, end
            end = match.end()
            inside = match[0][1:-1]
            while True:
                try:
                    data += unescape(inside)
                    break
                except BadEscape as bad:
                    good = False
                    self._bad_escape(at + 1 + bad.offset, bad)
                    inside = inside[: bad.offset] + " " * bad.length + inside[bad.offset + bad.length :]
            at = self.skip(end)
        if not good or field is None:
            return (None if not good else ""), end
        if field.type == "bytes":
            return bytes(data), end
        if field.type == "string":
            try:
                return data.decode("utf-8"), end
            except UnicodeDecodeError as bad:
                what = f"{name} is not UTF-8 text"
                why = f"byte 0x{data[bad.start]:02x} begins no character"
                self.report("not-utf8", what, start, end, why, "save the file as UTF-8")
                return None, end
        inside = data.decode("utf-8", "replace")
        if field.enum is not None and inside in enum_type(field.enum).numbers:
            self._wrong(field, start, end, "names of values stand without quotes", f"{name}: {inside}")
        elif field.enum == V1_TYPE:
            why = "a `layers` block wants the old names of types; types in quotes belong to `layer`"
            old = v1_type(inside)
            self._wrong(field, start, end, why, f"type: {old}" if old else "layer { … } instead of layers { … }")
        elif inside in BOOLS and field.type == "bool":
            self._wrong(field, start, end, "", f"{name}: {inside}")
        else:
            number = field.enum is None and DECIMAL.fullmatch(inside)
            self._wrong(field, start, end, "", f"{name}: {inside}" if number else "")
        return None, end

    def _bad_escape(self, place: int, bad: BadEscape) -> None:
        end = place + bad.length
        what = f"{self.text[place:end]} in a string: {bad}"
        self.report("bad-escape", what, place, end, "", "a backslash itself is written \\\\")

    def _number(self, field: FieldType | None, name: str, start: int, token: str, end: int, minus: bool) -> Any:
        whole = INTEGER.fullmatch(token)
        if whole is None and DECIMAL.fullmatch(token) is None:
            why = ""
            if token[0] == "0" and token[1:2].isdigit():
                why = "a number that begins with 0 is octal: digits 0 to 7 only, no point"
            self.report("bad-number", f"{self.text[start:end]} is no number", start, end, why)
            return None
        if field is None:
            return 0
        kind = field.type
        if kind in ("float", "double"):
            if DECIMAL.fullmatch(token) is None:
                what = f"{self.text[start:end]} where {name} wants a decimal number"
                self.report("bad-number", what, start, end, "octal and hexadecimal are for whole numbers only")
                return None
            value = float(token.rstrip("fF"))
            value = -value if minus else value
            return float32(value) if kind == "float" else value
        if kind == "string" or kind == "bytes":
            given = self.text[start:end]
            what = f"{name} wants a string in quotes, not {given}"
            self.report("missing-quotes", what, start, end, "", f'{name}: "{given}"')
            return None
        if whole is None:
            self._wrong(field, start, end)
            return None
        number = -integer(token) if minus else integer(token)
        if kind == "bool":
            if minus or number not in (0, 1):
                self._wrong(field, start, end)
                return None
            return bool(number)
        if kind == "enum":
            return self._enum_number(field, start, end, number)
        low, high = INTEGER_BOUNDS[kind]
        if minus and low == 0:
            what = f"{name} must not be negative"
            self.report("out-of-range", what, start, end, f"{kind} holds {low} to {high}")
            return None
        if not low <= number <= high:
            what = f"{name}: {self.text[start:end]} is too {'large' if number > high else 'small'}"
            self.report("out-of-range", what, start, end, f"{kind} holds {low} to {high}")
            return None
        return number

    def _enum_number(self, field: FieldType, start: int, end: int, number: int) -> str | None:
        enum = enum_type(field.enum or "")
        known = enum.names.get(number)
        if known is not None and (self.forks or known not in enum.forks):
            others = [n for n, f in enum.numbers.items() if f == number and n != known]
            if known in enum.forks and others:
                if field.enum == V1_TYPE:
                    return Clash(known, (known, *others))  # the layer around it tells which, when it is upgraded
                what = f"{field.name}: {number} means {', '.join([known, *others])} in different forks"
                self.report("ambiguous-number", what, start, end, "", "write the name instead of the number")
                return None
            return known
        what, why, remedy = hints.unknown_value(str(number), field, enum)
        self.report("unknown-enum-value", what, start, end, why, remedy)
        return None

    def _word(self, field: FieldType | None, name: str, start: int, word: str, end: int, minus: bool) -> Any:
        if field is None:
            if minus and word.lower() not in FLOAT_WORDS:
                self.report("bad-number", f"{self.text[start:end]} is no number", start, end)
                return None
            return ""
        kind = field.type
        if kind in ("float", "double"):
            value = FLOAT_WORDS.get(word.lower())
            if value is not None:
                return -value if minus else value
        elif minus:
            pass
        elif kind == "bool":
            if word in BOOLS:
                return BOOLS[word]
            meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(word.lower(), word.lower())
            self._wrong(field, start, end, "", f"{name}: {meant}" if meant in ("true", "false") else "")
            return None
        elif kind == "enum":
            enum = enum_type(field.enum or "")
            if word in enum.numbers and (self.forks or word not in enum.forks):
                return word
            what, why, remedy = hints.unknown_value(word, field, enum)
            self.report("unknown-enum-value", what, start, end, why, remedy)
            return None
        elif kind in ("string", "bytes"):
            what = f"{name} wants a string in quotes, not {word}"
            fixed = v2_type(word) or word if name == "type" and word in enum_type(V1_TYPE).numbers else word
            self.report("missing-quotes", what, start, end, "", f'{name}: "{fixed}"')
            return None
        self._wrong(field, start, end)
        return None
