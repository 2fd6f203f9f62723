"""Serves a built site on the loopback address: files of its folder, each with its type and the page's policy."""

from __future__ import annotations

import html
import os
import re
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from shutil import copyfileobj
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from netcompile.diagnostics.diagnostic import NetError, refuse
from netcompile.version import __version__

HOST = "127.0.0.1"
NAMES = (HOST, "localhost", "[::1]")  # that a request may call this machine; the port may be that of a tunnel
PAGE = "index.html"
TYPES = {  # not the system's table, which may know neither WebAssembly nor modules
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".prototxt": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".zip": "application/zip",
}
STRICTEST = "default-src 'none'"  # where a page has no policy of its own
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')


class Server(ThreadingHTTPServer):
    """The server of a folder. Raises NetError where there is no site in it, OSError where the port is taken."""

    daemon_threads = True
    allow_reuse_port = False  # a second server on the port would get some of the first one's requests

    def __init__(self, folder: str, port: int, said: Callable[[str], None]) -> None:
        self.folder, self.said = os.path.realpath(folder), said
        policy_of(folder)
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            reason = f"{error.strerror}; --port 0 takes one that is free"
            raise OSError(error.errno, reason, f"port {port}") from None

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/"

    @property
    def policy(self) -> str:
        """What comes with every answer; read each time, for the site may have been built anew."""
        try:
            own = policy_of(self.folder)
        except (NetError, OSError):
            own = STRICTEST
        return f"{own}; frame-ancestors 'none'"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing is said where a browser goes away amid an answer."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def policy_of(folder: str) -> str:
    """The policy that the page of a built site declares. Raises NetError where the folder has no page."""
    try:
        with open(os.path.join(folder, PAGE), encoding="utf-8", errors="replace") as file:
            found = _POLICY.search(file.read(1 << 20))
    except (FileNotFoundError, NotADirectoryError):
        why = f"the folder has no {PAGE}" if os.path.isdir(folder) else "there is no such folder"
        remedy = "make site builds it, in the repository of netcompile; --folder DIR serves one from elsewhere"
        refuse("no-such-file", f"there is no site in '{folder}'", why=why, remedy=remedy)
    return html.unescape(found[1]) if found else STRICTEST


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD with files; the name of a folder is the name of no file."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = f"netcompile/{__version__}"
    timeout = 60  # seconds that a connection may lie idle

    def version_string(self) -> str:
        """What the server calls itself."""
        return self.server_version

    def do_GET(self) -> None:
        """A file."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """What would come with the file."""
        self._answer(body=False)

    def _answer(self, body: bool) -> None:
        if not self._is_ours():
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return
        path = self._file()
        try:
            file = open(path, "rb") if path else None  # noqa: SIM115 (closed below)
        except OSError:
            file = None
        if file is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with file:
            self._send(file, path, body)

    def _send(self, file: BinaryIO, path: str, body: bool) -> None:
        about = os.fstat(file.fileno())
        tag = f'"{about.st_mtime_ns:x}-{about.st_size:x}"'
        same = self.headers.get("If-None-Match") == tag
        self.send_response(HTTPStatus.NOT_MODIFIED if same else HTTPStatus.OK)
        self.send_header("ETag", tag)
        if not same:
            self.send_header("Content-Type", TYPES.get(os.path.splitext(path)[1], "application/octet-stream"))
            self.send_header("Content-Length", str(about.st_size))
        self.end_headers()
        if body and not same:
            copyfileobj(file, self.wfile, 1 << 18)

    def _is_ours(self) -> bool:
        """Whether the request calls this machine by a name of its own: a page of another host whose name leads here
        must not read what is served."""
        name = self.headers.get("Host")
        return name is None or re.sub(r":[0-9]*$", "", name.strip().lower()) in NAMES

    def _file(self) -> str:
        """The path of the file that is asked for, "" where there is none inside of the folder."""
        try:
            name = unquote(urlsplit(self.path).path, errors="replace")
        except ValueError:  # an address with half a pair of brackets
            return ""
        parts = name.split("/")[1:]
        if parts[-1:] == [""]:
            parts[-1:] = [PAGE]
        if "\0" in name or any(part in ("", ".", "..") or part.startswith(".") or os.sep in part for part in parts):
            return ""
        path = os.path.realpath(os.path.join(self.server.folder, *parts))
        inside = os.path.commonpath([path, self.server.folder]) == self.server.folder
        return path if inside and os.path.isfile(path) else ""

    def end_headers(self) -> None:
        """With every answer: the policy, and that browsers ask again."""
        self.send_header("Content-Security-Policy", self.server.policy)
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """What was asked for, with -v."""
        self.server.said(format % args)
