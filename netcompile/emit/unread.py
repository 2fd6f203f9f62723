"""Variables that an emitted method sets and never reads: with an underscore before them, as linters want it."""

from __future__ import annotations

import re
import symtable
from collections.abc import Collection, Iterable, Sequence

SETS = re.compile(r"(?:\w+(?:, \w+)* = )+")


def unread(statements: Sequence[str], results: Iterable[str]) -> frozenset[str]:
    """The variables that statements set, and that neither these read nor `results`, expressions of a method's end.

    >>> sorted(unread(["a, b = f(x)", "a = g(a)"], ["a"]))
    ['b']
    """
    lines = ["def f():", *(f" {line}" for line in statements), f" return {', '.join(results) or None}"]
    whole = symtable.symtable("\n".join(lines), "<emitted>", "exec")
    (table,) = (each for each in whole.get_children() if each.get_name() == "f")  # Python 3.14 lists annotations too
    symbols = table.get_symbols()
    names = {symbol.get_name() for symbol in symbols}
    found = {s.get_name() for s in symbols if s.is_assigned() and not s.is_referenced()}
    gone = {name for line in statements if line.startswith("del ") for name in re.findall(r"\w+", line)}
    return frozenset(name for name in found - gone if name[0] != "_" and f"_{name}" not in names)


def renamed(statement: str, names: Collection[str]) -> str:
    """The statement, with an underscore before each of `names` that it sets.

    >>> renamed("a, b = f(x)  # as b = 2", ["b"])
    'a, _b = f(x)  # as b = 2'
    """
    found = SETS.match(statement)
    if not names or found is None:
        return statement
    targets = re.sub(r"\w+", lambda name: f"_{name[0]}" if name[0] in names else name[0], found[0])
    return targets + statement[found.end() :]
