"""This process among those that `torchrun` started: who does what, and exact sums over all. torch.distributed only."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

T = TypeVar("T")


class WorkerLost(OSError):
    """Another process of the group is gone, so this one cannot finish its part of the job."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """Rank and count of the processes; alone, both are what they are for one process."""

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes the results and the messages."""
        return self.rank == 0

    def share(self, items: int) -> range:
        """The indices of this process's items: every item belongs to exactly one process.

        >>> [list(Ranks(rank, 3).share(7)) for rank in range(3)]
        [[0, 3, 6], [1, 4], [2, 5]]
        """
        return range(self.rank, items, self.count)

    def wait(self) -> None:
        """Go on when all processes have come here. Raises WorkerLost."""
        if self.count > 1:
            import torch.distributed as dist

            _guarded(dist.barrier)

    def sum(self, counts: Array) -> Array:
        """The sum over all processes of an int64 array: exact, whatever the order. Raises WorkerLost."""
        if self.count == 1:
            return counts
        import numpy as np
        import torch
        import torch.distributed as dist

        total = torch.from_numpy(np.ascontiguousarray(counts, np.int64).copy())
        _guarded(lambda: dist.all_reduce(total))
        return total.numpy()

    def gather(self, value: T) -> list[T]:
        """Every process's value, by rank. Raises WorkerLost."""
        if self.count == 1:
            return [value]
        import torch.distributed as dist

        values: list[Any] = [None] * self.count
        _guarded(lambda: dist.all_gather_object(values, value))
        return values


@contextmanager
def ranks() -> Iterator[Ranks]:
    """The group that `torchrun` describes in the environment, joined while the block lasts; else this process alone.

    gloo on every machine: only counts and file names travel between the processes.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count < 2 or "RANK" not in os.environ:
        yield Ranks()
        return
    import torch.distributed as dist

    _guarded(lambda: dist.init_process_group("gloo"))
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def local_device(name: str) -> str:
    """ "cuda" becomes this process's own GPU of the machine."""
    rank = os.environ.get("LOCAL_RANK")
    return f"cuda:{rank}" if name == "cuda" and rank is not None else name


def _guarded(collective: Callable[[], T]) -> T:
    try:
        return collective()
    except RuntimeError as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        me = os.environ.get("RANK", "?")
        raise WorkerLost(f"process {me} lost contact with another one and ends too: {lines[0][:200]}") from error
