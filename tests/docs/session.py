"""Runs the blocks of a page, one after the other, in a folder of the page's own, as a reader would.

What becomes of a block follows from its language, and from a comment above it:

| block | what is done |
|---|---|
| `console` | each ``$ netcompile …`` is run, exit code 0; what stands below it is what it prints, messages first |
| `sh` | each ``netcompile …`` is run, exit code 0; targets of make and extras of pip have to exist |
| `python` with ``>>>`` | doctest, in the page's namespace |
| `python` | executed in the page's namespace |
| `json`, `toml` | parsed (of JSON each line, or the whole) |
| ``<!-- file: NAME -->`` | written into the folder |
| ``<!-- exit code 1 -->`` | a `console` block whose commands have findings |
| ``<!-- part of the output -->`` | its lines stand in what the last command printed |
| ``<!-- not run: WHY -->`` | commands are parsed, Python is compiled: options and syntax are right |
| ``<!-- net: Class.method … -->`` | a listing, which tests/test_source.py compares |

The folder has the repository's `tests`, for its pictures. A block of another kind is a mistake of the page.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import json
import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docs.generator.markdown import Block
from netcompile.cli.command_line import command_names, command_parser
from netcompile.cli.exit_codes import DONE, FINDINGS
from netcompile.cli.main import entry
from netcompile.prototxt.recognise import open_source
from tests.conftest import REPOSITORY

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS | doctest.FAIL_FAST
LISTING = re.compile(r"\w+: [A-Z]\w*(\.\w+)?")
PLACEHOLDERS = {"IMAGES…": "images"}


class Session:
    """What a page's blocks have made so far: the names of its Python, and what its last command printed."""

    def __init__(self, page: str, read: Callable[[], tuple[str, str]]) -> None:
        self.page, self.read = page, read
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.printed = ""

    def run(self, block: Block) -> None:
        """Do what a block asks for; raises AssertionError where the page is wrong."""
        kind, _, what = block.marker.partition(": ")
        if kind == "not run":
            assert len(what) > 10, "say why it is not run"
            look_at(block)
        elif kind == "file":
            Path(what).parent.mkdir(parents=True, exist_ok=True)
            Path(what).write_text(block.text, encoding="utf-8")
        elif kind == f"exit code {FINDINGS}":
            self.console(block.text, FINDINGS)
        elif block.marker == "part of the output":
            missing = [line for line in block.text.splitlines() if line.rstrip() not in self.printed]
            assert missing == []
        elif LISTING.match(block.marker):
            ast.parse(block.text)
        else:
            {
                "console": self.console,
                "sh": self.shell,
                "python": self.python,
                "json": parse_json,
                "toml": tomllib.loads,
            }[block.language](block.text)

    def command(self, line: str, wanted: int = DONE) -> None:
        """Run a command of netcompile's; it has to end with an exit code."""
        code = entry(shlex.split(line, comments=True)[1:])
        said, notes = self.read()
        self.printed = notes + said
        assert code == wanted, f"{line}: exit code {code}: {notes}"

    def console(self, text: str, code: int = DONE) -> None:
        for line, wanted in dialogue(text):
            assert line.startswith("netcompile "), line
            self.command(line, code)
            same = doctest.OutputChecker().check_output(wanted, self.printed.rstrip() + "\n", doctest.ELLIPSIS)
            assert same, f"{line} prints:\n{self.printed}"

    def shell(self, text: str) -> None:
        for line in lines(text):
            if line.startswith("netcompile "):
                self.command(line)
            else:
                look_at_program(line)

    def python(self, text: str) -> None:
        if not text.lstrip().startswith(">>>"):
            exec(compile(text, self.page, "exec"), self.names)
            return
        test = doctest.DocTestParser().get_doctest(text, self.names, self.page, self.page, 0)
        test.globs = self.names  # as it is, so that the next block has what this one made
        said: list[str] = []
        runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
        runner.run(test, out=said.append, clear_globs=False)
        assert runner.failures == 0, "".join(said)


def lines(text: str) -> list[str]:
    """Command lines, those that go on after a backslash joined, without remarks."""
    joined = re.sub(r"\\\n\s*", "", text).splitlines()
    return [line for line in (each.partition(" # ")[0].strip() for each in joined) if line and not line.startswith("#")]


def dialogue(text: str) -> list[tuple[str, str]]:
    """Each command line of a `console` block, and what stands below it."""
    parts = re.split(r"^\$ ", re.sub(r"\\\n\s*", "", text), flags=re.MULTILINE)
    assert parts[0] == "", "a console block begins with a command"
    return [(line, output.rstrip() + "\n") for line, _, output in (part.partition("\n") for part in parts[1:])]


def parse_json(text: str) -> None:
    with contextlib.suppress(ValueError):
        json.loads(text)
        return
    for line in text.splitlines():
        json.loads(line)


def look_at(block: Block) -> None:
    """What can be said of a block without running it."""
    if block.language == "python":
        ast.parse(block.text)
    elif block.language in ("sh", "console"):
        commands = lines(block.text) if block.language == "sh" else [line for line, _ in dialogue(block.text)]
        for line in commands:
            parse(line) if re.match(r"netcompile ", line) else look_at_program(line)
    else:
        assert block.language in ("prototxt", "text", "json", "toml")


def parse(line: str) -> None:
    """Whether a command line has the options that the command has."""
    words = shlex.split(line.split(" > ")[0], comments=True)
    assert words[1] in command_names(), line
    try:
        command_parser(words[1]).parse_args([PLACEHOLDERS.get(word, word) for word in words[2:]])
    except SystemExit:
        raise AssertionError(f"{line}: does not parse") from None


def look_at_program(line: str) -> None:
    """A target of make or an extra of pip has to exist, and a module of netcompile's; other programs are others'."""
    words = shlex.split(line)
    if words[0] == "make":
        assert f"\n{words[1]}:" in (REPOSITORY / "Makefile").read_text(encoding="utf-8"), line
    elif words[:2] == ["pip", "install"]:
        project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        for extras in re.findall(r"\[([\w,-]+)\]", line):
            assert set(extras.split(",")) <= project["optional-dependencies"].keys(), line
    elif "netcompile" in words and "-m" in words:
        parse(f"netcompile {shlex.join(words[words.index('netcompile') + 1 :])}")
    else:
        assert words[0] in ("python", "eval", "torchrun", ".", "cd", "cat", ".venv/bin/python"), line


def prototxt(text: str, path: Path) -> None:
    """A net that can be read."""
    path.write_text(text, encoding="utf-8")
    open_source(path)
