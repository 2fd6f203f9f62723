"""The parts of a Markdown page that the site and the tests look at: fenced blocks, headings, links."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_FENCE = re.compile(r"^(`{3,})([\w+-]*)[ ]*$")
_COMMENT = re.compile(r"^<!-- (.+) -->$")
_HEADING = re.compile(r"^(#{1,6}) (.+?)\s*$")
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)?)\)")
_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, what is in it, the comment above it, and the line of its first fence."""

    line: int
    language: str
    text: str
    marker: str


@dataclass(frozen=True, slots=True)
class Link:
    """A link or, with `image`, a picture: where it leads, and where in the text that stands."""

    target: str
    start: int
    end: int
    image: bool


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page. A comment ``<!-- … -->`` right above, or a blank line before it, is a marker."""
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        found = _FENCE.match(lines[number])
        if found is None:
            number += 1
            continue
        end = next(at for at in range(number + 1, len(lines)) if lines[at] == found[1])
        above = next((line for line in reversed(lines[max(0, number - 2) : number]) if line), "")
        comment = _COMMENT.match(above)
        body = "".join(f"{line}\n" for line in lines[number + 1 : end])
        yield Block(number + 1, found[2], body, comment[1] if comment else "")
        number = end + 1


def prose(text: str) -> str:
    """The page with its blocks and code spans blanked out, character for character."""

    def blank(found: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", found[0])

    without_blocks = re.sub(r"^(`{3,})[^\n`]*\n.*?^\1$", blank, text, flags=re.MULTILINE | re.DOTALL)
    return _CODE.sub(blank, without_blocks)


def links(text: str) -> Iterator[Link]:
    """The links of a page, in order, those in code left out; a link's text may hold code and a picture."""
    shown = prose(text)
    for found in _LINK.finditer(shown):
        yield Link(found[3], found.start(3), found.end(3), bool(found[1]))
        for inner in _LINK.finditer(shown, found.start(2), found.end(2)):
            yield Link(inner[3], inner.start(3), inner.end(3), bool(inner[1]))


def anchors(text: str) -> set[str]:
    """What a link to a heading of the page may say after "#", by GitHub's rule."""
    seen: Counter[str] = Counter()
    found = set()
    inside = False
    for line in text.split("\n"):
        if line.startswith("```"):
            inside = not inside
        heading = None if inside else _HEADING.match(line)
        if heading:
            slug = re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "]", heading[2]).strip().lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return found | set(re.findall(r'<[a-z]+ [^>]*\bid="([^"]+)"', text))


def title(text: str) -> str:
    """The first heading of a page."""
    found = next(found for line in text.split("\n") if (found := _HEADING.match(line)))
    return found[2]
