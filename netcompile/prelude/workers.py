"""Work in parts, which netcompile shares out among threads where it is installed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from importlib import import_module
from typing import Any

from torch import Tensor

from netcompile.prelude.inference import INSIDE


@cache
def company() -> Any:
    """netcompile's threads that share out work, if it is installed.

    They are for CPUs on which other processes run: there, torch's own threads wait for
    one another. Without them this is a module as any other.
    """
    try:
        return import_module("netcompile.runtime.company")
    except ImportError:
        return None


@contextmanager
def shared_out(x: Tensor) -> Iterator[None]:
    """Within, `in_parts` may use other threads, and `eager` need not ask much again."""
    found, before = company(), INSIDE.checked
    INSIDE.checked = True
    try:
        with found.shared_out(x) if found else nullcontext():
            yield
    finally:
        INSIDE.checked = before


def in_parts(parts: list[Callable[[], Any]]) -> None:
    """Runs all parts, in any order."""
    found = company()
    if found:
        found.in_parts(parts)
        return
    for part in parts:
        part()


def part_count(work: float) -> int:
    """In how many parts to share out so many multiplications, or what takes as long."""
    found = company()
    return found.part_count(work) if found else 1


def split(length: int, count: int, step: int = 1) -> list[tuple[int, int]]:
    """Where parts of about equal length begin and end, multiples of `step` but for the
    last end.
    """
    size = max(1, -(-length // (count * step))) * step
    return [(at, min(at + size, length)) for at in range(0, length, size)]
