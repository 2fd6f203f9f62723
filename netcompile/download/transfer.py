"""Fetching one file: what is there already is kept and gone on from, and what is not as promised is never kept."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha1, sha256
from http.client import HTTPException, HTTPResponse
from typing import NoReturn
from urllib.error import HTTPError, URLError

from netcompile.diagnostics.diagnostic import refuse
from netcompile.diagnostics.text import bytes_text, shortened
from netcompile.download.address import checked, opened
from netcompile.download.answer import HEAD, Answer, answer_of, refuse_page
from netcompile.files.limits import require_disk
from netcompile.files.reading import open_file
from netcompile.files.resumed import Beginning, write_all
from netcompile.progress import Progress

MOST = (1 << 31) - 1  # bytes: protobuf, and so Caffe, reads no larger caffemodel
RETRIES = 4
TIMEOUT = 20.0  # seconds
SLOWEST = 1000  # bytes a second, on the average of a timeout
_CHUNK = 1 << 20
_ATTEMPTS = 100  # for a connection that breaks again and again, each time somewhat later
_AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))
_PAUSE, _LONGEST_PAUSE = 0.5, 30.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file on the web, and what is known of it: SHA-1, SHA-256 ("" where not known) and bytes.

    `by` says who gave the hashes, `remedy` what to do if the file has others; `most` bytes are read where its size is
    not known.
    """

    url: str
    sha1: str = ""
    sha256: str = ""
    size: int | None = None
    by: str = ""
    remedy: str = ""
    most: int = MOST

    @property
    def judged(self) -> bool:
        """Whether a hash tells if a file is the right one."""
        return bool(self.sha1 or self.sha256)

    def fits(self, found: Digests) -> bool:
        """Whether a file with these hashes is the one that is wanted, as far as is known."""
        return (not self.sha1 or found.sha1 == self.sha1) and (not self.sha256 or found.sha256 == self.sha256)


@dataclass(frozen=True, slots=True)
class Digests:
    """A file's bytes, SHA-1 and SHA-256."""

    size: int
    sha1: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Manner:
    """How a server is asked: seconds without an answer, further attempts (half as many where it is slow), and what is
    told to the user.
    """

    say: Callable[[str], None]
    timeout: float = TIMEOUT
    retries: int = RETRIES


class Interrupted(Exception):
    """The transfer ended too early, and why; another attempt may get further, `after` seconds from now at the soonest.

    `slow`: it ended because nothing, or nearly nothing, came.
    """

    def __init__(self, why: str, after: float = 0.0, slow: bool = False) -> None:
        super().__init__(why)
        self.after, self.slow = after, slow


def fetch(wanted: Wanted, begun: Beginning, manner: Manner) -> Digests:
    """Get the file to its place, over what is there. What was received is kept in `begun` where this fails half-way.

    Raises NetError where the server does not give the file, or another one than is wanted; OSError where it cannot be
    written.
    """
    while True:
        told_whole = _receive_all(wanted, begun, manner)
        joined = begun.note().get("joined") == "yes"
        found = digests(begun.path, f"checking {os.path.basename(begun.target)}")
        if wanted.fits(found):
            break
        begun.discard()
        if not joined:
            _refuse_other(wanted, found)
        manner.say(f"{begun.target} was put together of parts that do not fit: it is fetched from the beginning")
    if not told_whole and not wanted.judged:
        manner.say(f"the server did not say how long {begun.target} is: whether it is whole is not known")
    begun.finish()
    return found


def digests(path: str, what: str) -> Digests:
    """The hashes of a file. Raises OSError; NetError for what is no file."""
    first, second, size = sha1(usedforsecurity=False), sha256(), 0
    with open_file(path) as file, Progress(os.fstat(file.fileno()).st_size, what, unit="bytes") as progress:
        while block := file.read(_CHUNK):
            first.update(block)
            second.update(block)
            size += len(block)
            progress.step(len(block))
    return Digests(size, first.hexdigest(), second.hexdigest())


