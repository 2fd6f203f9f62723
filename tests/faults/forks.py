"""A fork of this process that does one thing: how it ended, and what it left. The smaller the process, the quicker."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PREFIX = ".netcompile-"


@dataclass(frozen=True, slots=True)
class Done:
    """How a process ended: its exit code, or minus the signal; its messages."""

    code: int
    err: str


def forked(work: Callable[[], int], folder: Path, until: float | None = None) -> Done:
    """Run `work` in a fork of this process, in `folder`; it is killed after `until` seconds, and a hang by SIGALRM."""
    with tempfile.TemporaryFile() as err:
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which the child does not use
            child = os.fork()
        if child == 0:
            code = 99
            try:
                signal.setitimer(signal.ITIMER_REAL, 60)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                os.dup2(err.fileno(), 2)
                sys.stdout = os.fdopen(1, "w", closefd=False)
                sys.stderr = os.fdopen(2, "w", closefd=False, errors="backslashreplace")
                os.chdir(folder)
                code = work()
                sys.stderr.flush()
            except BaseException:
                import traceback

                traceback.print_exc(file=sys.stderr)
                sys.stderr.flush()
            finally:
                os._exit(code)
        if until is not None:
            time.sleep(until)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        err.seek(0)
        return Done(os.waitstatus_to_exitcode(status), err.read().decode(errors="backslashreplace"))


def tree(folder: Path) -> dict[str, str]:
    """Every file below the folder with a digest of what is in it; incomplete ones of ours are left out."""
    found: dict[str, str] = {}
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(PREFIX)]
        inside = os.path.relpath(here, folder)
        for name in files:
            if not name.startswith(PREFIX):
                path = Path(here, name)
                found[os.path.normpath(os.path.join(inside, name))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def remains(folder: Path) -> list[str]:
    """What of ours is there and incomplete."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(f"{PREFIX}*"))
