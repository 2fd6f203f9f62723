"""Text of a file made safe to show: whatever would steer a terminal, or show nothing, becomes an escape.

That is every character that `str.isprintable` refuses (control characters, line and paragraph separators, format
characters such as the bidirectional ones, lone surrogates, unassigned and private code points, spaces other than " ")
and those that it lets through although Unicode asks to show nothing for them (`Default_Ignorable_Code_Point`).
"""

from __future__ import annotations

import re

# Default-ignorable code points that are letters or marks: joiners, fillers, selectors of variants.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
_LINES = re.compile(r"\r?\n|\t")  # what `visible_text` keeps


def is_visible(text: str) -> bool:
    """Whether every character of a text shows on a terminal and does nothing else.

    >>> is_visible("é 中"), is_visible("\\t"), is_visible("\\u202e"), is_visible("\\ufe0f")
    (True, False, False, False)
    """
    return text.isprintable() and (text.isascii() or _BLANK.search(text) is None)


def visible(text: str) -> str:
    """``text`` with what is not visible written as Python's escapes, line ends too: one line, safe on a terminal.

    >>> visible("a\\x1b[31m\\nb\\u202e")
    'a\\\\x1b[31m\\\\nb\\\\u202e'
    """
    if is_visible(text):
        return text
    return "".join(c if is_visible(c) else c.encode("unicode_escape").decode("ascii") for c in text)


def visible_text(text: str) -> str:
    """The same for a text of many lines, which keeps its line ends and tabs.

    >>> visible_text("a\\tb\\r\\nc\\r\\x07")
    'a\\tb\\r\\nc\\\\r\\\\x07'
    """
    if is_visible(text.replace("\r\n", "").replace("\n", "").replace("\t", "")):
        return text
    parts, at = [], 0
    for kept in _LINES.finditer(text):
        parts += [visible(text[at : kept.start()]), kept[0]]
        at = kept.end()
    return "".join([*parts, visible(text[at:])])


def dotted(text: str) -> str:
    """One visible character for every character, so that a caret below stays in place: U+FFFD for the others.

    >>> dotted("a\\tb\\x1b")
    'a b\ufffd'
    """
    if is_visible(text):
        return text
    return "".join(c if is_visible(c) else " " if c == "\t" else "\ufffd" for c in text)


def visible_json(text: str) -> str:
    """A JSON text with what is not visible in its strings written as JSON's escapes: it reads back as the same values.

    >>> visible_json('["\\x9b", "\\U000e0001"]')
    '["\\\\u009b", "\\\\udb40\\\\udc01"]'
    """
    if is_visible(text.replace("\n", "")):
        return text
    return "".join([c if c == "\n" or is_visible(c) else _json_escape(c) for c in text])


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