def _refuse_other(wanted: Wanted, found: Digests) -> NoReturn:
    kind, want, got = ("SHA-256", wanted.sha256, found.sha256)
    if not wanted.sha256 or want == got:
        kind, want, got = ("SHA-1", wanted.sha1, found.sha1)
    what = f"{wanted.url} gives another file: {kind} {got}, and not {want}"
    refuse("download-hash", what, why=f"the latter is what {wanted.by} says", remedy=wanted.remedy)


def _receive_all(wanted: Wanted, begun: Beginning, manner: Manner) -> bool:
    """Attempts until the file is whole; whether the server said how long it is."""
    url = checked(wanted.url)
    furthest, left, pause = usable(url, wanted, begun), manner.retries, _PAUSE
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _receive(url, wanted, begun, manner)
        except Interrupted as end:
            kept = usable(url, wanted, begun)
            left -= 2 if end.slow else 1  # each has taken its time already
            if kept > furthest and not end.slow:
                furthest, left, pause = kept, manner.retries - 1, _PAUSE
            if left < 0 or attempt == _ATTEMPTS:
                why = f"that was attempt {attempt}" + (f"; {bytes_text(kept)} are kept" if kept else "")
                remedy = "the same command goes on from there" if kept else "try again later"
                refuse("download", f"{url}: {end}", why=why, remedy=remedy)
            wait = min(max(pause, end.after), _LONGEST_PAUSE)
            manner.say(f"{url}: {end}; trying again in {wait:g} s")
            time.sleep(wait)
            pause *= 2
    raise AssertionError("the last attempt returns or raises")


def usable(url: str, wanted: Wanted, begun: Beginning) -> int:
    """Bytes that can be gone on from: of this address, and of a version that can be told from others."""
    note = begun.note()
    return begun.size() if note.get("url") == url and (note.get("version") or wanted.judged) else 0


def _receive(url: str, wanted: Wanted, begun: Beginning, manner: Manner) -> bool:
    """One attempt, which goes on where the last one ended if the server lets it; as `_receive_all`.

    Raises Interrupted where another may get further.
    """
    have, note = usable(url, wanted, begun), begun.note()
    version, total = note.get("version", ""), note.get("total", "")
    if have and total == str(have):
        return True
    headers = {"Range": f"bytes={have}-"} if have else {}
    if have and version:
        headers["If-Range"] = version
    with _answered(url, headers, have, begun, manner.timeout) as response:
        answer = answer_of(response, url)
        if answer.start == 0:
            if have:
                manner.say(f"{url}: the file changed, or the server does not go on: it is fetched from the beginning")
            size = "" if answer.total is None else str(answer.total)
            begun.start({"url": url, "version": answer.version, "total": size})
        elif answer.start != have or (version and answer.version != version) or (total and str(answer.total) != total):
            begun.discard()
            raise Interrupted("the server goes on with another file, or elsewhere in it")
        elif note.get("joined") != "yes":
            begun.remark({**note, "joined": "yes"})
        _require_size(url, wanted, answer)
        require_disk(begun.target, (answer.total or 0) - answer.start)
        _copy(response, answer, url, wanted, begun, manner.timeout)
    if answer.total is None and not begun.size():  # as it looks where the connection ends within the headers
        raise Interrupted("the server sent nothing, and did not say that there is nothing")
    if answer.total is not None and begun.size() < answer.total:
        raise Interrupted(f"the connection ended after {begun.size()} of {answer.total} bytes")
    return answer.total is not None


def _require_size(url: str, wanted: Wanted, answer: Answer) -> None:
    """Raises NetError for a file of another size than is known, or of more bytes than are read."""
    if answer.total is None:
        return
    if wanted.size is not None and answer.total != wanted.size:
        refuse("download", f"{url} has {answer.total} bytes, and not {wanted.size} as the manifest says")
    if answer.total > wanted.most:
        _refuse_length(url, wanted)


