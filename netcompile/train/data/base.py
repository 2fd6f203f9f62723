"""What a source of batches is, and several of them as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]

IntShape = tuple[int, ...]


class Batches(Protocol):
    """Batches by number, from 0 on without end; the same number always gives the same batch."""

    def batch(self, index: int) -> dict[str, Array]:
        """Float32 arrays by top. Raises NetError, OSError."""
        ...


@dataclass(frozen=True, slots=True)
class Joined:
    """The batches of several data layers, together."""

    parts: Sequence[Batches]

    def batch(self, index: int) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for part in self.parts:
            found.update(part.batch(index))
        return found


@dataclass(frozen=True, slots=True)
class Order:
    """Which item comes as number k: in order, or shuffled anew in every epoch."""

    items: int
    shuffle: bool
    seed: int
    skip: int = 0

    def __call__(self, k: int) -> int:
        epoch, position = divmod(k + self.skip, self.items)
        if not self.shuffle:
            return position
        return int(_permutation(self.items, self.seed & (2**63 - 1), epoch)[position])


@lru_cache(maxsize=4)
def _permutation(items: int, seed: int, epoch: int) -> Array:
    return np.random.default_rng((seed, epoch)).permutation(items)
