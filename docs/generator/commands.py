"""A page for each command, from its parser: what is written here is what ``--help`` says."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from netcompile.cli.command_line import Parser, command_names, command_parser, summary

WIDTH = 90  # columns of a usage line, "usage: " included, which a page has room for
EVERYWHERE = ("-h", "-q", "-v")  # options that every command has


def cell(text: str) -> str:
    """A text as a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def usage(parser: argparse.ArgumentParser) -> str:
    """The usage lines as `--help` has them, at a width of their own."""
    formatter = argparse.HelpFormatter(prog=parser.prog, width=WIDTH)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    prefix = "usage: "
    lines = formatter.format_help().rstrip("\n").removeprefix(prefix).split("\n")
    return "\n".join(line.removeprefix(" " * len(prefix)) for line in lines)


def written(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """An option or an argument as it is given on the command line."""
    formatter = parser._get_formatter()
    if not action.option_strings:
        return str(formatter._metavar_formatter(action, action.dest)(1)[0])
    value = "" if action.nargs == 0 else " " + formatter._format_args(action, str(action.dest).upper())
    return ", ".join(f"{option}{value}" for option in action.option_strings)


def tables(parser: argparse.ArgumentParser) -> Iterator[str]:
    """A table for each group of arguments, those that every command has left out."""
    formatter = parser._get_formatter()
    for group in parser._action_groups:
        rows = [
            f"| `` {cell(written(parser, action))} `` | {cell(formatter._expand_help(action) if action.help else '')} |"
            for action in group._group_actions
            if action.help != argparse.SUPPRESS
            and not isinstance(action, argparse._SubParsersAction)
            and not set(EVERYWHERE) & set(action.option_strings)
        ]
        if rows:
            title = str(group.title).capitalize()
            head = [f"**{title}**", "", *([f"{group.description}", ""] if group.description else [])]
            yield "\n".join([*head, "| | |", "|---|---|", *rows])


def operations(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """The parsers below a parser, as `surgery` has them."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            choices: dict[str, Any] = dict(action.choices)
            yield from choices.items()


def described(parser: argparse.ArgumentParser) -> str:
    """What a parser says of itself: description, usage, arguments."""
    parts = [(parser.description or "").strip(), f"```text\n{usage(parser)}\n```", *tables(parser)]
    return "\n\n".join(part for part in parts if part)


def page(name: str, parser: Parser) -> str:
    """The page of a command."""
    parts = [f"# netcompile {name}", described(parser)]
    parts += [f"## netcompile {name} {below}\n\n{described(one)}" for below, one in operations(parser)]
    return "\n\n".join(parts) + "\n"


def pages() -> dict[str, str]:
    """A page for each command, and the list of them."""
    names = command_names()
    rows = "\n".join(f"| [`netcompile {name}`]({name}.md) | {cell(summary(name))} |" for name in names)
    index = f"""# Commands

Made from the parsers of the commands: it is what `netcompile COMMAND --help` says. All have `-h`, `-q` (errors,
warnings and the data that was asked for) and `-v` (every note; time and memory at the end). [The everyday
tools](../../tools.md) tells more about those that one uses most, and about [exit codes](../../tools.md#exit-codes).

| command | does |
|---|---|
{rows}

```{{toctree}}
:hidden:

{chr(10).join(names)}
```
"""
    return {
        "reference/commands/index.md": index,
        **{f"reference/commands/{name}.md": page(name, command_parser(name)) for name in names},
    }
