"""Layers' work shared out among threads, part by part, where other processes run on the CPUs.

OpenMP, which torch uses, gives each thread its part of an operator and waits for the last. Where other processes run,
that is for a thread that does not: a net of many small operators takes tens of times as long as alone. Threads that
take part after part do what they can, as the thread pools of other engines do. Emitted modules use this where
netcompile is installed (`netcompile/prelude/workers.py`).
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

MOST_WORKERS = 8  # more would wait for one another in Python
LOCAL = threading.local()  # `threads` that share this one's work, the `cpus` for them


class Company:
    """Whether others run on this process's CPUs: whether its threads wait for one.

    Waiting is the share of the seconds in forward passes that threads wanted a CPU and had none. Alone it is below
    0.05. With two others on two CPUs it is about 1 under OpenMP, where a thread waits while another spins, and 0.2 to
    0.6 with shared parts; so what was found lasts until hardly any thread waits.

    What threads wait for between passes is not counted: there the process may compute something else. A look takes some
    tenths of a millisecond, so passes close behind one another are looked at together, and of short ones that are not,
    some are not looked at.
    """

    BEGINS, ENDS = (0.1, 0.5), (0.25, 0.05)  # seconds to judge from at least, and the share that decides
    CLOSE, APART = 1e-3, 0.05  # seconds between passes, and between looks

    def __init__(self) -> None:
        self.there = False
        self.seconds, self.waited = 0.0, 0.0  # of passes that were looked at
        self.looks, self.looked, self.end = False, -1.0, -1.0  # at these passes; when last; the end of the last pass
        self.before, self.passed = 0.0, 0.0  # waited at the last look, seconds of passes since then
        self.lock = threading.Lock()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Judges by what happens within."""
        start = time.monotonic()
        with self.lock:
            begins = not self.looks or start - self.end > self.CLOSE
            if begins:
                self.looks = start - self.looked > self.APART
                self.before, self.passed = seconds_waited() if self.looks else 0.0, 0.0
        yield
        with self.lock:
            self.end = time.monotonic()
            self.passed += self.end - start
            least, share = self.ENDS if self.there else self.BEGINS
            if self.looks and (begins or self.seconds + self.passed >= least):
                waited, self.looked = seconds_waited(), self.end
                self.seconds, self.waited = self.seconds + self.passed, self.waited + waited - self.before
                self.before, self.passed = waited, 0.0
            if self.seconds >= least:
                self.there = self.waited > share * self.seconds
                self.seconds, self.waited = 0.0, 0.0


COMPANY = Company()


@contextmanager
def shared_out(x: Tensor) -> Iterator[None]:
    """Within, where others run on the CPUs, operators run on one thread each, and `in_parts` uses all of torch's.

    Nothing but the calling thread's own settings changes (how many threads, which CPU), and they are as they were
    behind it. Only for inference on a CPU, with 2 to 8 threads, on Linux, where torch brings OpenMP and MKL.
    """
    threads = torch.get_num_threads()  # asked for, torch has set this thread's own
    idle = torch.is_grad_enabled() or not x.is_cpu or own_settings() is None
    if idle or not 1 < threads <= MOST_WORKERS or getattr(LOCAL, "threads", 1) > 1:
        yield
        return
    with COMPANY.watched():
        if not COMPANY.there:
            yield
            return
        cpus = keep_to_one()
        run_on(1)
        LOCAL.threads = threads
        try:
            yield
        finally:
            LOCAL.threads = 1
            run_on(threads)
            keep_to(cpus)


def in_parts(parts: list[Callable[[], Any]]) -> None:
    """Runs all parts, each thread the next one that is left."""
    threads, left = getattr(LOCAL, "threads", 1), iter(parts)
    if threads == 1 or len(parts) < 2:
        for part in left:
            part()
        return
    run = partial(run_left, left, LOCAL.cpus, torch.is_inference_mode_enabled())
    others = [workers().submit(run) for _ in range(min(threads, len(parts)) - 1)]
    LOCAL.threads = 1  # a part is not shared out again
    try:
        for part in left:
            part()
    finally:
        LOCAL.threads = threads
        running = [other for other in others if not other.cancel()]
        for other in running:
            other.result()


def part_count(work: float) -> int:
    """In how many parts to share out so many multiplications, or what takes as long."""
    threads = getattr(LOCAL, "threads", 1)
    return 1 if threads == 1 else max(1, int(min(4 * threads, work / 4e7)))


def run_left(parts: Iterator[Callable[[], Any]], cpus: set[int], inference: bool) -> None:
    """What a worker does: the parts that are left, on other CPUs than its master."""
    if LOCAL.cpus != cpus:
        keep_to(cpus)
        LOCAL.cpus = cpus
    with torch.inference_mode(inference), torch.no_grad():
        for part in parts:
            part()


def workers() -> ThreadPoolExecutor:
    """The threads of this process: a fork has none of those before it."""
    return pool_of(os.getpid())


@cache
def pool_of(process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_WORKERS - 1, "net", initializer=start)


def start() -> None:
    torch.get_num_threads()  # asked for, torch has set this thread's own
    run_on(1)
    LOCAL.cpus = set[int]()


def keep_to_one() -> set[int]:
    """Keeps this thread on the CPU where it runs, and workers off it.

    Otherwise the system wakes a worker where the thread runs that waits for it, as soon
    as others are busy: they take turns. Returns where this thread could run before.
    """
    settings = own_settings()
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set[int]()
    here = {settings[2]()} if settings is not None and len(cpus) > 1 else cpus
    LOCAL.cpus = cpus - here
    keep_to(here)
    return cpus


def keep_to(cpus: set[int]) -> None:
    """Keeps this thread to these CPUs, if there are any and the system lets it."""
    if cpus and hasattr(os, "sched_setaffinity"):
        with suppress(OSError):
            os.sched_setaffinity(0, cpus)


def run_on(threads: int) -> None:
    """Sets how many threads the operators that this one calls run on."""
    settings = own_settings()
    if settings is not None:
        settings[0](threads)
        settings[1](1 if threads == 1 else 0)  # 0: as many as for all


def seconds_waited() -> float:
    """How long threads of this process wanted a CPU and had none, as Linux tells."""
    waited = 0
    for thread in os.listdir("/proc/self/task"):
        with suppress(OSError), open(f"/proc/self/task/{thread}/schedstat") as file:  # it may have ended
            waited += int(file.read().split()[1])
    return waited * 1e-9


@cache
def own_settings() -> tuple[Callable[..., Any], ...] | None:
    """What sets the calling thread's own number of threads, in OpenMP and in MKL, and
    says on which CPU it runs.

    torch has both libraries in it, and offers neither; None where it has not, or the
    system does not say how long threads wait.
    """
    try:
        os.stat("/proc/self/schedstat")
        library = ctypes.CDLL(f"{torch.__path__[0]}/lib/libtorch_cpu.so")
        number = library.omp_set_num_threads, library.MKL_Set_Num_Threads_Local
        return *number, ctypes.CDLL(None).sched_getcpu
    except (AttributeError, OSError):
        return None
