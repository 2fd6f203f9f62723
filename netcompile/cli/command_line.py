"""Command lines: which commands there are, how each is parsed, the list that ``--help`` prints."""

from __future__ import annotations

import argparse
import ast
import os
import sys
from contextlib import nullcontext
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn

from netcompile.cli.exit_codes import USAGE
from netcompile.cli.messages import say
from netcompile.terminal import about_stdout
from netcompile.version import __version__

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "commands")
FOOT = """\
NET is a path, "-" for standard input, or the name of a bundled definition such as voc-fcn8s/val.prototxt.
netcompile COMMAND --help says more about a command.
exit codes: 0 done, 1 findings, 2 usage or bad input, 3 input or output failed, 70 a bug, 130 interrupted"""


class Parser(argparse.ArgumentParser):
    """argparse's parser, its mistakes told in this program's words."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)

    def _print_message(self, message: str, file: Any = None) -> None:
        """As argparse's, but a full disk is told."""
        with nullcontext() if file is None or file is sys.stderr else about_stdout():
            (file or sys.stderr).write(message or "")

    def error(self, message: str) -> NoReturn:
        say(f"error: {message}")
        say(f"see {self.prog} --help")
        raise SystemExit(USAGE)


def command_names() -> list[str]:
    """Every command, sorted: the modules of `commands`, with "-" for "_"."""
    files = sorted(name for name in os.listdir(FOLDER) if name.endswith(".py") and not name.startswith("_"))
    return [name.removesuffix(".py").replace("_", "-") for name in files]


def command_module(name: str) -> ModuleType:
    """The module of a command, with its ``configure`` and ``run``."""
    return import_module(f"netcompile.cli.commands.{name.replace('-', '_')}")


def command_parser(name: str) -> Parser:
    """The parser of one command."""
    command = command_module(name)
    parser = Parser(prog=f"netcompile {name}", description=command.__doc__)
    command.configure(parser)
    return parser


def summary(name: str) -> str:
    """The first line of a command's help, read from its file: nothing is imported."""
    with open(os.path.join(FOLDER, f"{name.replace('-', '_')}.py"), encoding="utf-8") as file:
        return (ast.get_docstring(ast.parse(file.read())) or "").split("\n")[0]


def list_of_commands() -> Parser:
    """A parser whose help lists the commands; it parses nothing else."""
    what = "Compiles Caffe nets to PyTorch, without Caffe."
    parser = Parser(prog="netcompile", description=what, usage="netcompile COMMAND …", epilog=FOOT)
    parser.add_argument("--version", action="version", version=f"netcompile {__version__}")
    commands = parser.add_argument_group("commands")
    for name in command_names():
        commands.add_argument(f"command-{name}", metavar=name, nargs="?", help=summary(name).replace("%", "%%"))
    return parser


def whole_parser() -> Parser:
    """One parser of all commands, each a subparser: what a shell's completion is made from."""
    parser = Parser(prog="netcompile")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name in command_names():
        command_module(name).configure(commands.add_parser(name, help=summary(name).replace("%", "%%")))
    return parser
