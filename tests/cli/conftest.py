"""How the tests of the command line call it: in this process, or as a program of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from netcompile.cli.main import entry


@dataclass(frozen=True, slots=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Call = Callable[..., Result]


@pytest.fixture
def netcompile(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """`netcompile("offsets", path)` in this process; a bug shows its traceback."""
    monkeypatch.setenv("NETCOMPILE_TRACEBACK", "1")

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        code = entry([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return call


@pytest.fixture
def program() -> Call:
    """The same as a program, with `stdin` as text or bytes and further options of subprocess.run."""

    def call(*arguments: object, stdin: str | bytes = b"", **options: Any) -> Result:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        options.setdefault("stdout", subprocess.PIPE)
        done = subprocess.run(
            [sys.executable, "-m", "netcompile", *map(str, arguments)],
            input=data,
            stderr=subprocess.PIPE,
            check=False,
            timeout=120,
            **options,
        )
        return Result(done.returncode, (done.stdout or b"").decode(), done.stderr.decode())

    return call
