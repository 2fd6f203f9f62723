"""Batches that are made in other threads while the ones before them are trained on, as Caffe prefetches them."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field

from netcompile.array import Array
from netcompile.data.sources.base import Batches

AHEAD = 2  # batches, each in a thread of its own; Caffe has one thread and four batches


@dataclass
class ReadAhead:
    """The batches of a source whose work is outside of Python: decoding images.

    Nothing is read ahead before two batches that follow each other were asked for. What goes wrong with a batch is
    raised when it is asked for, and never where it is not.
    """

    of: Batches
    last: int = -2
    coming: dict[int, Future[dict[str, Array]]] = field(default_factory=dict)
    threads: ThreadPoolExecutor | None = None

    def batch(self, index: int) -> dict[str, Array]:
        """As the source's. Raises what it raises."""
        follows, self.last = index == self.last + 1, index
        found = self.coming.pop(index, None)
        soon = range(index + 1, index + 1 + AHEAD) if follows else range(0)
        for other in [other for other in self.coming if other not in soon]:
            self.coming.pop(other).cancel()
        for other in soon:
            if other not in self.coming:
                self.threads = self.threads or ThreadPoolExecutor(AHEAD, "batches")
                # With the bounds of this thread on memory, which are in its context.
                self.coming[other] = self.threads.submit(copy_context().run, self.of.batch, other)
        return self.of.batch(index) if found is None else found.result()
