"""``python -m tests.fuzz``: many random nets against the oracles, then as many with mistakes."""

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

from tests.fuzz import check, mutate
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="valid nets to run (5000)")
    parser.add_argument("--mistaken", type=int, help="nets with mistakes to run (as many)")
    parser.add_argument("--seed", type=int, default=0, help="of the first batch (0)")
    parser.add_argument("--types", default="", help="layer types to draw, separated by commas (all)")
    options = parser.parse_args()
    only = tuple(filter(None, options.types.split(",")))
    if unknown := [name for name in only if name not in DRAWS]:
        parser.error(f"no such types: {', '.join(unknown)}; there are {', '.join(DRAWS)}")
    warnings.simplefilter("ignore")
    mistaken = options.count if options.mistaken is None else options.mistaken
    valid = fuzz("valid nets", nets(only), check.check, options.count, options.seed)
    print("layers: " + ", ".join(f"{name} {n}" for name, n in valid.layers.most_common()))
    wrong = fuzz("nets with mistakes", mutate.mutants(only), mutate.check, mistaken, options.seed)
    failures = [*valid.failures, *wrong.failures]
    if failures:
        folder = Path(tempfile.mkdtemp(prefix="netcompile-fuzz-"))
        save(failures, folder)
        print(f"{len(failures)} failures, saved in {folder}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
