"""One mutant, one command: run in this process and judged."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType
from unittest.mock import patch

from netcompile.cli import command_line, main
from netcompile.cli.exit_codes import DONE, FINDINGS, USAGE
from netcompile.cli.main import entry
from tests.fuzz.lines import FOLDER
from tests.fuzz.properties import Complaint, Outcome, complaints
from tests.fuzz.targets import Row, Target

SHM = "/dev/shm"  # in memory, where there is one: thousands of files are written and removed
HOPELESS = 12.0  # seconds of processor time after which a command is given up
SAID = re.compile(r"(?:error|warning|note)(?:\[[a-z0-9-]+\])?: [^\n]*")
VARIABLE = re.compile(r"'[^']*'|\S*/\S*|-?\d[\d.e+-]*")


@dataclass(frozen=True, slots=True)
class Examined:
    """What is wrong, whether something was said for the first time, and whether no command refused the file."""

    complaints: list[tuple[Row, Complaint]]
    fresh: bool
    accepted: bool


class Hopeless(BaseException):
    """A command that does not end; no Exception, so that no command catches it."""


@contextmanager
def bench(target: Target, slow: float = 1.0) -> Iterator[Bench]:
    """A working folder with what a target's commands need; the place to run them."""
    before = os.getcwd()
    with (
        tempfile.TemporaryDirectory(prefix="netcompile-fuzz-", dir=SHM if os.access(SHM, os.W_OK) else None) as folder,
        patch.dict(os.environ, {"NETCOMPILE_TRACEBACK": "1"}),
        # A quarter of the time of a small net.
        patch.object(main, "command_parser", cache(command_line.command_parser)),
    ):
        os.chdir(folder)
        made = None
        try:
            if target.fixtures is not None:
                target.fixtures()
            made = Bench(target, slow)
            yield made
        finally:
            if made is not None:
                signal.signal(signal.SIGPROF, made.handler)
            os.chdir(before)


class Bench:
    """The working folder of a target, and what has been said there.

    `slow`: seconds of processor time that no command may take over a mutant.
    """

    def __init__(self, target: Target, slow: float) -> None:
        self.target, self.slow = target, slow
        self.features: set[str] = set()
        self._stuck = ""
        self._kept = set(os.listdir())
        self.handler = signal.signal(signal.SIGPROF, self._alarm)

    def rows(self, data: bytes, rows: Sequence[Row]) -> Iterator[tuple[Row, Outcome, bytes]]:
        """Run the commands over a mutant, one after the other; none is run after one that refused it.

        With each the file that its messages are about: `check --fix` has written another.
        """
        for row in rows:
            Path(self.target.file).write_bytes(data)
            around = nullcontext() if self.target.around is None else self.target.around(data, row)
            if around is None:
                continue
            try:
                with around:
                    outcome = self._command(row.arguments)
                told = Path(self.target.file).read_bytes() if "--fix" in row.arguments else data
            finally:
                self._clear()
            yield row, outcome, told
            if outcome.code == USAGE:
                return

    def examine(self, data: bytes, rows: Sequence[Row]) -> Examined:
        """Run the commands over a mutant, and judge how they ended."""
        found: list[tuple[Row, Complaint]] = []
        fresh, accepted = False, True
        for row, outcome, told in self.rows(data, rows):
            for complaint in complaints(outcome, self.target.file, told, row.located, row.raw):
                found.append((row, complaint))
            if self.target.wanted is not None and (wrong := self.target.wanted(data, outcome.err)):
                found.append((row, Complaint(wrong.split(":")[0], f"{wrong}\n{outcome.err}")))
            if outcome.took > self.slow and (slow := self._slow(data, row)):
                found.append((row, slow))
            accepted &= outcome.code in (DONE, FINDINGS)
            features = {VARIABLE.sub("…", said)[:60] for said in SAID.findall(outcome.err)}
            fresh |= not features <= self.features
            self.features |= features
        return Examined(found, fresh, accepted)

    def _slow(self, data: bytes, row: Row) -> Complaint | None:
        """The complaint, if it is as slow again: the first time it may have imported something, or been traced."""
        tracer = sys.gettrace()
        sys.settrace(None)
        try:
            for _, outcome, _ in self.rows(data, [row]):
                if outcome.took > self.slow:
                    return Complaint(f"slow-{self._stuck}", f"netcompile {row}: {outcome.took:.1f} s, at {self._stuck}")
            return None
        finally:
            sys.settrace(tracer)

    def _alarm(self, number: int, frame: FrameType | None) -> None:
        if self._stuck:
            raise Hopeless
        while frame is not None and not frame.f_code.co_filename.startswith(FOLDER):
            frame = frame.f_back
        code = frame.f_code if frame is not None else None
        self._stuck = f"{code.co_filename[len(FOLDER) :].replace('/', '.')}-{code.co_name}" if code else "nowhere"
        signal.setitimer(signal.ITIMER_PROF, HOPELESS)

    def _command(self, arguments: Sequence[str]) -> Outcome:
        with captured() as said:
            self._stuck = ""
            signal.setitimer(signal.ITIMER_PROF, self.slow)
            start = time.process_time()
            try:
                code = entry(arguments)
            except Hopeless:
                code = USAGE
            finally:
                took = time.process_time() - start
                signal.setitimer(signal.ITIMER_PROF, 0)
        return Outcome(" ".join(arguments), code, *said, took)

    def _clear(self) -> None:
        """Remove what a command wrote."""
        for name in set(os.listdir()) - self._kept:
            if os.path.isdir(name) and not os.path.islink(name):
                shutil.rmtree(name)
            else:
                os.unlink(name)


@contextmanager
def captured() -> Iterator[list[str]]:
    """What is written to stdout and stderr meanwhile, as texts; filled at the end."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace") for _ in range(2))
    said: list[str] = []
    with redirect_stdout(out), redirect_stderr(err):
        yield said
    for stream in (out, err):
        stream.flush()
        said.append(stream.buffer.getvalue().decode("utf-8", "replace"))  # type: ignore[attr-defined]
