"""Serve the playground, the compiler in a web page, to the browsers of this machine.

The page is a folder that `make site` builds. Whatever is opened in it stays in the browser: the server gives files of
that folder and takes nothing. It listens on the loopback address alone, and ends with Ctrl-C.
"""

from __future__ import annotations

import argparse
from typing import NoReturn

from netcompile.cli.messages import say
from netcompile.cli.output import write_lines

PORT = 8017


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port", type=port, default=PORT, metavar="N", help=f"0: one that is free, which is printed; default {PORT}"
    )
    parser.add_argument("--folder", default="site", metavar="DIR", help="the built site, default: ./site")


def port(text: str) -> int:
    """A number of a port, or 0."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a number from 0 to 65535")
    return int(text)


def run(arguments: argparse.Namespace) -> NoReturn:
    """Serve until a signal comes."""
    from netcompile.site.serve import Server

    with Server(arguments.folder, arguments.port, say if arguments.verbose else lambda line: None) as server:
        write_lines(f"{server.url} serves {arguments.folder}; Ctrl-C ends it")
        server.serve_forever()
    raise AssertionError("only a signal ends the server")
