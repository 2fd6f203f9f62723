"""Every file operation of what writes files fails once; of the commands a share: `python -m tests.faults` does all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from netcompile.diagnostics.diagnostic import NetError
from netcompile.files import whole
from tests.conftest import REPOSITORY
from tests.faults.inject import AFTER, ERRNOS, Plan, install
from tests.faults.trial import forked, remains, tree

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes that are forked")

NAMES = ("m.py", "w.bin", "x.json")


def one_file() -> None:
    with whole.whole_file("out/m.py") as file:
        file.write(b"new" * 9000)


def named_file() -> None:
    """Where the system has no files without a name."""
    whole._unnamed = lambda folder: None  # type: ignore[assignment]
    one_file()


def folder() -> None:
    with whole.whole_folder("out") as staged:
        for name in NAMES:
            staged.write(name, f"new {name}".encode())


def no_links() -> None:
    """Where a file without a name cannot be given one by a link."""

    def fail(*arguments: object, **options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    os.link = fail  # type: ignore[assignment]
    one_file()


def long_run() -> None:
    from netcompile.runtime.outputs import Outputs

    with whole.claimed("out", True, lambda: None):
        outputs = Outputs("out", "settings")
        for name in NAMES:
            outputs.write(outputs.path(".", name), lambda file: file.write(b"new") and None)


WORKS = {
    "file": one_file,
    "named": named_file,
    "no links": no_links,
    "folder": folder,
    "fresh": folder,
    "run": long_run,
}
PIECES = {"run"}  # whose files stand for themselves


class Place:
    """The folder before the work, and how it looks after it went well."""

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.pieces = root, name in PIECES
        self.fresh(name != "fresh")
        self.name, self.work = name, WORKS[name]
        self.old = tree(root)
        assert self.run(lambda: None).code == 0
        self.new = tree(root)
        assert self.new != self.old
        assert not remains(root)

    def fresh(self, full: bool) -> None:
        shutil.rmtree(self.root / "out", ignore_errors=True)
        (self.root / "out").mkdir(parents=True)
        (self.root / "out" / "mine").write_text("mine")
        for name in NAMES if full else ():
            (self.root / "out" / name).write_text(f"old {name}")

    def run(self, prepare: Callable[[], None]):  # type: ignore[no-untyped-def]
        def work() -> int:
            prepare()
            try:
                self.work()
            except OSError as error:
                sys.stderr.write(os.strerror(error.errno or 0))
                return 3
            return 0

        return forked(work, self.root)

    def count(self) -> int:
        self.fresh(self.name != "fresh")
        plan = Plan()

        def work() -> int:
            install(plan)
            self.work()
            return len(plan.seen)

        return forked(work, self.root).code

    def trial(self, number: int, failure: int | str) -> str:
        """What is wrong; "" if nothing."""
        self.fresh(self.name != "fresh")
        done = self.run(lambda: install(Plan(number, failure)))
        found = tree(self.root)
        if done.code == 3 and os.strerror(int(failure)) not in done.err:
            return f"another reason: {done.err}"
        if done.code == 0 and found != self.new:
            return "all went well, it says"
        if done.code == 3 and not self.pieces and found != self.old:
            return "it failed, and the old files are not as they were"
        if done.code not in (0, 3, -9):
            return f"code {done.code}: {done.err}"
        if any(found[name] not in (self.old.get(name), self.new.get(name)) for name in found):
            return "half a file"
        old, new = ({n for n in found if found[n] == side.get(n) and n != "out/mine"} for side in (self.old, self.new))
        if self.name in ("folder", "fresh") and old and new:
            return f"old and new side by side: {old}, {new}"
        again = self.run(lambda: None)
        left = remains(self.root)
        return "" if again.code == 0 and tree(self.root) == self.new and not left else f"then {again}, {left}"


@pytest.mark.parametrize("name", WORKS)
def test_every_operation_of_what_writes_files(tmp_path: Path, name: str) -> None:
    place = Place(tmp_path, name)
    count = place.count()
    assert count > 5
    wrong = {}
    for number in range(1, count + 1):
        both = (ERRNOS[number % len(ERRNOS)], AFTER)
        for failure in both if name in ("file", "folder") else both[number % 2 :][:1]:
            if found := place.trial(number, failure):
                wrong[number, failure] = found
    assert not wrong


def test_a_share_of_the_operations_of_commands() -> None:
    """In a process of its own: what is forked there has one thread."""
    commands = ("build", "convert for a net", "predict", "run", "train", "convolutionalise")
    options = [option for name in commands for option in ("--only", name)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", *options, "--in-turn", "--share", "25", "--kills", "6"],
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
