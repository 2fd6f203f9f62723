"""A machine on which others work, too: processes that keep a CPU busy each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Ends by itself when the process that started it is gone, however that ended.
_WORK = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    for _ in range(1_000_000):
        pass
"""


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Within, `count` other processes count as fast as they can."""
    processes = []
    try:
        for _ in range(count):
            processes.append(subprocess.Popen([sys.executable, "-c", _WORK, str(os.getpid())]))
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
