"""``python -m tests.fuzz``: random nets against the oracles, nets with mistakes, and nets that nobody would write."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.fuzz import check, hostile, mutate
from tests.fuzz.nets import DRAWS, nets
from tests.fuzz.runner import BATCH, Tally, batch, save


def fuzz(what: str, strategy: st.SearchStrategy[Any], test: Callable[[Any], None], count: int, seed: int) -> Tally:
    """Run `count` examples in batches; a line for every 500."""
    tally, start, said = Tally(), time.monotonic(), 0
    number = 0
    while tally.nets < count:
        known = len(tally.failures)
        batch(strategy, test, seed + number, min(BATCH, count - tally.nets), tally)
        for error in tally.failures[known:]:
            print(f"\nseed {seed + number}: {error}\n", flush=True)
        number += 1
        if tally.nets // 500 > said or tally.nets >= count:
            said = tally.nets // 500
            took = time.monotonic() - start
            print(f"{tally.nets} {what}, {len(tally.failures)} failures, {took:.0f} s", flush=True)
    return tally


def wild(count: int, seed: int, only: tuple[str, ...]) -> Tally:
    """Run `count` hostile nets through the commands; of each kind of failure the first, made small."""
    tally, start, seen = Tally(), time.monotonic(), set[str]()
    for number in range(seed, seed + count):
        net = hostile.hostile(number, only)
        tally.nets += 1
        tally.layers.update(net.types)
        error = failure(net)
        if error is not None and hostile.kind(error) not in seen:
            alike = hostile.kind(error)
            seen.add(alike)
            small = hostile.smaller(net, lambda n, alike=alike: alike == hostile.kind(failure(n) or AssertionError()))
            tally.failures.append(failure(small) or error)
            print(f"\nnumber {number}: {tally.failures[-1]}\n", flush=True)
        if tally.nets % 500 == 0 or tally.nets == count:
            took = time.monotonic() - start
            print(f"{tally.nets} hostile nets, {len(tally.failures)} kinds of failure, {took:.0f} s", flush=True)
    return tally


def failure(net: hostile.Hostile) -> AssertionError | None:
    """What a hostile net brings about, None if nothing."""
    try:
        hostile.check(net)
    except AssertionError as error:
        return error
    return None


def summary(what: str, tally: Tally) -> str:
    """One line and the layers."""
    drawn = ", ".join(f"{name} {n}" for name, n in tally.layers.most_common())
    return f"{what}: {tally.nets} nets, {tally.layers.total()} layers, {len(tally.failures)} failures\n  {drawn}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="valid nets to run (5000)")
    parser.add_argument("--mistaken", type=int, help="nets with mistakes to run (as many)")
    parser.add_argument("--hostile", type=int, help="nets from the schema to run (a fifth)")
    parser.add_argument("--seed", type=int, default=0, help="of the first batch (0)")
    parser.add_argument("--types", default="", help="layer types to draw, separated by commas (all)")
    options = parser.parse_args()
    only = tuple(filter(None, options.types.split(",")))
    mistaken = options.count if options.mistaken is None else options.mistaken
    count = options.count // 5 if options.hostile is None else options.hostile
    own, forks = hostile.types()
    if unknown := [name for name in only if name not in (*DRAWS, *own, *forks)]:
        parser.error(f"no such types: {', '.join(unknown)}; there are {', '.join((*DRAWS, *own, *forks))}")
    drawn = tuple(name for name in only if name in DRAWS)
    if only and not drawn:
        options.count = mistaken = 0  # types without a rule: nets from the schema alone
    warnings.simplefilter("ignore")
    tallies = {
        "valid nets": fuzz("valid nets", nets(drawn), check.check, options.count, options.seed),
        "nets with mistakes": fuzz("nets with mistakes", mutate.mutants(drawn), mutate.check, mistaken, options.seed),
        "nets with mistakes, every command": fuzz(
            "nets with mistakes, every command",
            mutate.mutants(drawn),
            mutate.check_commands,
            mistaken // 10,
            options.seed + 10**6,
        ),
        "hostile nets": wild(count, options.seed, tuple(name for name in only if name in (*own, *forks))),
    }
    print("\n".join(summary(what, tally) for what, tally in tallies.items()))
    failures = [error for tally in tallies.values() for error in tally.failures]
    if failures:
        folder = Path(tempfile.mkdtemp(prefix="netcompile-fuzz-"))
        save(failures, folder)
        print(f"{len(failures)} failures, saved in {folder}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
