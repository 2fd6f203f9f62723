"""One file from a server that sends it well, badly, in parts, slowly, or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from netcompile.diagnostics.diagnostic import NetError
from netcompile.download import transfer
from netcompile.download.transfer import Manner, Wanted
from netcompile.files import resumed
from netcompile.files.resumed import beginning
from tests.download.server import (
    Action,
    Handler,
    Site,
    chunked,
    gives,
    hangs,
    part,
    raw,
    redirects,
    resets,
    status,
)

DATA = bytes(range(256)) * 400  # 102,400 bytes
OTHER = DATA[::-1]
SHA1 = hashlib.sha1(DATA).hexdigest()
SHA256 = hashlib.sha256(DATA).hexdigest()
TAG, NEWER = '"one"', '"two"'
DATED = "Mon, 01 Jan 2024 00:00:00 GMT"


@dataclass
class Fetching:
    """Fetches to `target`; `said` is what was told."""

    target: Path
    said: list[str] = field(default_factory=list)
    manner: Manner = field(init=False)

    def __post_init__(self) -> None:
        self.manner = Manner(self.said.append, timeout=5)

    def __call__(self, url: str, **wanted: object) -> transfer.Digests:
        asked = replace(Wanted(url, by="the publisher"), **wanted)
        with beginning(str(self.target), lambda: self.said.append("waiting")) as begun:
            return transfer.fetch(asked, begun, self.manner)

    def refused(self, url: str, **wanted: object) -> str:
        """The message of a refusal, after which the target is as it was."""
        before = self.target.read_bytes() if self.target.exists() else None
        with pytest.raises(NetError) as problem:
            self(url, **wanted)
        assert (self.target.read_bytes() if self.target.exists() else None) == before
        return str(problem.value)

    def left(self) -> list[str]:
        return sorted(path.name for path in self.target.parent.iterdir())

    def kept(self) -> int | None:
        """Bytes that wait for the next run."""
        path = self.target.parent / f".netcompile-begun-{self.target.name}" / "data"
        return path.stat().st_size if path.exists() else None


@pytest.fixture
def fetching(tmp_path: Path) -> Fetching:
    return Fetching(tmp_path / "w.caffemodel")


@pytest.mark.parametrize(
    "action",
    [
        gives(DATA),
        gives(DATA, tag=TAG),
        gives(DATA, modified=DATED),
        gives(DATA, ranges=False),
        gives(DATA, length=None),
        gives(DATA, length="many"),
        gives(DATA, kind="text/plain"),
        gives(DATA, drip=(10_000, 0.01)),
        gives(DATA, more={"Content-Encoding": "identity"}),
        chunked(DATA),
    ],
)
@pytest.mark.parametrize("hashes", [{}, {"sha1": SHA1}, {"sha256": SHA256}, {"sha1": SHA1, "sha256": SHA256}])
def test_a_whole_file(web: Site, fetching: Fetching, action: Action, hashes: dict[str, str]) -> None:
    found = fetching(web.add("/w", action), **hashes)
    assert found == transfer.Digests(len(DATA), SHA1, SHA256)
    assert fetching.target.read_bytes() == DATA
    assert fetching.left() == ["w.caffemodel"]
    assert len(web.asked) == 1


def test_an_empty_file_and_a_single_byte(web: Site, fetching: Fetching) -> None:
    for data in (b"", b"x"):
        assert fetching(web.add("/w", gives(data))).size == len(data)
        assert fetching.target.read_bytes() == data


def test_what_the_server_is_told(web: Site, fetching: Fetching) -> None:
    fetching(web.add("/w", gives(DATA)))
    headers = web.asked[0][1]
    assert headers["user-agent"].startswith("netcompile/")
    assert headers["accept-encoding"] == "identity"
    assert "range" not in headers


def test_a_file_takes_the_place_of_another_only_when_it_is_right(web: Site, fetching: Fetching) -> None:
    fetching.target.write_bytes(b"old")
    said = fetching.refused(web.add("/w", gives(OTHER)), sha1=SHA1)
    assert said.startswith(f"error[download-hash]: {web.url}/w gives another file: SHA-1 ")
    assert hashlib.sha1(OTHER).hexdigest() in said
    assert f"and not {SHA1}" in said
    assert "why: the latter is what the publisher says" in said
    assert fetching.left() == ["w.caffemodel"]
    fetching(web.add("/w", gives(DATA)), sha1=SHA1)
    assert fetching.target.read_bytes() == DATA


def test_the_better_hash_is_named_where_both_are_wrong(web: Site, fetching: Fetching) -> None:
    said = fetching.refused(web.add("/w", gives(OTHER)), sha1=SHA1, sha256=SHA256)
    assert f"SHA-256 {hashlib.sha256(OTHER).hexdigest()}, and not {SHA256}" in said
    said = fetching.refused(web.add("/w", gives(DATA)), sha1=SHA1[::-1], sha256=SHA256)
    assert f"SHA-1 {SHA1}, and not {SHA1[::-1]}" in said


# What ends early, and what the next attempt asks for.
CUT = 30_000
RESUMED: dict[str, tuple[list[Action], dict[str, str], list[str]]] = {
    "a tag": ([gives(DATA, TAG, cut=CUT), gives(DATA, TAG)], {}, ["", f"bytes={CUT}-"]),
    "a date": ([gives(DATA, modified=DATED, cut=CUT), gives(DATA, modified=DATED)], {}, ["", f"bytes={CUT}-"]),
    "a hash alone": ([gives(DATA, cut=CUT), gives(DATA)], {"sha1": SHA1}, ["", f"bytes={CUT}-"]),
    "neither": ([gives(DATA, cut=CUT), gives(DATA)], {}, ["", ""]),
    "a weak tag": ([gives(DATA, 'W/"one"', cut=CUT), gives(DATA, 'W/"one"')], {}, ["", ""]),
    "ranges ignored": ([gives(DATA, TAG, cut=CUT), gives(DATA, TAG, ranges=False)], {}, ["", f"bytes={CUT}-"]),
    "another version": ([gives(OTHER, NEWER, cut=CUT), gives(DATA, TAG)], {}, ["", f"bytes={CUT}-"]),
    "another version, a date": (
        [gives(OTHER, modified="Tue, 02 Jan 2024 00:00:00 GMT", cut=CUT), gives(DATA, modified=DATED)],
        {},
        ["", f"bytes={CUT}-"],
    ),
    "a shorter file": ([gives(DATA * 2, TAG, cut=len(DATA)), gives(DATA, TAG)], {}, ["", f"bytes={len(DATA)}-", ""]),
    "another part": (
        [gives(DATA, TAG, cut=CUT), part(f"bytes 5-{len(DATA) - 1}/{len(DATA)}", DATA[5:]), gives(DATA, TAG)],
        {},
        ["", f"bytes={CUT}-", ""],
    ),
    "a part of another size": (
        [gives(DATA, TAG, cut=CUT), part(f"bytes {CUT}-{len(DATA)}/{len(DATA) + 1}", DATA[CUT:]), gives(DATA, TAG)],
        {},
        ["", f"bytes={CUT}-", ""],
    ),
    "a part of another version": (
        [gives(OTHER, TAG, cut=CUT), part(f"bytes {CUT}-{len(DATA) - 1}/{len(DATA)}", DATA[CUT:]), gives(DATA, TAG)],
        {},
        ["", f"bytes={CUT}-", ""],
    ),
    "parts that do not fit": (
        [gives(OTHER, cut=CUT), gives(DATA), gives(DATA)], {"sha1": SHA1}, ["", f"bytes={CUT}-", ""],
    ),
    "an error in between": (
        [gives(DATA, TAG, cut=CUT), status(503), gives(DATA, TAG)], {}, ["", f"bytes={CUT}-", f"bytes={CUT}-"],
    ),
    "no answer in between": (
        [gives(DATA, TAG, cut=CUT), resets(), gives(DATA, TAG)], {}, ["", f"bytes={CUT}-", f"bytes={CUT}-"],
    ),
    "ten times": (
        [gives(DATA, TAG, cut=10_000)] * 10 + [gives(DATA, TAG)],
        {},
        ["", *(f"bytes={at}-" for at in range(10_000, len(DATA), 10_000))],
    ),
    "the last chunk is missing": ([chunked(DATA, whole=False), gives(DATA)], {}, ["", ""]),
    "a length that is too long": (
        [gives(DATA, TAG, length="200000"), gives(DATA, TAG)], {}, ["", f"bytes={len(DATA)}-", ""],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RESUMED)
def test_an_interrupted_transfer_goes_on(web: Site, fetching: Fetching, case: str) -> None:
    actions, hashes, ranges = RESUMED[case]
    fetching(web.add("/w", *actions), **hashes)
    assert fetching.target.read_bytes() == DATA
    assert web.ranges() == ranges
    assert fetching.left() == ["w.caffemodel"]


@pytest.mark.parametrize(("tag", "ranges"), [(TAG, [f"bytes={CUT}-"]), ("", [""])])
def test_another_run_goes_on(web: Site, fetching: Fetching, tag: str, ranges: list[str]) -> None:
    fetching.manner = replace(fetching.manner, retries=0)
    said = fetching.refused(web.add("/w", gives(DATA, tag, cut=CUT)))
    assert f"error[download]: {web.url}/w: the connection ended after {CUT} of {len(DATA)} bytes" in said
    assert ("30.0 kB are kept" in said, "fix: the same command goes on from there" in said) == (bool(tag), bool(tag))
    assert fetching.kept() == CUT
    web.asked.clear()
    web.add("/w", gives(DATA, tag))
    fetching(web.url + "/w")
    assert fetching.target.read_bytes() == DATA
    assert web.ranges() == ranges
    assert fetching.left() == ["w.caffemodel"]


def test_what_came_from_another_address_is_not_gone_on_with(web: Site, fetching: Fetching) -> None:
    fetching.manner = replace(fetching.manner, retries=0)
    fetching.refused(web.add("/old", gives(OTHER, TAG, cut=CUT)))
    fetching(web.add("/new", gives(DATA, TAG)))
    assert fetching.target.read_bytes() == DATA
    assert web.ranges() == ["", ""]


def test_a_file_that_was_complete_is_not_asked_for_again(
    web: Site, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the process ended between the last byte and the move to its place."""
    url = web.add("/w", gives(DATA, TAG))
    with monkeypatch.context() as patched:
        patched.setattr(resumed.os, "replace", _fails(resumed.os.replace, "w.caffemodel"))
        with pytest.raises(OSError, match="on purpose"):
            fetching(url)
    assert fetching.kept() == len(DATA)
    fetching(url)
    assert fetching.target.read_bytes() == DATA
    assert len(web.asked) == 1


