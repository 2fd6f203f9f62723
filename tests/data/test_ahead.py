"""Reading ahead changes when a batch is made, never which."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest

from netcompile.array import Array
from netcompile.data.sources.ahead import AHEAD, ReadAhead
from netcompile.diagnostics.diagnostic import NetError, refuse
from netcompile.files.limits import max_memory, memory_bound


@dataclass
class Counting:
    """Batches that are their numbers; 7 is broken."""

    made: list[tuple[int, str, int]] = field(default_factory=list)

    def batch(self, index: int) -> dict[str, Array]:
        self.made.append((index, threading.current_thread().name, memory_bound()))
        if index == 7:
            refuse("data-file", "broken")
        return {"data": np.full(3, index)}


def number(found: dict[str, Array]) -> int:
    return int(found["data"][0])


def test_every_order_gives_the_batches_that_were_asked_for() -> None:
    for seed in range(20):
        chance, ahead, k = Random(seed), ReadAhead(Counting()), 0
        for _ in range(60):
            k = chance.choice((k, k + 1, k + 1, k + 1, k + 2, chance.randrange(20))) % 20
            if k == 7:
                with pytest.raises(NetError, match="broken"):
                    ahead.batch(k)
            else:
                assert number(ahead.batch(k)) == k


def test_each_batch_is_made_once_in_other_threads() -> None:
    source = Counting()
    ahead = ReadAhead(source)
    with max_memory(12345):
        assert [number(ahead.batch(k)) for k in range(5)] == list(range(5))
    ahead.threads.shutdown()  # type: ignore[union-attr]
    assert sorted(k for k, _, _ in source.made) == list(range(5 + AHEAD))
    assert {bound for _, _, bound in source.made} == {12345}
    assert sum(name.startswith("batches") for _, name, _ in source.made) == 5 + AHEAD - 2


def test_nothing_is_read_ahead_of_one_batch() -> None:
    source = Counting()
    ahead = ReadAhead(source)
    for _ in range(3):
        ahead.batch(0)
    assert ahead.threads is None
    assert [k for k, _, _ in source.made] == [0, 0, 0]


def test_a_broken_batch_that_nobody_asks_for_is_no_error() -> None:
    ahead = ReadAhead(Counting())
    for k in range(7):
        ahead.batch(k)
    assert number(ahead.batch(3)) == 3
