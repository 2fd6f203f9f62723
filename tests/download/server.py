"""A web server on the loopback address that does to each request what a test says."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        site = self.server.site
        site.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        actions = site.pages.get(self.path.rpartition("//")[2] if self.path.startswith("//") else self.path)
        self.close_connection = True
        with suppress(ConnectionError):
            if actions is None:
                status(404)(self)
            else:
                (actions.pop(0) if len(actions) > 1 else actions[0])(self)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def send(self, code: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.send_response_only(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


Action = Callable[[Handler], None]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    site: Site

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@dataclass
class Site:
    """`pages` has what is done to the first request of a path, to its second, …; the last is done again and again."""

    url: str
    pages: dict[str, list[Action]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def add(self, path: str, *actions: Action) -> str:
        self.pages[path] = list(actions)
        return self.url + path

    def ranges(self) -> list[str]:
        return [headers.get("range", "") for _, headers in self.asked]


@contextmanager
def site() -> Iterator[Site]:
    server = Server(("127.0.0.1", 0), Handler)
    server.site = Site(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def gives(
    data: bytes,
    tag: str = "",
    modified: str = "",
    ranges: bool = True,
    cut: int | None = None,
    kind: str = "application/octet-stream",
    length: str | None = "true",
    drip: tuple[int, float] | None = None,
    more: Mapping[str, str] | None = None,
) -> Action:
    """The file `data`, from where the request says if `ranges` and its version is still this one.

    `cut`: the connection ends after that many bytes. `length`: the Content-Length, "true" for the right one, None for
    none. `drip`: bytes at a time, and seconds between.
    """

    def act(handler: Handler) -> None:
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        version = handler.headers.get("If-Range")
        if asked and ranges and version in (None, tag, modified):
            start = int(asked[1])
        if start and start >= len(data):
            handler.send(416, {"Content-Range": f"bytes */{len(data)}", "Content-Length": "0"})
            return
        headers = {"Content-Type": kind, **({"ETag": tag} if tag else {}), **(more or {})}
        if modified:
            headers["Last-Modified"] = modified
        if length is not None:
            headers["Content-Length"] = str(len(data) - start) if length == "true" else length
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        handler.send(206 if start else 200, headers)
        body = data[start:][:cut]
        size, pause = drip or (1 << 20, 0.0)
        for at in range(0, len(body), size):
            handler.wfile.write(body[at : at + size])
            if pause:
                time.sleep(pause)

    return act


def chunked(data: bytes, whole: bool = True) -> Action:
    """The file in chunks; if not `whole` the last one, which says that it is the last, is missing."""

    def act(handler: Handler) -> None:
        handler.send(200, {"Transfer-Encoding": "chunked"})
        for at in range(0, len(data), 1000):
            piece = data[at : at + 1000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if whole:
            handler.wfile.write(b"0\r\n\r\n")

    return act


def status(code: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Action:
    return lambda handler: handler.send(code, {"Content-Length": str(len(body)), **(headers or {})}, body)


def redirects(to: str, code: int = 302) -> Action:
    return status(code, {"Location": to})


def part(header: str, body: bytes) -> Action:
    """A 206 with this Content-Range, whatever was asked."""
    return lambda handler: handler.send(206, {"Content-Range": header, "Content-Length": str(len(body))}, body)


def raw(data: bytes) -> Action:
    """These bytes in place of an answer."""
    return lambda handler: handler.wfile.write(data) and None


def hangs(seconds: float) -> Action:
    return lambda handler: time.sleep(seconds)


def resets() -> Action:
    """The connection ends without an answer."""

    def act(handler: Handler) -> None:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        handler.connection.close()

    return act
