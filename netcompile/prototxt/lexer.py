"""The patterns of protobuf's text format, as its C++ tokenizer reads it, and the values of its literals.

One pattern, ``FIELD``, matches a whole ordinary field (``name: "x"``, ``name: 3``, ``name {``) or a closing brace
at once: nearly every line of a net is one match. What it does not match is read token by token with the others.
"""

from __future__ import annotations

import re

_SPACE = r"[ \t\r\n\v\f]"
_SKIP = rf"(?:{_SPACE}++|\#[^\n]*+)*+"

# groups: 1 name; then one of 2 string, 3 number, 4 word, 5 opening brace; or 6 closing brace
FIELD = re.compile(
    rf"""{_SKIP}(?:
        ([A-Za-z_]\w*+)[ \t]*+(?:
            :[ \t]*+(?:
                ("[^"\\\n]*+"|'[^'\\\n]*+')(?={_SKIP}[!\#-&(-~])
              | (-?(?:0|[1-9]\d*+)(?:\.\d*+)?(?:[eE][+-]?\d++)?)(?![\w.+\-${{%@])
              | ([A-Za-z_]\w*+)(?!{_SKIP}(?:[:{{]|[^\x00-\x7f]))
            )
          | :?[ \t]*+(\{{)(?![{{%])
        )
      | (\}})
    )(?:[ \t]*+[,;])?""",
    re.VERBOSE | re.ASCII,
)
SKIP = re.compile(_SKIP, re.VERBOSE)
COMMENT = re.compile(rf"{_SPACE}*+\#")
WORD = re.compile(r"[A-Za-z_]\w*+", re.ASCII)
STRING = re.compile(r"""(?s:"(?:[^"\\\n]|\\[^\n])*+"|'(?:[^'\\\n]|\\[^\n])*+')""")
# what stands where a number begins, up to where another token could begin; checked further by NUMBER
NUMBERLIKE = re.compile(r"(?:[0-9]|\.[0-9])(?:[eE][+-][0-9]|\w|\.)*+", re.ASCII)
INTEGER = re.compile(r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*")
DECIMAL = re.compile(r"(?:0|[1-9][0-9]*|(?=\.[0-9]))(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?[fF]?")
TEMPLATE = re.compile(
    # bounded, since a text is looked at for a template at any of its characters
    r"\$\{[^{}\n]{0,200}\}|\$\([^()\n]{0,200}\)|\$\w+|\{\{[^{}\n]{0,200}\}\}|\{%[^\n]{0,200}?%\}"
    r"|%\(\w{1,200}\)\w|%[sdifg]\b|<%[^\n]{0,200}?%>|@\w{1,200}@"
)
CONFLICT = re.compile(r"(?m)^(?:<{7}|={7}|>{7}|\|{7})(?: [^\n]*)?\r?$")
ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)

BOOLS = {"true": True, "t": True, "True": True, "false": False, "f": False, "False": False}
FLOAT_WORDS = {"inf": float("inf"), "infinity": float("inf"), "nan": float("nan")}
_SIMPLE = {
    "a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "?": 63, "'": 39, '"': 34,
}  # fmt: skip


def end_before(text: str, at: int) -> int:
    """The end of what is no space before ``at``."""
    while at > 0:
        begin = max(0, at - 4096)
        kept = len(text[begin:at].rstrip())
        if kept:
            return begin + kept
        at = begin
    return 0


class BadEscape(ValueError):
    """An escape sequence that is none; ``offset`` is from the start of the text given."""

    def __init__(self, offset: int, length: int, why: str) -> None:
        super().__init__(why)
        self.offset = offset
        self.length = length


def unescape(text: str) -> bytes:
    """The bytes of a string literal's inside. ``\\u`` gives UTF-8; two ``\\u`` surrogates give one character.

    Lone surrogates U+DC80..U+DCFF of ``text`` (undecodable bytes of the file) give back their byte. Raises BadEscape.
    """
    out = bytearray()
    at = 0
    high = 0  # a \\u high surrogate waiting for its low half
    for match in ESCAPE.finditer(text):
        if high and (match.start() != at or match[3] is None):
            raise BadEscape(at - 6, 6, "half of a surrogate pair")
        out += text[at : match.start()].encode("utf-8", "surrogateescape")
        at = match.end()
        octal, hexadecimal, short, long, simple = match.groups()
        if octal:
            value = int(octal, 8)
            if value > 255:
                raise BadEscape(match.start(), match.end() - match.start(), "octal escapes end at \\377")
            out.append(value)
        elif hexadecimal:
            out.append(int(hexadecimal, 16))
        elif short or long:
            point = int(short or long, 16)
            if high:
                if not 0xDC00 <= point <= 0xDFFF:
                    raise BadEscape(match.start() - 6, 6, "half of a surrogate pair")
                point = 0x10000 + ((high - 0xD800) << 10) + (point - 0xDC00)
                high = 0
            elif short and 0xD800 <= point <= 0xDBFF:
                high = point
                continue
            if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
                raise BadEscape(match.start(), match.end() - match.start(), "no such Unicode character")
            out += chr(point).encode()
        elif simple in _SIMPLE:
            out.append(_SIMPLE[simple])
        else:
            raise BadEscape(match.start(), match.end() - match.start(), "no such escape sequence")
    if high:
        raise BadEscape(at - 6, 6, "half of a surrogate pair")
    out += text[at:].encode("utf-8", "surrogateescape")
    return bytes(out)
