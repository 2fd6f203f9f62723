"""What is fuzzed: one module for each kind of file, each with its `TARGET`."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import import_module
from random import Random

Mutate = Callable[[Random, Sequence[bytes]], bytes]


@dataclass(frozen=True, slots=True)
class Row:
    """A command line over the mutant. `weight`: how often it is chosen; `located`: a refusal names a place in it."""

    arguments: tuple[str, ...]
    weight: float = 1.0
    located: bool = False
    raw: bool = False  # prints the file's own text, which may hold any character

    def __str__(self) -> str:
        return " ".join(self.arguments)


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of file: what mutants are made from and how, under which name they are read, and by which commands.

    `fixtures` writes what else lies in the working folder. `around` is entered around a command; None leaves the
    command out, where a mutant would rightly take long. `wanted` judges what was said on stderr about a mutant that
    tells itself what is wrong with it: a complaint, or "".
    """

    name: str
    file: str
    seeds: Callable[[], list[bytes]]
    mutate: Mutate
    rows: tuple[Row, ...]
    fixtures: Callable[[], None] | None = None
    around: Callable[[bytes, Row], AbstractContextManager[object] | None] | None = None
    wanted: Callable[[bytes, str], str] | None = None
    text: bool = False
    weights: tuple[float, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple(row.weight for row in self.rows))


def names() -> list[str]:
    """Every target, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def target(name: str) -> Target:
    """The target of this name."""
    found = import_module(f"{__name__}.{name}").TARGET
    assert isinstance(found, Target)
    return found
