"""Addresses on the web, and opening them: http and https alone, redirects followed one by one.

Python's urllib does the work, proxies by the environment included (``http_proxy``, ``https_proxy``, ``no_proxy``).
"""

from __future__ import annotations

import re
import socket
import string
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from threading import Timer
from typing import Any, cast
from urllib.error import HTTPError
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from netcompile.diagnostics.diagnostic import refuse
from netcompile.version import __version__

REDIRECTS = 10
_MOVED = frozenset((301, 302, 303, 307, 308))
_HEADERS = {"User-Agent": f"netcompile/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}


class _Timed:
    """A connection whose answer's headers have to be complete in time: each of their bytes is waited for anew."""

    sock: socket.socket
    timeout: float

    def getresponse(self) -> HTTPResponse:
        late: list[bool] = []

        def end() -> None:
            late.append(True)
            with suppress(OSError):  # it has ended by itself
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

        ending = Timer(self.timeout, end)
        ending.daemon = True
        ending.start()
        try:
            response: HTTPResponse = super().getresponse()  # type: ignore[misc]
        except (OSError, HTTPException):
            if late:
                raise TimeoutError from None
            raise
        finally:
            ending.cancel()
        if late:  # cut headers are headers to http.client
            response.close()
            raise TimeoutError
        return response


def _timed(connection: Any) -> Any:
    return type("Timed", (_Timed, connection), {})


class _Http(HTTPHandler):
    def do_open(self, http_class: Any, req: Request, **options: Any) -> HTTPResponse:
        return super().do_open(_timed(http_class), req, **options)


class _Https(HTTPSHandler):
    def do_open(self, http_class: Any, req: Request, **options: Any) -> HTTPResponse:
        return super().do_open(_timed(http_class), req, **options)


_HANDLERS = (ProxyHandler, UnknownHandler, _Http, _Https, HTTPDefaultErrorHandler, HTTPErrorProcessor)


def checked(address: str) -> str:
    """The address as it can be asked for, what is not ASCII in it escaped.

    Raises NetError for what is no address of http or https, or has a name and password in it.
    """
    try:
        if not address.isprintable():
            raise ValueError("it holds a control character")
        parts = urlsplit(address.strip())
        host, port = parts.hostname or "", parts.port
        if parts.scheme not in ("http", "https"):
            raise ValueError("it is no address of http:// or https://")
        if not host or port == 0:
            raise ValueError("it names no host" if not host else "there is no port 0")
        if parts.username is not None:
            raise ValueError("a name and password in an address are not sent")
        name = host if ":" in host else host.encode("idna").decode("ascii")
        if not all(c.isalnum() or c in "-._:%" for c in name):
            raise ValueError(f"{host!r} is no host")
        if not host.isascii():
            parts = parts._replace(netloc=name if port is None else f"{name}:{port}")
        return quote(parts._replace(fragment="").geturl(), safe=string.punctuation)
    except ValueError as error:  # of urlsplit and the port too; UnicodeError is one
        shown = re.sub(r"//[^/?#]*@", "//…@", address)  # without what may be a password
        refuse("download", f"{shown!r} cannot be fetched: {error}")


def opened(address: str, headers: dict[str, str], timeout: float) -> HTTPResponse:
    """The answer of an address, which the caller closes; `timeout` seconds to connect, for its headers, for each read.

    Raises NetError for redirects that are not followed, HTTPError for a status that is no success, OSError and
    HTTPException (of http.client) where there is no answer.
    """
    opener = OpenerDirector()
    for handler in _HANDLERS:
        opener.add_handler(handler())
    asked, seen = address, {address}
    while True:
        try:
            return cast(HTTPResponse, opener.open(Request(asked, headers=_HEADERS | headers), timeout=timeout))
        except HTTPError as answer:
            place = answer.headers.get("Location")
            if answer.code not in _MOVED or place is None:
                raise
            answer.close()
        place = quote(place.strip().encode("latin-1", "replace"), safe=string.punctuation)  # as bytes: often UTF-8
        following = checked(urljoin(asked, place))
        if asked.startswith("https:") and not following.startswith("https:"):
            what = f"{asked} redirects to {following}"
            refuse("download", what, why="anybody on the way can change what is sent without https; it is not followed")
        if following in seen or len(seen) > REDIRECTS:
            what = "in a circle" if following in seen else f"more than {REDIRECTS} times"
            refuse("download", f"{address} redirects {what}", remedy="fetch it with a browser, or give another --url")
        asked = following
        seen.add(asked)
