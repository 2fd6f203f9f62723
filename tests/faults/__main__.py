"""``python -m tests.faults``: every operation of every command with every failure, and kills at random times.

It takes an hour and more on one core; ``--only NAME`` and ``--errno`` take a part of it. Exit code 1 where anything is
wrong, with a line for each finding.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.forks import forked
from tests.faults.inject import AFTER, BEFORE, ERRNOS
from tests.faults.scenarios import SCENARIOS
from tests.faults.sweep import fault, killed, operations
from tests.faults.trial import Bench


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="a command of tests/faults/scenarios.py")
    parser.add_argument("--errno", action="append", metavar="E", help="EIO, ENOSPC, …; kill for ends of the process")
    parser.add_argument("--in-turn", action="store_true", help="one error for each operation, in turn, and a kill")
    parser.add_argument("--share", type=int, default=1, metavar="N", help="one of N operations")
    parser.add_argument("--start", type=int, default=1, metavar="N", help="begin with operation N, to go on with a run")
    parser.add_argument("--kills", type=int, default=0, metavar="N", help="kills at random times, of all commands")
    parser.add_argument("--no-sweep", action="store_true", help="kills at random times alone")
    parser.add_argument("--seed", type=int, default=1, help="of the times, default 1")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)  # forks of a process with threads of its own would wait for them
    failures = chosen(arguments.errno)
    tally, wrong = Counter[str](), 0
    with tempfile.TemporaryDirectory(prefix="netcompile-faults-") as root:
        benches = [
            Bench(scenario, Path(root, str(index)))
            for index, scenario in enumerate(SCENARIOS)
            if not arguments.only or scenario.name in arguments.only
        ]
        if not arguments.no_sweep:
            for bench in benches:
                wrong += sweep(bench, None if arguments.in_turn else failures, arguments, tally)
        wrong += kills(benches, arguments.kills, arguments.seed, tally)
    print(f"{dict(tally)}: {wrong} wrong")
    return 1 if wrong else 0


def chosen(names: list[str] | None) -> tuple[int | str, ...]:
    """The failures that were asked for."""
    if names is None:
        return (*ERRNOS, BEFORE, AFTER)
    found: list[int | str] = []
    for name in names:
        found += [BEFORE, AFTER] if name == "kill" else [getattr(errno, name)]
    return tuple(found)


def sweep(
    bench: Bench, failures: tuple[int | str, ...] | None, arguments: argparse.Namespace, tally: Counter[str]
) -> int:
    """Every operation of one command from `start` on, or one of `share`, with every failure; how many went wrong.

    Without `failures` each has one error, and the next one another, and a kill when it is done.
    """
    seen, wrong, start, share = operations(bench), 0, time.monotonic(), arguments.share
    for number, name in enumerate(seen, 1):
        if number < arguments.start or number % share:
            continue
        for failure in failures or (ERRNOS[number // share % len(ERRNOS)], AFTER):
            tally["killed at an operation" if isinstance(failure, str) else "failed operations"] += 1
            found = fault(bench, number, failure)
            if found:
                wrong += 1
                what = failure if isinstance(failure, str) else errno.errorcode[failure]
                say(f"{bench.scenario.name}, operation {number} ({name}), {what}: {found}\n")
        say(f"\r{bench.scenario.name}: {number} of {len(seen)} operations, {wrong} wrong")
    say(f", {time.monotonic() - start:.0f} s\n")
    return wrong


def kills(benches: list[Bench], count: int, seed: int, tally: Counter[str]) -> int:
    """Kills at random times of a run; how many left something wrong."""
    draw, wrong = random.Random(seed), 0
    lengths = {}
    for bench in benches if count else ():
        start = time.monotonic()
        bench.fresh()
        forked(bench.command, bench.folder)
        lengths[bench.scenario.name] = time.monotonic() - start
    for number in range(count):
        bench = benches[number % len(benches)]
        bench.fresh()
        done = bench.run(lambda: None, draw.uniform(0, lengths[bench.scenario.name]))
        tally["killed at a time" if done.code == -9 else "was done before"] += 1
        found = killed(bench, done)
        if found:
            wrong += 1
            say(f"{bench.scenario.name}, kill {number}: {found}\n")
        if number % 20 == 19:
            say(f"\r{number + 1} of {count} kills, {wrong} wrong")
    say("\n" if count else "")
    return wrong


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(text)
    sys.stderr.flush()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
