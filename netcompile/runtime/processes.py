"""This process among those that `torchrun` started: who does what, and what all know. torch.distributed only."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from netcompile.array import Array

T = TypeVar("T")


class WorkerLost(OSError):
    """Another process of the group is gone, so this one cannot finish its part of the job."""


@dataclass(frozen=True, slots=True)
class Processes:
    """Rank and count of the processes; alone, both are what they are for one process."""

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes the results and the messages."""
        return self.rank == 0

    def share(self, items: int) -> range:
        """The indices of this process's items: every item belongs to exactly one process.

        >>> [list(Processes(rank, 3).share(7)) for rank in range(3)]
        [[0, 3, 6], [1, 4], [2, 5]]
        """
        return range(self.rank, items, self.count)

    def wait(self) -> None:
        """Go on when all processes have come here. Raises WorkerLost."""
        if self.count > 1:
            guarded(dist.barrier)

    def sum(self, counts: Array) -> Array:
        """The sum over all processes of an int64 array: exact, whatever the order. Raises WorkerLost."""
        if self.count == 1:
            return counts
        total = torch.from_numpy(np.ascontiguousarray(counts, np.int64).copy())
        guarded(lambda: dist.all_reduce(total))
        return total.numpy()

    def gather(self, value: T) -> list[T]:
        """Every process's value, by rank. Raises WorkerLost."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        guarded(lambda: dist.all_gather_object(values, value))
        return values


ALONE = Processes()


def join(backend: str = "gloo") -> Processes:
    """The group that there is already, or that `torchrun` describes in the environment; else this process alone.

    Raises WorkerLost. gloo carries what lies in main memory, on every machine; "nccl" what lies on GPUs.
    """
    if is_joined():
        return Processes(dist.get_rank(), dist.get_world_size())
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count < 2 or "RANK" not in os.environ:
        return ALONE
    guarded(lambda: dist.init_process_group(backend))
    return Processes(dist.get_rank(), dist.get_world_size())


def is_joined() -> bool:
    """Whether this process is in a group."""
    return dist.is_available() and dist.is_initialized()


def leave() -> None:
    """Close the group; nothing happens in a process alone."""
    if is_joined():
        dist.destroy_process_group()


@contextmanager
def processes() -> Iterator[Processes]:
    """The group of `join`, while the block lasts; one that a program has made itself stays."""
    own = not is_joined()
    try:
        yield join()
    finally:
        if own:
            leave()


def local_device(name: str) -> str:
    """ "cuda" becomes this process's own GPU of the machine."""
    rank = os.environ.get("LOCAL_RANK")
    return f"cuda:{rank}" if name == "cuda" and rank is not None else name


def guarded(collective: Callable[[], T]) -> T:
    """A collective; that another process is gone becomes a message of one line."""
    try:
        return collective()
    except RuntimeError as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = lines[0].rpartition("] ")[2].partition(". ")[0][:200]
        me = os.environ.get("RANK", "?")
        raise WorkerLost(f"process {me} lost contact with another one and ends too: {reason}") from error


def sum_tensors(tensors: Sequence[Tensor]) -> None:
    """Sum over all processes, in place, in one message. Raises WorkerLost."""
    if not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    guarded(lambda: dist.all_reduce(flat))
    for tensor, part in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def broadcast(tensors: Sequence[Tensor]) -> None:
    """The leading process's values to all, in place. Raises WorkerLost."""
    for tensor in tensors:
        guarded(lambda tensor=tensor: dist.broadcast(tensor, 0))  # type: ignore[misc]


def same_number(value: int) -> int:
    """The leading process's number. Raises WorkerLost."""
    boxed = torch.tensor([value], dtype=torch.int64)
    if dist.get_backend() == "nccl":
        boxed = boxed.cuda()
    broadcast([boxed])
    return int(boxed.item())
