"""Plain command lines: what is read without argparse is what argparse reads."""

from __future__ import annotations

from importlib import import_module

import pytest

from netcompile.cli import plain
from netcompile.cli.main import COMMANDS, parser_class

LINES = [
    [],
    ["net"],
    ["-"],
    [""],
    ["a", "b"],
    ["net", "--json"],
    ["--json", "net"],
    ["net", "--json", "--json"],
    ["net", "--json", "--html"],
    ["net", "--explain", "--with-loss"],
    ["net", "--allow-unknown", "--round-crops"],
    ["--", "net"],
    ["net", "--phase", "train"],
    ["net", "--phase=train"],
    ["net", "--js"],
    ["-1"],
    ["net", "--input", "data=1x3x5x5"],
    ["net", "--diff"],
    ["net", "-h"],
    ["a b"],
]


def by_argparse(command, line):
    parser = parser_class()(prog=command.__name__, allow_abbrev=False)
    command.configure(parser)
    try:
        return vars(parser.parse_args(line))
    except SystemExit:
        return None


@pytest.mark.parametrize("name", COMMANDS)
def test_agrees_with_argparse(name, capsys):
    command = import_module(f"netcompile.cli.{name.replace('-', '_')}")
    for line in LINES:
        found = plain.read(command.configure, line)
        assert found is None or vars(found) == by_argparse(command, line), line
    capsys.readouterr()


@pytest.mark.parametrize("line", [["net"], ["-"], ["net", "--json"], ["--explain", "net", "--with-loss"]])
def test_reads_the_common_lines(line):
    assert plain.read(import_module("netcompile.cli.offsets").configure, line) is not None