def _refuse_length(url: str, wanted: Wanted) -> NoReturn:
    if wanted.size is not None:
        refuse("download", f"{url} has more than {wanted.size} bytes, which the manifest says that it has")
    what = f"{url} has more than {wanted.most} bytes: no more are fetched"
    refuse("download", what, remedy="--max-bytes SIZE allows more")


def _copy(response: HTTPResponse, answer: Answer, url: str, wanted: Wanted, begun: Beginning, timeout: float) -> None:
    """What the server sends, to the end. Raises Interrupted where it stops or dawdles."""
    most = wanted.most if wanted.size is None else wanted.size
    have, head = answer.start, b""
    since, came = time.monotonic(), 0
    with (
        begun.append() as file,
        Progress(answer.total or 0, os.path.basename(begun.target), unit="bytes", done=have) as progress,
    ):
        while block := _read(response, timeout):
            have += len(block)
            if have > most:
                begun.discard()
                _refuse_length(url, wanted)
            if not answer.start and len(head) < HEAD:
                head += block[: HEAD - len(head)]
                _refuse_page(head, url, begun)
            write_all(file, block)
            progress.step(len(block))
            came += len(block)
            if (now := time.monotonic()) - since >= timeout:
                if came < SLOWEST * (now - since):
                    raise Interrupted(f"only {bytes_text(came)} came in {now - since:.0f} s", slow=True)
                since, came = now, 0


def _refuse_page(head: bytes, url: str, begun: Beginning) -> None:
    try:
        refuse_page(head, url)
    except BaseException:
        begun.discard()
        raise


def _read(response: HTTPResponse, timeout: float) -> bytes:
    """What comes next, b"" at the end. Raises Interrupted."""
    try:
        return response.read1(_CHUNK)
    except TimeoutError:
        raise Interrupted(f"nothing came for {timeout:g} s", slow=True) from None
    except (OSError, HTTPException, ValueError) as error:
        raise Interrupted(f"the connection broke: {_reason(error)}") from None


def _answered(url: str, headers: dict[str, str], have: int, begun: Beginning, timeout: float) -> HTTPResponse:
    """The server's answer. Raises Interrupted where it may come another time, NetError where it will not."""
    try:
        return opened(url, headers, timeout)
    except HTTPError as answer:
        with answer:
            if answer.code == 416 and have:
                begun.discard()
                raise Interrupted(
                    f"the server has no more than {have} bytes: it is fetched from the beginning"
                ) from None
            what = f"the server answers {answer.code} ({shortened(str(answer.reason)) or 'no reason given'})"
            if answer.code in _AGAIN:
                raise Interrupted(what, _seconds(answer.headers.get("Retry-After", ""))) from None
        remedy = "look for another source; --url ADDRESS fetches it from there"
        refuse("download", f"{url}: {what}", remedy=remedy if answer.code in (401, 403, 404, 410) else "")
    except URLError as error:
        reason = error.reason
        if isinstance(reason, ssl.SSLCertVerificationError):
            refuse("download", f"{url}: its certificate is not trusted", why=_reason(reason))
        if isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_NONAME:
            refuse("download", f"{url}: there is no such host, or no network", why=_reason(reason))
        raise Interrupted(f"no answer: {_reason(reason)}", slow=isinstance(reason, TimeoutError)) from None
    except TimeoutError:
        raise Interrupted(f"no answer for {timeout:g} s", slow=True) from None
    except (OSError, HTTPException, ValueError) as error:  # the last for headers that cannot be read
        raise Interrupted(f"no answer that can be read: {_reason(error)}") from None


def _seconds(text: str) -> float:
    """Retry-After as a number of seconds; dates are not looked at."""
    with suppress(ValueError):
        return min(max(0.0, float(text)), _LONGEST_PAUSE) if text.strip().isdigit() else 0.0
    return 0.0


def _reason(error: object) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return shortened(str(text))
