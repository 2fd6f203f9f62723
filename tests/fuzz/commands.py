"""The commands over one net, in this process, and what must hold whatever the net is like.

They end with 0, 1 or 2, never with 70; what they refuse they refuse at a place in the file; they are quick.
"""

from __future__ import annotations

import io
import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from netcompile.cli.exit_codes import DONE, FINDINGS, USAGE
from netcompile.cli.main import entry

NET = "net.prototxt"
SLOW = 2.0  # seconds of processor time
REPORTS = (
    ("check",),
    ("check", "--json"),
    ("offsets",),
    ("offsets", "--json"),
    ("offsets", "--html"),
    ("offsets", "--explain"),
    ("inspect",),
    ("inspect", "--json"),
    ("inspect", "--dot"),
    ("inspect", "--graphml"),
)
BUILDS = tuple(("build", f"-O{level}", "-o", "out") for level in (0, 1, 2))
EVERY = (*REPORTS, *BUILDS)
LOCATED = re.compile(rf"^{re.escape(NET)}:\d+:\d+: error\[[a-z0-9-]+\]: \S", re.MULTILINE)
OTHERWISE = re.compile(r"error\[(?:crop-[a-z-]+|file)\]")


class Misbehaved(AssertionError):
    """A command that did what no command may do."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command said, and for how long it worked (seconds of processor time)."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str
    took: float

    def __str__(self) -> str:
        return f"netcompile {' '.join(self.arguments)}: exit {self.code}\n{self.err}"


@contextmanager
def folder_with(text: str) -> Iterator[None]:
    """A new working folder that holds the net."""
    before = os.getcwd()
    with TemporaryDirectory(prefix="netcompile-fuzz-") as folder:
        Path(folder, NET).write_bytes(text.encode("utf-8", "surrogateescape"))
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def command(arguments: Sequence[str]) -> Outcome:
    """Run one command over the net in the working folder."""
    name, *options = arguments
    return ran((name, NET, *options))


def ran(full: tuple[str, ...]) -> Outcome:
    """Run a command line in the working folder."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace") for _ in range(2))
    start = time.process_time()
    with patch.dict(os.environ, {"NETCOMPILE_TRACEBACK": "1"}), redirect_stdout(out), redirect_stderr(err):
        code = entry(full)
    took = time.process_time() - start
    said = []
    for stream in (out, err):
        stream.flush()
        said.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    return Outcome(full, code, *said, took)


def examine(text: str, options: Sequence[str], commands: Sequence[Sequence[str]] = EVERY) -> dict[str, int]:
    """Run the commands; their exit codes. Raises Misbehaved."""
    with folder_with(text):
        found = [_examined(command([*arguments, *options])) for arguments in commands]
    codes = {" ".join(o.arguments[:1] + o.arguments[2:]): o.code for o in found}
    _agree(found)
    return codes


def _examined(outcome: Outcome) -> Outcome:
    """The outcome of a command that behaved. Raises Misbehaved."""
    if outcome.code not in (DONE, FINDINGS, USAGE):
        raise Misbehaved(str(outcome))
    if "Traceback" in outcome.err or "internal error" in outcome.err:
        raise Misbehaved(f"a traceback: {outcome}")
    if outcome.took > SLOW:
        raise Misbehaved(f"{outcome.took:.1f} s: {outcome}")
    _rendered(outcome)
    return outcome


def _rendered(outcome: Outcome) -> None:
    """JSON is JSON without NaN, and what is refused has a place."""
    if "--json" in outcome.arguments and outcome.out:
        try:
            report = json.loads(outcome.out, parse_constant=_no_constant)
        except ValueError as error:
            raise Misbehaved(f"no JSON ({error}): {outcome}\n{outcome.out[:2000]}") from error
        if outcome.arguments[0] == "check":
            errors = [f for f in report["findings"] if f["severity"] == "error"]
            if outcome.code == USAGE and not errors:
                raise Misbehaved(f"refused without an error: {outcome}\n{outcome.out[:2000]}")
            return
    refused = outcome.code == USAGE
    if refused and not LOCATED.search(outcome.err):
        raise Misbehaved(f"refused without a place: {outcome}")
    if outcome.code == DONE and LOCATED.search(outcome.err):
        raise Misbehaved(f"an error, and yet exit 0: {outcome}")


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _agree(found: Sequence[Outcome]) -> None:
    """A net is refused by every command, or by none, but for crops, which are findings to some of them, and for files
    with a loss's numbers, which only a build reads."""
    refused = [o for o in found if o.code == USAGE]
    if not refused or len(refused) == len(found) or any(OTHERWISE.search(o.err) for o in found):
        return
    accepted = next(o for o in found if o.code != USAGE)
    raise Misbehaved(f"refused by one command only:\n{refused[0]}\n{accepted}")
