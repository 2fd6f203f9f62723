"""Every file operation of a command fails once, and the process ends at each: what was found wrong, as lines."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tests.faults.forks import Done, forked, tree
from tests.faults.inject import AFTER, BEFORE, Plan, install
from tests.faults.readers import accepted
from tests.faults.trial import Bench

Failure = int | str


def operations(bench: Bench) -> list[str]:
    """The operations of the command, in order."""
    reader, writer = os.pipe()
    plan = Plan()

    def work() -> int:
        write = os.write
        install(plan)
        code = bench.command()
        write(writer, "\n".join(plan.seen).encode())
        return code

    bench.fresh()
    forked(work, bench.folder)
    os.close(writer)
    with os.fdopen(reader) as file:
        return file.read().split("\n")


def fault(bench: Bench, number: int, failure: Failure) -> str:
    """What is wrong with how the command takes a failure of this operation, or its end there; "" if nothing."""
    bench.fresh()
    done = bench.run(lambda: install(Plan(number, failure)))
    if failure in (BEFORE, AFTER):
        return killed(bench, done)
    assert isinstance(failure, int)
    wrong = bench.told(done, (os.strerror(failure),))
    if not wrong and done.code == 3:  # after another code what could be done is there: broken images are left out
        wrong = bench.kept()
    return wrong or bench.untouched(tree(bench.folder)) or bench.again()


def killed(bench: Bench, done: Done) -> str:
    """What is wrong with what a process that was killed has left; "" if nothing."""
    if done.code not in (-9, bench.scenario.code):
        return f"code {done.code}: {done.err[-500:]}"
    found = tree(bench.folder)
    wrong = bench.one_set(found) or bench.untouched(found)
    if not wrong and bench.scenario.name.startswith("build") and found not in (bench.old, bench.new):
        wrong = accepted(bench)
    return wrong or bench.again()


def numbered(bench: Bench, failures: tuple[Failure, ...]) -> Iterator[tuple[int, str, Failure]]:
    """Every operation with every failure."""
    for number, name in enumerate(operations(bench), 1):
        for failure in failures:
            yield number, name, failure


def kinds(seen: list[str]) -> str:
    """How many operations of each kind."""
    return ", ".join(f"{seen.count(name)} {name}" for name in dict.fromkeys(seen))
