"""``python -m tests.ranks COUNT PROGRAM.py|-m MODULE [ARGUMENT ...]``: what torchrun does, in less time.

The processes are forks of one that has imported torch, which takes seconds in each of torchrun's. Some tests of every
kind of work with several processes begin with torchrun itself.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import traceback
from pathlib import Path

import torch
import torch.distributed as dist

import netcompile.cli.main
import netcompile.predicting
import netcompile.runtime.processes  # noqa: F401 - each fork has them

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[1])}


def run(count: int, *program: object) -> subprocess.CompletedProcess[str]:
    """The program in so many processes: the exit code that is not 0, if any, and what all of them said."""
    command = [sys.executable, "-m", "tests.ranks", str(count), *map(str, program)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False)


def rank(number: int, count: int, port: int, program: list[str]) -> int:
    """The program in this process; its exit code."""
    known = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": count, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in known.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", TORCHELASTIC_USE_AGENT_STORE="True")
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


def main() -> int:
    torch.set_num_threads(1)
    count, program = int(sys.argv[1]), sys.argv[2:]
    ends = [os.pipe() for _ in range(count)]
    children = []
    for number, (end, _) in enumerate(ends):  # before there is a store, which has a thread
        child = os.fork()
        if child == 0:
            code = rank(number, count, int(os.read(end, 9)), program)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        children.append(child)
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    for _, end in ends:
        os.write(end, str(store.port).encode())
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return next((1 if code < 0 else code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
