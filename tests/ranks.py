"""Programs that need torch, in processes that have it: what torchrun does, and a program by itself, in less time.

The processes are forks of one that has imported torch, which takes seconds in each of torchrun's: of
`python -m tests.ranks`, which begins with the first program and ends with the tests. Some tests of every kind of work
with several processes begin with torchrun itself.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}


def run(count: int, *program: object) -> subprocess.CompletedProcess[str]:
    """The program in so many processes: the exit code that is not 0, if any, and what all of them said."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        code = Running(count, program, out, err).wait(300)
        return subprocess.CompletedProcess([*map(str, program)], code, out.read_text(), err.read_text())


class Running:
    """A program that has begun; there is one at a time.

    `count`: processes that know of each other as torchrun's do, or 0 for one that is by itself. `pid` is the number of
    the process that begins them, or of the one.
    """

    def __init__(self, count: int, program: tuple[object, ...], out: Path, err: Path) -> None:
        self.code: int | None = None
        self._server = _server()
        request = {
            "count": count,
            "program": [*map(str, program)],
            "cwd": os.getcwd(),
            "out": str(out),
            "err": str(err),
        }
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(request).encode() + b"\n")
        self._server.stdin.flush()
        self.pid = self._number(60)

    def poll(self) -> int | None:
        """The exit code, or None while it runs; negative for a signal's number."""
        if self.code is None and self._answered(0):
            self.code = self._number(0)
        return self.code

    def wait(self, seconds: float) -> int:
        """The exit code. Raises TimeoutError."""
        if self.code is None:
            self.code = self._number(seconds)
        return self.code

    def kill(self) -> None:
        """Send SIGKILL to the process; it may have ended."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def _answered(self, seconds: float) -> bool:
        return bool(select.select([self._server.stdout], [], [], seconds)[0])

    def _number(self, seconds: float) -> int:
        if not self._answered(seconds):
            _server.cache_clear()  # the next program is not to wait for this one
            self._server.kill()
            raise TimeoutError(f"no answer in {seconds} s")
        assert self._server.stdout is not None
        return int(self._server.stdout.readline())


@cache
def _server() -> subprocess.Popen[bytes]:
    """The process that programs are forked from; it ends where nobody can ask it any more."""
    command = [sys.executable, "-m", "tests.ranks"]
    server = subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    atexit.register(_end, server)
    return server


def _end(server: subprocess.Popen[bytes]) -> None:
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.close()
    server.stdout.close()
    server.wait()


def _serve() -> None:
    """For each line of stdin, a program: its process's number, then its exit code."""
    import torch

    import netcompile.cli.main
    import netcompile.predicting
    import netcompile.runtime.processes  # noqa: F401 - each fork has them

    torch.set_num_threads(1)
    while line := sys.stdin.readline():
        child = os.fork()
        if child == 0:
            _begin(json.loads(line))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _begin(request: dict[str, Any]) -> None:
    """The program of a request, in this process."""
    os.chdir(request["cwd"])
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    for number, path in ((1, request["out"]), (2, request["err"])):
        os.dup2(os.open(path, flags), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    count, program = request["count"], request["program"]
    _exit(_parted(count, program) if count else _program(program))


def _exit(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _program(program: list[str]) -> int:
    """The program in this process; its exit code."""
    module = program[0] == "-m"
    sys.argv = program[1:] if module else program
    try:
        if module:
            runpy.run_module(program[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(program[0], run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        return 99
    return 0


def _parted(count: int, program: list[str]) -> int:
    """The program in forks of this process, each with its rank."""
    import torch.distributed as dist

    ends = [os.pipe() for _ in range(count)]
    children = []
    for number, (end, _) in enumerate(ends):  # before there is a store, which has a thread
        child = os.fork()
        if child == 0:
            known = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": count, "MASTER_PORT": int(os.read(end, 9))}
            os.environ.update({name: str(value) for name, value in known.items()})
            os.environ.update(MASTER_ADDR="127.0.0.1", TORCHELASTIC_USE_AGENT_STORE="True")
            _exit(_program(program))
        children.append(child)
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    for _, end in ends:
        os.write(end, str(store.port).encode())
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return next((1 if code < 0 else code for code in codes if code), 0)


if __name__ == "__main__":
    _serve()
