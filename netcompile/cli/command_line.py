"""Command lines: which commands there are, how each is parsed, the list that ``--help`` prints."""

from __future__ import annotations

import argparse
import ast
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from itertools import takewhile
from types import ModuleType
from typing import Any, NoReturn

from netcompile.cli.exit_codes import USAGE
from netcompile.cli.messages import say
from netcompile.cli.options import add_verbosity
from netcompile.diagnostics.nearest import did_you_mean, nearest
from netcompile.report.table import terminal_width
from netcompile.terminal import about_stdout
from netcompile.version import __version__

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "commands")
FOOT = """\
NET is a path, "-" for standard input, or the name of a bundled definition such as voc-fcn8s/val.prototxt.
netcompile COMMAND --help says more about a command.
exit codes: 0 done, 1 findings, 2 usage or bad input, 3 input or output failed, 70 a bug, 130 interrupted"""


class Help(argparse.RawDescriptionHelpFormatter):
    """argparse's help, as wide as tables are; left to itself, argparse loads archivers to find the width."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=terminal_width() - 2)


class Parser(argparse.ArgumentParser):
    """argparse's parser, its mistakes told in this program's words, with what was probably meant."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", Help)
        super().__init__(allow_abbrev=False, **options)
        self.given: Sequence[str] = ()  # the arguments that are being parsed

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's; an option that there is not is told before what is missing, which may be its value."""
        self.given = list(args or ())
        found, rest = super().parse_known_args(args, namespace)
        for name in self._unknown():
            # "-output X" is "-o utput X" to argparse; Caffe's own tools have one dash.
            if name.startswith("--") or f"-{name}" in self._option_string_actions:
                self._refuse(name)
        return found, rest

    def _unknown(self) -> list[str]:
        """The arguments that look like an option with a name, and are none of this parser's."""
        if any(isinstance(action, argparse._SubParsersAction) for action in self._actions):
            return []  # the operation's parser knows its options
        given = takewhile(lambda text: text != "--", self.given)
        names = [argument.partition("=")[0] for argument in given if argument.startswith("-")]
        return [
            name
            for name in names
            if len(name) > 2 and " " not in name and not name[1].isdigit() and name not in self._option_string_actions
        ]

    def _nearest(self, name: str) -> list[str]:
        options = [option for option in self._option_string_actions if option.startswith("--")]
        return nearest(f"--{name.lstrip('-')}", options, 1, 0.7)

    def _refuse(self, name: str) -> NoReturn:
        self.fail(f"there is no option '{name}'{_meant(self._nearest(name))}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        names = [str(choice) for choice in action.choices]
        near = nearest(value, names) if isinstance(value, str) else []
        what = f"invalid choice: {value!r} (choose from {', '.join(names)}){_meant(near)}"
        raise argparse.ArgumentError(action, what)

    def _print_message(self, message: str, file: Any = None) -> None:
        """As argparse's, but a full disk is told."""
        with nullcontext() if file is None or file is sys.stderr else about_stdout():
            (file or sys.stderr).write(message or "")

    def error(self, message: str) -> NoReturn:
        for name in self._unknown():
            if name.startswith("--") or self._nearest(name):
                self._refuse(name)
        self.fail(message)

    def fail(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and end."""
        say(f"error: {message}")
        say(f"see {self.prog} --help")
        raise SystemExit(USAGE)


def _meant(near: Sequence[str]) -> str:
    return f"; {did_you_mean(near)}" if near else ""


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
    add_verbosity(parser)
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
        one = commands.add_parser(name, help=summary(name).replace("%", "%%"))
        command_module(name).configure(one)
        add_verbosity(one)
    return parser
