"""protobuf's own text parser as the judge of ours, and where C++ (Caffe's parser) decides otherwise.

Caffe reads nets with protobuf's C++ text parser. Python's is nearly the same; where they differ, ours does
as C++:

| text | Python | C++ and ours | here |
|---|---|---|---|
| ``- 3``, ``-`` and its number apart | refused | accepted | minus-apart |
| ``bias_term: 0x1``, ``01`` | refused | accepted, any integer 0 or 1 | integer-bool |
| ``pool: 01`` | refused | accepted, octal | octal-enum |
| ``"\\?"``, ``"\\u00e9"``, ``"\\X41"`` | other bytes, or refused | as in C | escapes |
| ``+3``, ``1_000``, ``0b1``, ``0o7``, ``1ff``, ``inff`` | accepted | refused | python-number |
| ``num_output: -0`` | accepted | refused, no minus for unsigned | minus-zero |
| ``"\\q"``, ``"\\N{DOT}"``, ``"\\400"`` | accepted | refused | escapes |
| a no-break space, ``\\x1c``, ``\\x85`` between tokens | accepted | refused | odd-space |
| ``pool: 4294967296`` | accepted, as 0 | refused | wide-enum |
| ``clip_param { min: 0 }`` | accepted | refused, max is required | missing-field |

Our own addition: fields and enum values of well-known forks, which the descriptors here have too.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

from google.protobuf import text_format

from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.prototxt.descriptors import from_protobuf, message_class
from netcompile.prototxt.message import Message
from netcompile.prototxt.parser import parse
from netcompile.prototxt.printer import to_text

_ESCAPE = re.compile(r"\\[^abfnrtv0-7xX'\"\\]|\\[4-7][0-7][0-7]|\\X|\\x(?![0-9a-fA-F])|\\[uU]")
_HIGH = re.compile(r"\\(?:[23][0-7][0-7]|[xX][89a-fA-F])")
_PYTHON_NUMBER = re.compile(r"\+|\d_|0[bBoO]|[fF]{2}|(?i:inff|inityf|nanf)")
_OURS = {
    "minus-apart": re.compile(r"-(?:\s|#)"),
    "integer-bool": re.compile(r":\s*(?:0[xX]?0*[01]?|0+[01])\b|[\[,]\s*0"),
    "octal-enum": re.compile(r"\b0[0-7]+\b"),
    "escapes": _ESCAPE,
    "latin-escapes": _HIGH,
}
_ODD = re.compile("[\x1c-\x1f\x85\xa0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000]")


def theirs(text: str, root: str = "NetParameter") -> Message | str:
    """What Python's text_format makes of a text: a message, or why not."""
    made: Any = message_class(root)()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            text_format.Parse(text, made)
        except text_format.ParseError as error:
            return str(error)
        except (UnicodeError, ValueError) as error:  # text_format lets some of these through
            return f"{type(error).__name__}: {error}"
    return from_protobuf(made)


def ours(text: str, root: str = "NetParameter") -> Message | NetError:
    """What our parser makes of it. Asserts that its two ways agree to the last finding."""
    source = Source(text)
    results: list[Message | NetError] = []
    for fast in (True, False):
        try:
            results.append(parse(source, root, fast=fast))
        except NetError as error:
            results.append(error)
    short, careful = results[0], results[1]
    if isinstance(short, NetError):
        assert isinstance(careful, NetError), f"only the short way refuses {text!r}: {short}"
        assert short.diagnostics == careful.diagnostics, f"the ways differ:\n{short}\n---\n{careful}"
        for finding in short.diagnostics:
            assert finding.span is not None
            assert 0 <= finding.span.start <= finding.span.end <= len(source.text), finding
            assert finding.format()
    else:
        assert not isinstance(careful, NetError), f"only the careful way refuses {text!r}: {careful}"
        assert short == careful, text
        assert [places(e) for e in short] == [places(e) for e in careful], text
    return short


def places(entry: Any) -> object:
    """The offsets of an entry and of all within it."""
    inner = [places(e) for e in entry.value] if isinstance(entry.value, Message) else None
    return entry.field.name, entry.name_start, entry.name_end, entry.value_start, entry.value_end, inner


def disagreement(text: str, root: str = "NetParameter") -> str | None:
    """None where both agree, else the name of the documented difference, or "?" and both verdicts."""
    mine, other = ours(text, root), theirs(text, root)
    if isinstance(mine, NetError):
        if isinstance(other, str):
            return None
        names = {_refused(d.code, d.span.text if d.span else "", text) for d in mine.diagnostics}
        if None in names:
            return f"? only ours refuses\n{mine}"
        return ", ".join(sorted(str(n) for n in names))
    if isinstance(other, str):
        # what we accept must be a message that they accept when it is written plainly
        plain = theirs(to_text(mine), root)
        found = [name for name, pattern in _OURS.items() if pattern.search(text)]
        if not found or isinstance(plain, str) or plain != mine:
            return f"? only theirs refuses: {other}"
        return found[0]
    if mine != other:
        return "escapes" if _ESCAPE.search(text) else f"? messages differ:\n{mine}\n{other}"
    return None


def _refused(code: str, at: str, text: str) -> str | None:
    """The documented difference behind one of our findings in a text that Python accepts."""
    if code == "missing-field":
        return "missing-field"
    if code == "unknown-enum-value" and re.fullmatch(r"-?[0-9]{10,}|-?0[xX][0-9a-fA-F]{8,}", at):
        return "wide-enum"
    if code == "out-of-range" and re.fullmatch(r"-\s*0[0xX]*", at):
        return "minus-zero"
    if code == "bad-escape" or (code in ("not-utf8", "too-many-mistakes") and _ESCAPE.search(text)):
        return "escapes"
    if _ODD.search(text) and code in ("odd-space", "unexpected-text", "missing-value", "bad-number"):
        return "odd-space"
    if _PYTHON_NUMBER.search(text) and code in (
        *("bad-number", "unexpected-text", "missing-value", "wrong-type", "unknown-enum-value"),
        *("unclosed-list", "out-of-range"),
    ):
        return "python-number"
    return None
