"""No layer type without a case: real Caffe's numbers, or a plain NumPy oracle, or a reason."""

from __future__ import annotations

import re

from netcompile.layers.base import Arity
from netcompile.layers.registry import MODULES, load
from tests.conftest import ALL_CASES
from tests.fuzz.oracles import ORACLES

WITHOUT_NUMBERS = {"Recurrent": "abstract, refused"}


def in_conformance() -> set[str]:
    found: set[str] = set()
    for case in ALL_CASES:
        found.update(re.findall(r'type: "(\w+)"', case.net.read_text()))
    return found


def test_every_type_has_a_case() -> None:
    """Under any of its names; sources and sinks compute nothing, and forks' losses vanish at inference."""
    numbers = in_conformance() | set(ORACLES)
    lacking = []
    for name, cls in load().items():
        sink = Arity.range(cls.arity.tops)[1] == 0
        if not cls.__module__.startswith("netcompile."):  # registered by another test
            continue
        if cls.is_data or sink or (cls.is_measure and cls.fork) or name in WITHOUT_NUMBERS:
            continue
        if not numbers & {other for other, same in load().items() if same is cls}:
            lacking.append(name)
    assert lacking == [], "add a conformance case, or an oracle"


def test_the_table_says_where_each_type_is() -> None:
    """A type that stands in no line of it is found all the same, but only after every module was imported."""
    here = "netcompile.layers."
    found = {name: cls.__module__.removeprefix(here) for name, cls in load().items() if cls.__module__.startswith(here)}
    assert found == MODULES
