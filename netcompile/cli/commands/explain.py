"""What an error code means, with an example and what to do; without CODE, the list of all codes."""

from __future__ import annotations

import argparse

from netcompile.cli.exit_codes import DONE, USAGE
from netcompile.cli.messages import say
from netcompile.cli.output import write_text
from netcompile.diagnostics.codes import all_codes, explanation
from netcompile.diagnostics.nearest import did_you_mean, nearest


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("code", metavar="CODE", nargs="?", help="such as crop-offset; as messages show it in brackets")


def run(arguments: argparse.Namespace) -> int:
    """The page as it is, Markdown; a code that there is not gets the nearest one suggested."""
    if arguments.code is None:
        write_text("".join(f"{code}\n" for code in all_codes()))
        return DONE
    code = arguments.code.strip().strip("[]")
    text = explanation(code)
    if text is None:
        near = nearest(code, all_codes(), 1, 0.5)
        say(f"error: no code {code!r}; {did_you_mean(near, 'netcompile explain lists all')}")
        return USAGE
    write_text(text if text.endswith("\n") else text + "\n")
    return DONE
