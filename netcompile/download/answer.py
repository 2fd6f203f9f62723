"""What a server says about a file, and what it must not be: a web page, a pointer of git-lfs, packed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http.client import HTTPResponse

from netcompile.diagnostics.diagnostic import refuse

HEAD = 512  # bytes that tell a page
_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head|body|title|script)\b", re.I | re.S
)
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_BY_HAND = "open it in a browser, which may ask something first; then save the file itself under that name"


@dataclass(frozen=True, slots=True)
class Answer:
    """The first byte that is sent, the bytes of the whole file (None where they are not said), and its version."""

    start: int
    total: int | None
    tag: str  # a strong ETag, or ""
    modified: str

    @property
    def version(self) -> str:
        """What If-Range takes: changes whenever the file does. "" where the server gives none."""
        return self.tag or self.modified


def answer_of(response: HTTPResponse, address: str) -> Answer:
    """What the headers of a 200 or 206 say. Raises NetError for what is no file, or no part that was asked for."""
    kind = response.headers.get_content_type()
    if kind in ("text/html", "application/xhtml+xml"):
        refuse("web-page", f"{address} is a web page, not a file", why=f"its type is {kind}", remedy=_BY_HAND)
    packed = response.headers.get("Content-Encoding", "identity").strip().lower()
    if packed not in ("", "identity"):
        refuse("download", f"{address} is sent packed ({packed}), although that was not asked for")
    tag = response.headers.get("ETag", "").strip()
    tag = "" if tag.startswith("W/") or not tag.isprintable() else tag  # weak ones do not say that bytes are the same
    modified = response.headers.get("Last-Modified", "").strip()
    start, total = 0, response.length
    if response.status == 206:
        found = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if found is None:
            refuse("download", f"{address}: the server sends a part of the file and does not say which")
        start, total = int(found[1]), None if found[3] == "*" else int(found[3])
    elif response.status != 200:
        refuse("download", f"{address}: the server answers {response.status}, and not with the file")
    return Answer(start, total, tag, modified if modified.isprintable() else "")


def refuse_page(head: bytes, address: str) -> None:
    """Raises NetError if the first bytes of a file are those of a web page, or of a pointer of git-lfs."""
    if _PAGE.match(head):
        refuse("web-page", f"{address} gives a web page, not a file", why="it begins as HTML does", remedy=_BY_HAND)
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        remedy = (
            "its repository has a page for the file, whose download button leads to the file itself: give that address"
        )
        refuse("lfs-pointer", f"{address} gives git-lfs's note where the file is, not the file", remedy=remedy)
