"""One command with one fault, in a process of its own that is forked from this one: what it said and what it left."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from tests.faults.forks import Done, forked, remains, tree
from tests.faults.scenarios import Scenario, inputs


def warm(command: tuple[str, ...], folder: Path, code: int = 0) -> None:
    """Run a command in this process: what it imports and reads once, its forks have."""
    from netcompile.cli.main import entry

    before = os.getcwd()
    said = io.StringIO()
    os.chdir(folder)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(said):
            assert entry(command) == code, (command, said.getvalue())
    finally:
        os.chdir(before)


class Bench:
    """A scenario set up once: how its folder looks before the command, and after it went well."""

    def __init__(self, scenario: Scenario, root: Path) -> None:
        self.scenario = scenario
        self.pristine, self.folder = root / "pristine", root / "work"
        for folder in (self.pristine, self.folder):
            shutil.rmtree(folder, ignore_errors=True)
        self.pristine.mkdir(parents=True)
        inputs(self.pristine)
        if scenario.before:
            warm(scenario.before, self.pristine)
        if scenario.setup is not None:
            scenario.setup(self.pristine)
        self.fresh()
        self.old = tree(self.folder)
        warm(scenario.command, self.folder, scenario.code)
        self.fresh()
        done = self.run(lambda: None)
        assert done.code == scenario.code, (scenario.name, done)
        assert not remains(self.folder), scenario.name
        self.new = tree(self.folder)

    def fresh(self) -> None:
        """The folder as it was before the command."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.pristine, self.folder, symlinks=True)

    def command(self) -> int:
        """The command, in this process."""
        from netcompile.cli.main import entry

        return entry(self.scenario.command)

    def run(self, prepare: Callable[[], None], until: float | None = None) -> Done:
        """The command, in a process that `prepare` has prepared, and that is killed after `until` seconds."""

        def work() -> int:
            prepare()
            return self.command()

        return forked(work, self.folder, until)

    # what may be there ------------------------------------------------------------------------------------------

    def told(self, done: Done, reasons: tuple[str, ...]) -> str:
        """What is wrong with how a command told a failure; "" if nothing."""
        lines = [line for line in done.err.splitlines() if line.startswith("netcompile: error: ")]
        if "Traceback" in done.err or done.code in (70, 99) or done.code < 0:
            return f"code {done.code}: {done.err[-1500:]}"
        if done.code == self.scenario.code:
            found = tree(self.folder)
            return "" if found == self.new else f"it says that all went well: {self.differs(found, self.new)}"
        if done.code != 3 and done.code not in self.scenario.codes:
            return f"code {done.code}: {done.err[-500:]}"
        if not any(reason in done.err for reason in (*reasons, "not found in search path")):  # of our own templates
            return f"no reason ({reasons}): {done.err[-500:]}"
        if done.code == 3 and len(lines) != 1:
            return f"not one line: {done.err[-500:]}"
        if done.code == 3 and not lines[0].removeprefix("netcompile: error: ").rpartition(": ")[0]:
            return f"no file: {lines[0]}"
        return ""

    def kept(self) -> str:
        """What a command that failed changed; "" if nothing that it should not."""
        found = tree(self.folder)
        if found == self.old:
            return ""
        if self.scenario.pieces:
            return self.one_set(found)
        return self.differs(found, self.old)

    def one_set(self, found: dict[str, str]) -> str:
        """Why files are not each old or new, and those of a group not of one run; "" if they are."""
        for name, digest in found.items():
            written = self.scenario.name == "spec"  # by the script itself, as it likes
            if not written and digest not in (self.old.get(name), self.new.get(name)):
                return f"{name} is neither old nor new"
        return next(filter(None, (self._mixed(found, group) for group in self.groups())), "")

    def groups(self) -> Iterator[tuple[str, ...]]:
        """Names in the folder that belong together; a training's are those of a snapshot, and its last two files."""
        names = tuple(f"out/{name}" for name in self.scenario.group)
        if self.scenario.name == "train":
            yield names[:3]
            yield names[3:]
        else:
            yield names

    def _mixed(self, found: dict[str, str], group: tuple[str, ...]) -> str:
        sides = {
            name: (found[name] == self.old.get(name), found[name] == self.new.get(name))
            for name in group
            if name in found and self.old.get(name) != self.new.get(name)
        }
        if any(was for was, _ in sides.values()) and any(now for _, now in sides.values()):
            return f"old and new side by side: {sides}"
        return ""

    def untouched(self, found: dict[str, str]) -> str:
        """Which files that the command has nothing to do with are not as they were; "" if none."""
        others = {name for name in self.old if self.old[name] == self.new.get(name)}
        group = {f"out/{name}" for name in self.scenario.group}
        under_way = {None} if remains(self.folder) else set()  # the next run brings them back, or is found wrong
        wrong = [name for name in others - group if found.get(name) not in {self.old[name], *under_way}]
        return f"not as they were: {wrong}" if wrong else ""

    def again(self) -> str:
        """Why the next run does not go well, or leaves anything of the one before; "" if it does."""
        if not remains(self.folder) and tree(self.folder) == self.old:
            return ""  # as if nothing had been
        done = self.run(lambda: None)
        found = tree(self.folder)
        if done.code != self.scenario.code:
            return f"the next run: code {done.code}: {done.err[-500:]}"
        if found != self.new:
            return f"the next run: {self.differs(found, self.new)}"
        left = remains(self.folder)
        return f"the next run leaves {left}" if left else ""

    def differs(self, found: dict[str, str], wanted: dict[str, str]) -> str:
        """Which files differ."""
        names = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
        return f"differ: {names}"


@contextmanager
def benches(scenarios: tuple[Scenario, ...]) -> Iterator[list[Bench]]:
    """All of them, in folders that are removed at the end."""
    with tempfile.TemporaryDirectory(prefix="netcompile-faults-") as root:
        yield [Bench(scenario, Path(root, str(index))) for index, scenario in enumerate(scenarios)]
