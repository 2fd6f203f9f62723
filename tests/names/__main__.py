"""``python -m tests.names``: nets with names that nobody expects, through the commands that read a net."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter

from tests.names.check import Escaped, actions, case_of, check


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.names", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="cases to run (10,000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first (0)")
    parser.add_argument("--seed", type=int, default=0, help="of the names (0)")
    options = parser.parse_args()
    start, kinds, done = time.monotonic(), Counter[str](), Counter[str]()
    for number in range(options.first, options.first + options.count):
        case = case_of(number, options.seed)
        done[" ".join(case.action)] += 1
        try:
            check(case)
        except Escaped as error:
            kind = re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "…", str(error).split("\n")[0])[:100]
            kinds[kind] += 1
            if kinds[kind] <= 3:
                print(f"\n{ascii(str(error))[1:-1] if not str(error).isprintable() else error}".replace("\\n", "\n"))
        if (number + 1 - options.first) % 500 == 0:
            took = time.monotonic() - start
            print(f"{number + 1 - options.first} cases, {kinds.total()} failures, {took:.0f} s", flush=True)
    took = time.monotonic() - start
    print(f"{done.total()} cases, {len(actions())} commands, {kinds.total()} failures, {took:.0f} s")
    for kind, count in kinds.most_common():
        print(f"  {count} {kind}")
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main())
