"""A process that makes mutants and runs them. It may die of one: then the mutant is still in the slot."""

from __future__ import annotations

import gc
import mmap
import os
import resource
import struct
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from tests.fuzz.bench import Bench, bench
from tests.fuzz.lines import lines
from tests.fuzz.minimise import minimised
from tests.fuzz.targets import Row, target

SLOT = 1 << 22  # bytes of the largest mutant
HEAD = struct.Struct("<dIq")  # when it was begun, its size, its number
MEMORY = 2 << 30  # bytes of address space that a command may take beyond what the worker has
LEAK = 512 << 20  # a worker that has grown by so much gives way to a fresh one
LARGEST = 64 << 10  # bytes of a mutant that others are made from
GOOD = 0.8  # the share of mutants that are made from files that no command refused
TOLD = 0.5  # seconds between two reports


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is to do: the mutants of these numbers."""

    target: str
    seed: int
    first: int
    end: int
    slow: float
    seeds: int  # how many of the target's seeds are used; 0 for all


@dataclass(frozen=True, slots=True)
class Found:
    """A mutant that something is wrong with, made small."""

    number: int
    key: str
    what: str
    row: str
    data: bytes


@dataclass(frozen=True, slots=True)
class State:
    """How far a worker is."""

    number: int
    lines: int
    corpus: int


def slot() -> mmap.mmap:
    """Memory that the worker shares with the process that watches it."""
    return mmap.mmap(-1, SLOT)


def in_slot(shared: mmap.mmap) -> tuple[float, int, bytes]:
    """When the mutant was begun (time.monotonic; 0 for none), its number, its bytes."""
    began, size, number = HEAD.unpack_from(shared)
    return began, number, shared[HEAD.size : HEAD.size + size]


def work(job: Job, shared: mmap.mmap, out: Connection, kept: Sequence[bytes], known: frozenset[str]) -> None:
    """Run the mutants; send State now and then, Found for each new kind, bytes for what is worth keeping."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warnings.simplefilter("ignore")
    with bench(target(job.target), job.slow) as place:
        for found in _run(job, place, shared, kept, set(known)):
            out.send(found)
    out.close()


def choose(job: Job, number: int, rows: Sequence[Row], weights: Sequence[float]) -> tuple[Random, list[Row]]:
    """The chance of a mutant, and the commands that read it."""
    chance = Random(f"{job.target} {job.seed} {number}")
    return chance, chance.choices(rows, weights, k=2)


def _run(
    job: Job, place: Bench, shared: mmap.mmap, kept: Sequence[bytes], known: set[str]
) -> Iterator[State | Found | bytes]:
    kind, counter = place.target, lines()
    seeds = kind.seeds()
    if 0 < job.seeds < len(seeds):
        seeds = Random(job.seed).sample(seeds, job.seeds)
    corpus, good = [*seeds, *kept], []
    for index, data in enumerate(corpus):
        _begin(shared, -1, data)
        rows = choose(job, index, kind.rows, kind.weights)[1]
        with counter:
            examined = place.examine(data, rows)
        if examined.accepted:
            good.append(data)
        for row, complaint in examined.complaints:
            if complaint.key not in known:
                known.add(complaint.key)
                yield Found(-1, complaint.key, complaint.what, str(row), data)
    gc.collect()
    grown = _bounded()
    told, parent = 0.0, os.getppid()
    for number in range(job.first, job.end):
        chance, rows = choose(job, number, kind.rows, kind.weights)
        _begin(shared, number, b"")
        # Most begin with a file that is accepted: what is refused at once reaches little.
        data = kind.mutate(chance, good if good and chance.random() < GOOD else corpus)[: SLOT - HEAD.size]
        _begin(shared, number, data)
        seen = counter.count
        with counter if number % counter.every == 0 else nullcontext():
            examined = place.examine(data, rows)
        for row, complaint in examined.complaints:
            if complaint.key in known:
                continue
            known.add(complaint.key)
            small = data
            if kind.wanted is None:  # else the file tells a line
                small = minimised(data, lambda d, r=row, k=complaint.key: _fails(place, shared, d, r, k), kind.text)
            yield Found(number, complaint.key, complaint.what, str(row), small)
        if (examined.fresh or counter.count > seen) and len(data) <= LARGEST and kind.wanted is None:
            corpus.append(data)
            if examined.accepted:
                good.append(data)
            yield data
        if time.monotonic() - told > TOLD or number + 1 == job.end:
            told = time.monotonic()
            yield State(number + 1, counter.count, len(corpus))
            if grown() or os.getppid() != parent:  # the parent has been killed
                return


def _fails(place: Bench, shared: mmap.mmap, data: bytes, row: Row, key: str) -> bool:
    _begin(shared, -2, data)
    return any(complaint.key == key for _, complaint in place.examine(data, [row]).complaints)


def _begin(shared: mmap.mmap, number: int, data: bytes) -> None:
    data = data[: SLOT - HEAD.size]
    shared[HEAD.size : HEAD.size + len(data)] = data
    HEAD.pack_into(shared, 0, time.monotonic(), len(data), number)


def _bounded() -> object:
    """Bound this process's memory; returns what tells whether it has grown too much."""
    start = _pages()
    if not start:
        return lambda: False
    limit = start + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return lambda: _pages() > start + LEAK


def _pages() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # no Linux
        return 0
