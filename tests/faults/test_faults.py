"""Every file operation of what writes files fails once; of the commands a share: `python -m tests.faults` does all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from netcompile.diagnostics.diagnostic import NetError
from netcompile.files import whole
from tests.conftest import REPOSITORY
from tests.faults.forks import forked
from tests.faults.works import NAMES, WORKS

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes that are forked")


@pytest.mark.parametrize("name", WORKS)
def test_every_operation_of_what_writes_files(tmp_path: Path, name: str) -> None:
    """In a small process of its own, whose forks take no time."""
    command = [sys.executable, "-m", "tests.faults.works", name, str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    found = re.fullmatch(r"(\d+) operations: 0 wrong\n", done.stdout)
    assert found, done.stdout
    assert int(found[1]) > 5


@pytest.mark.long
def test_a_share_of_the_operations_of_commands() -> None:
    """In a process of its own: what is forked there has one thread."""
    commands = ("build", "convert for a net", "predict", "run", "train", "convolutionalise")
    options = [option for name in commands for option in ("--only", name)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", *options, "--in-turn", "--share", "40", "--kills", "4"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(": 0 wrong\n")


def test_readers_beside_a_writer(tmp_path: Path) -> None:
    """Files of one run, or a refusal, however often another run replaces them meanwhile."""
    out = tmp_path / "out"

    def writes() -> int:
        for number in range(60):
            with whole.whole_folder("out") as staged:
                for name in NAMES:
                    staged.write(name, b"%d" % number)
        return 0

    def reads() -> int:
        def same() -> str:
            texts = {(out / name).read_text() for name in NAMES}
            if len(texts) > 1:  # each was opened by itself: a reader has to compare, as by a manifest's checksums
                raise NetError([])
            return texts.pop()

        last, seen = -1, set()
        while last < 59:
            last = max(last, int(whole.settled(str(out / NAMES[0]), same)))
            seen.add(last)
        return 0 if len(seen) > 1 else 1

    with whole.whole_folder(str(out)) as staged:
        for name in NAMES:
            staged.write(name, b"-1")
    readers = []
    for _ in range(2):
        readers.append(started(reads))
    assert forked(writes, tmp_path).code == 0
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in readers] == [0, 0]


def started(work: Callable[[], int]) -> int:
    """The number of a process that does this beside us."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            os._exit(work())
        finally:
            os._exit(99)
    return child
