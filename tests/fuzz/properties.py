"""What must hold of every command, whatever the file is like."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from unicodedata import combining, east_asian_width

from netcompile.cli.exit_codes import DONE, FINDINGS, IO_FAILED, USAGE

LOCATED = re.compile(
    r"^(?P<file>[^\n]*?):(?P<line>\d+):(?P<column>\d+): (?P<kind>error|warning|note)\[[a-z0-9-]+\]: \S"
)
SEE = re.compile(r"^  see: (?P<file>[^\n]*?):(?P<line>\d+):(?P<column>\d+): ")
EXCERPT = re.compile(r"^ *(?P<line>\d+) \| (?P<text>.*)$", re.DOTALL)
FRAME = re.compile(r'^  File "[^"]*/netcompile/([^"]*)", line (\d+), in ', re.MULTILINE)
# What is wrong with the command line or another file.
OTHERWISE = re.compile(
    r"error\[(?:usage|file|no-such-file|unknown-input|data-short|missing-input|input-shape|reference)\]"
    r"|error\[too-large\]: solver.prototxt:net_param: "  # the whole net within the solver
    r"|^netcompile: error: ",
    re.MULTILINE,
)
WIDTH = 110


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command said, and for how long it worked (seconds of processor time)."""

    command: str
    code: int
    out: str
    err: str
    took: float


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something that may not be. `key` is alike for one cause."""

    key: str
    what: str


def complaints(outcome: Outcome, name: str, data: bytes, located: bool, raw: bool) -> Iterator[Complaint]:
    """Everything that is wrong with how a command ended over the file `name`, which holds `data`."""
    said = f"netcompile {outcome.command}: exit {outcome.code}\n{outcome.err[-6000:]}"
    if outcome.code not in (DONE, FINDINGS, USAGE, IO_FAILED) or "Traceback (most recent" in outcome.err:
        yield Complaint(place(outcome.err), said)
        return
    if "not enough memory" in outcome.err:
        yield Complaint(f"memory-{outcome.command.split()[0]}", said)
    for stream, text in (("stdout", outcome.out), ("stderr", outcome.err)):
        if not (raw and stream == "stdout") and not text.replace("\n", "").isprintable():
            bad = sorted({c for c in text if not c.isprintable() and c != "\n"})
            yield Complaint(f"characters-{outcome.command.split()[0]}-{stream}", f"{stream} has {bad}: {said}")
    if "--json" in outcome.command and outcome.out and outcome.code != IO_FAILED:
        try:
            json.loads(outcome.out, parse_constant=_no_constant)
        except ValueError as error:
            yield Complaint(f"json-{outcome.command.split()[0]}", f"no JSON ({error}): {said}\n{outcome.out[:2000]}")
    if located:
        yield from _places(outcome, name, data, said)


def place(err: str) -> str:
    """Where an exception was raised, and which: alike for one bug."""
    frames = FRAME.findall(err)
    last = err.rstrip().rsplit("\nTraceback", 1)[-1]
    kind = re.findall(
        r"^([A-Za-z_][\w.]*(?:Error|Exception|Warning|Exit|Interrupt|Timeout|Iteration))\b", last, re.MULTILINE
    )
    where = "-".join(frames[-1]) if frames else "nowhere"
    return f"{where}-{kind[-1] if kind else 'exit'}".replace("/", ".")


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _places(outcome: Outcome, name: str, data: bytes, said: str) -> Iterator[Complaint]:
    """A refusal has a place; every place is in the file, and its excerpt is the file's line, the caret below it."""
    lines = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff").split("\n")
    rows = outcome.err.split("\n")
    command = outcome.command.split()[0]
    found = 0
    for index, row in enumerate(rows):
        match = LOCATED.match(row) or SEE.match(row)
        if match is None:
            continue
        found += match.groupdict().get("kind") == "error"
        if match["file"] != name:  # a net that the solver names, or one within it
            continue
        number, column = int(match["line"]), int(match["column"])
        if not 1 <= number <= len(lines) or not 1 <= column <= len(lines[number - 1]) + 1:
            yield Complaint(f"place-outside-{command}", f"{row!r} is outside the file: {said}")
            continue
        if "kind" in match.groupdict() and "".join(lines) and "[binary-file]" not in row:
            wrong = _excerpt(rows[index + 1 : index + 3], number, column, lines[number - 1].rstrip("\r"))
            if wrong:
                yield Complaint(f"excerpt-{command}", f"{wrong}: {said}")
    if outcome.code == USAGE and not found and not OTHERWISE.search(outcome.err) and "--json" not in outcome.command:
        yield Complaint(f"no-place-{command}", f"refused without a place: {said}")


def _excerpt(rows: list[str], number: int, column: int, line: str) -> str:
    match = EXCERPT.match(rows[0]) if len(rows) == 2 else None
    if match is None or int(match["line"]) != number:
        return f"no excerpt of line {number}"
    shown = _shown(line)
    text, gutter = match["text"], rows[0].index(" | ") + 3
    if "^" not in rows[1] or rows[1].strip(" |^"):
        return "no caret"
    at = rows[1].index("^") - gutter
    if len(line) <= WIDTH:
        if text != shown:
            return f"line {number} is {shown!r}, not {text!r}"
        return "" if at == _cells(shown[: column - 1]) else f"the caret is at {at} instead of below column {column}"
    if text[1:-1] not in shown and text.strip("…") not in shown:
        return f"{text!r} is no part of line {number}"
    below = [at] if text.replace("…", "").isascii() else [i for i in range(len(text) + 1) if _cells(text[:i]) == at]
    if not any(text[i : i + 1] in (shown[column - 1 : column], "…", "") for i in below):
        return f"the caret at {at} is not below column {column}"
    return ""


# Default_Ignorable_Code_Point in Unicode 15's DerivedCoreProperties, of the categories L and M
_IGNORED = re.compile(
    "[\u034f\u115f-\u1160\u17b4-\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def _shown(line: str) -> str:
    """A character for each: what cannot be printed is replaced, as are the marks of which Unicode shows nothing."""
    if line.isascii() and line.isprintable():
        return line
    return "".join(c if c.isprintable() and not _IGNORED.match(c) else " " if c == "\t" else "\ufffd" for c in line)


def _cells(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)
