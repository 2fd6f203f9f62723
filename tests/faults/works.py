"""``python -m tests.faults.works NAME FOLDER``: one way of writing files, each of its operations failing once."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from netcompile.files import whole
from netcompile.runtime.outputs import Outputs
from tests.faults.forks import Done, forked, remains, tree
from tests.faults.inject import AFTER, ERRNOS, Plan, install

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

    def run(self, prepare: Callable[[], None]) -> Done:
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


def sweep(place: Place) -> tuple[int, dict[tuple[int, int | str], str]]:
    """How many operations there are, and by operation and failure what went wrong."""
    count = place.count()
    wrong = {}
    for number in range(1, count + 1):
        both = (ERRNOS[number % len(ERRNOS)], AFTER)
        for failure in both if place.name in ("file", "folder") else both[number % 2 :][:1]:
            if found := place.trial(number, failure):
                wrong[number, failure] = found
    return count, wrong


def main() -> int:
    name, folder = sys.argv[1:]
    count, wrong = sweep(Place(Path(folder), name))
    for (number, failure), what in wrong.items():
        print(f"operation {number}, {failure}: {what}")
    print(f"{count} operations: {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