def _fails(do: Callable[..., None], name: str) -> Callable[..., None]:
    def replace(source: str, target: str) -> None:
        if os.path.basename(target) == name:
            raise OSError(errno.EIO, "on purpose", target)
        do(source, target)

    return replace


@pytest.mark.parametrize("note", ["", "{", "[]", '{"url": 1}', '{"total": "x"}'])
def test_a_damaged_note_means_from_the_beginning(web: Site, fetching: Fetching, note: str) -> None:
    folder = fetching.target.parent / ".netcompile-begun-w.caffemodel"
    folder.mkdir()
    (folder / "data").write_bytes(b"anything")
    (folder / "note.json").write_text(note)
    fetching(web.add("/w", gives(DATA, TAG)))
    assert fetching.target.read_bytes() == DATA


# Answers that no other attempt makes better: what is said of each.
REFUSED: dict[str, tuple[Action, dict[str, object], str]] = {
    "gone": (status(404), {}, "error[download]: {url}: the server answers 404 (Not Found)"),
    "forbidden": (status(403), {}, "the server answers 403 (Forbidden)"),
    "a login": (status(401), {}, "the server answers 401"),
    "nothing": (status(204), {}, "the server answers 204, and not with the file"),
    "a page": (gives(DATA, kind="text/html; charset=utf-8"), {}, "error[web-page]: {url} is a web page, not a file"),
    "an XHTML page": (gives(DATA, kind="application/xhtml+xml"), {}, "is a web page, not a file"),
    "a page in disguise": (gives(b"\xef\xbb\xbf\n <!DOCTYPE HTML>\n<p>"), {}, "{url} gives a web page"),
    "a page with a comment": (gives(b"<!-- hello -->\n<html lang=en>"), {}, "gives a web page, not a file"),
    "a page in drops": (gives(b"<html><body>" + DATA, drip=(3, 0.001)), {}, "gives a web page, not a file"),
    "git-lfs": (
        gives(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"), {}, "error[lfs-pointer]: {url}",
    ),
    "packed": (gives(DATA, more={"Content-Encoding": "gzip"}), {}, "is sent packed (gzip)"),
    "too long": (gives(DATA), {"most": 1000}, "{url} has more than 1000 bytes"),
    "endless": (gives(DATA, length=None), {"most": 1000}, "{url} has more than 1000 bytes"),
    "another size": (gives(DATA), {"size": 5}, "{url} has 102400 bytes, and not 5 as the manifest says"),
    "more than its size": (gives(DATA, length=None), {"size": 5}, "{url} has more than 5 bytes"),
    "a part without a place": (part("bytes */5", b"abcde"), {}, "sends a part of the file and does not say which"),
    "a circle": (redirects("/w"), {}, "{url} redirects in a circle"),
    "another scheme": (redirects("file:///etc/passwd"), {}, "'file:///etc/passwd' cannot be fetched: it is no"),
    "ftp": (redirects("ftp://127.0.0.1/w"), {}, "it is no address of http:// or https://"),
    "a name in a redirect": (redirects("http://me:secret@127.0.0.1/"), {}, "a name and password in an address"),
    "a redirect to nowhere": (redirects("http://:80/"), {}, "it names no host"),
    "a redirect without a place": (status(302), {}, "the server answers 302"),
    "a redirect by hand": (status(300, {"Location": "/x"}), {}, "the server answers 300"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_at_once(web: Site, fetching: Fetching, case: str) -> None:
    action, wanted, said = REFUSED[case]
    fetching.target.write_bytes(b"old")
    url = web.add("/w", action)
    assert said.replace("{url}", url) in fetching.refused(url, **wanted)
    assert fetching.left() == ["w.caffemodel"]
    assert len(web.asked) == 1 or case == "a circle"


def test_no_secret_is_told(web: Site, fetching: Fetching) -> None:
    said = fetching.refused(web.add("/w", redirects("http://me:secret@127.0.0.1/")))
    assert "secret" not in said


# Answers that another attempt may make better: what is said of each after the last one.
AGAIN: dict[str, tuple[Action, str]] = {
    "busy": (status(503), "the server answers 503 (Service Unavailable)"),
    "too many": (status(429), "the server answers 429 (Too Many Requests)"),
    "a bug": (status(500), "the server answers 500"),
    "no answer": (resets(), "no answer"),
    "cut headers": (raw(b"HTTP/1.1 200 OK\r\nContent-Ty"), "the server sent nothing, and did not say that there is"),
    "no status": (raw(b"what?\r\n\r\n"), "no answer that can be read"),
    "an endless header": (raw(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000), "no answer that can be read"),
    "many headers": (raw(b"HTTP/1.1 200 OK\r\n" + b"A: x\r\n" * 200), "no answer that can be read"),
    "an early end": (gives(DATA, cut=CUT), "the connection ended after 30000 of 102400 bytes"),
    "chunks without end": (chunked(DATA, whole=False), "the connection broke"),
}


@pytest.mark.parametrize("case", AGAIN)
def test_what_is_tried_again(web: Site, fetching: Fetching, pauses: list[float], case: str) -> None:
    action, said = AGAIN[case]
    message = fetching.refused(web.add("/w", action))
    assert said in message
    assert "why: that was attempt 5" in message
    assert len(web.asked) == 5
    assert pauses == [0.5, 1, 2, 4]
    assert fetching.said[0].endswith("; trying again in 0.5 s")


def test_a_server_that_says_when(web: Site, fetching: Fetching, pauses: list[float]) -> None:
    busy = [status(503, {"Retry-After": after}) for after in ("7", "99999", "Mon, 01 Jan 2024 00:00:00 GMT", "-5")]
    fetching(web.add("/w", *busy, gives(DATA)))
    assert pauses == [7, 30, 2, 4]


def test_nobody_listens(fetching: Fetching, pauses: list[float]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        said = fetching.refused(f"http://127.0.0.1:{taken.getsockname()[1]}/w")
    assert "no answer: Connection refused" in said
    assert len(pauses) == 4


def test_a_silent_server(web: Site, fetching: Fetching) -> None:
    fetching.manner = replace(fetching.manner, timeout=0.1, retries=1)
    url = web.add("/w", hangs(0.3))
    assert "no answer for 0.1 s" in fetching.refused(url)


def test_a_server_that_drips_its_headers(web: Site, fetching: Fetching) -> None:
    fetching.manner = replace(fetching.manner, timeout=0.2, retries=0)

    def drips(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nA: ")
        for _ in range(100):
            handler.wfile.write(b"x")
            hangs(0.02)(handler)

    assert "no answer for 0.2 s" in fetching.refused(web.add("/w", drips))
    assert fetching.left() == []


def test_a_server_that_stops(web: Site, fetching: Fetching) -> None:
    fetching.manner = replace(fetching.manner, timeout=0.1, retries=2)

    def stops(handler: Handler) -> None:
        gives(DATA, TAG, cut=CUT)(handler)
        hangs(0.3)(handler)

    said = fetching.refused(web.add("/w", stops, hangs(0.3)), sha1=SHA1)
    assert "no answer for 0.1 s" in said
    assert "nothing came for 0.1 s" in fetching.said[0]
    assert fetching.kept() == CUT


def test_a_server_that_drips(web: Site, fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, all of them never would. A clock of its own: each look at it is a tenth of a second."""
    now = iter(range(10**9))
    monkeypatch.setattr(transfer, "time", SimpleNamespace(monotonic=lambda: next(now) / 10, sleep=lambda _: None))
    fetching.manner = replace(fetching.manner, timeout=5.0, retries=2)
    said = fetching.refused(web.add("/w", gives(DATA, TAG, drip=(2, 0.001))))
    assert "only " in said
    assert "B came in 5 s" in said
    assert "why: that was attempt 2; " in said
    assert len(web.asked) == 2


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_followed(web: Site, fetching: Fetching, code: int) -> None:
    web.add("/w", gives(DATA, TAG, cut=CUT), gives(DATA, TAG))
    web.add("/there/w", redirects("../w", code))
    fetching(web.add("/moved", redirects(f"{web.url}/there/w#part", code)))
    assert fetching.target.read_bytes() == DATA
    assert [path for path, _ in web.asked] == ["/moved", "/there/w", "/w"] * 2
    assert web.ranges()[3:] == [f"bytes={CUT}-"] * 3


def test_too_many_redirects(web: Site, fetching: Fetching) -> None:
    for index in range(20):
        web.add(f"/{index}", redirects(f"/{index + 1}"))
    assert "redirects more than 10 times" in fetching.refused(f"{web.url}/0")
    assert len(web.asked) == 11


def test_a_place_with_other_characters(web: Site, fetching: Fetching) -> None:
    web.add("/gew%C3%A4hlt%20w", gives(DATA))
    fetching(f"{web.url}/gewählt w")
    fetching(web.add("/a", redirects("/gewählt w".encode().decode("latin-1"))))
    assert fetching.target.read_bytes() == DATA


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("file:///etc/passwd", "it is no address of http:// or https://"),
        ("ftp://example.org/w", "it is no address of http:// or https://"),
        ("data:,hello", "it is no address of http:// or https://"),
        ("w.caffemodel", "it is no address of http:// or https://"),
        ("", "it is no address of http:// or https://"),
        ("http://", "it names no host"),
        ("http:///w", "it names no host"),
        ("http://a:b@example.org/", "a name and password in an address are not sent"),
        ("http://example.org:99999/", "Port out of range 0-65535"),
        ("http://example.org:0/", "there is no port 0"),
        ("http://example.org/a\nb", "it holds a control character"),
        ("http://exa mple.org/", "is no host"),
        ("http://[::1/", "Invalid IPv6 URL"),
        ("http://" + "a" * 70 + ".org/", "label"),
    ],
)
def test_addresses_that_are_none(fetching: Fetching, url: str, why: str) -> None:
    said = fetching.refused(url)
    assert said.startswith("error[download]: ")
    assert why in said
    assert fetching.left() == []


def test_headers_cannot_steer_the_terminal(web: Site, fetching: Fetching) -> None:
    evil = raw(b"HTTP/1.1 404 \x1b[31mred\x07\r\nContent-Length: 0\r\n\r\n")
    said = fetching.refused(web.add("/w", evil))
    assert "\x1b" not in said
    assert "\\x1b[31mred\\x07" in said
    kind = raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: \x1b[2J\r\nContent-Length: 1\r\n\r\nx")
    assert "\\x1b[2j" in fetching.refused(web.add("/k", kind))
    tagged = gives(DATA, '"\x1b[31m"'), gives(DATA)
    fetching(web.add("/t", *tagged))
    assert fetching.target.read_bytes() == DATA


def test_a_full_disk(web: Site, fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written is kept, and the next run goes on from there."""
    room = 50_000

    def write(file: object, data: bytes) -> None:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = data[:room]
        room -= len(taken)
        resumed.write_all(file, taken)  # type: ignore[arg-type]
        if len(taken) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    url = web.add("/w", gives(DATA, TAG))
    with monkeypatch.context() as patched:
        patched.setattr(transfer, "write_all", write)
        with pytest.raises(OSError, match="No space left on device") as problem:
            fetching(url)
    assert problem.value.filename == str(fetching.target)
    assert fetching.kept() == 50_000
    fetching(url)
    assert fetching.target.read_bytes() == DATA
    assert web.ranges() == ["", "bytes=50000-"]


def test_a_file_that_cannot_fit_is_not_begun(web: Site, fetching: Fetching) -> None:
    huge = raw(b'HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: 1000000000000000\r\n\r\nx')
    with pytest.raises(OSError, match="No space left on device: it needs") as problem:
        fetching(web.add("/w", huge), most=1 << 60)
    assert problem.value.errno == errno.ENOSPC
    assert fetching.left() == []


def test_short_writes_are_gone_on_with(tmp_path: Path) -> None:
    class Slow:
        def __init__(self) -> None:
            self.got = b""

        def write(self, data: memoryview) -> int:
            self.got += bytes(data[:3])
            return min(3, len(data))

    slow = Slow()
    resumed.write_all(slow, DATA[:1000])  # type: ignore[arg-type]
    assert slow.got == DATA[:1000]


def test_a_proxy_of_the_environment(web: Site, fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", web.url)
    web.add("http://example.invalid/w", gives(DATA))
    fetching("http://example.invalid/w")
    assert fetching.target.read_bytes() == DATA
    assert web.asked[0][1]["host"] == "example.invalid"
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    assert "unknown url type: socks5" in fetching.refused("http://example.invalid/w")


def test_a_link_in_the_hidden_folder_is_not_written_through(web: Site, fetching: Fetching, tmp_path: Path) -> None:
    folder = tmp_path / ".netcompile-begun-w.caffemodel"
    folder.mkdir()
    mine = tmp_path / "mine"
    mine.write_bytes(b"mine")
    (folder / "data").symlink_to(mine)
    fetching(web.add("/w", gives(DATA)))
    assert mine.read_bytes() == b"mine"
    assert fetching.target.read_bytes() == DATA
    assert not fetching.target.is_symlink()
