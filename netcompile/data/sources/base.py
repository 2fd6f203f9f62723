"""What a source of batches is, what it is asked for, and several of them as one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeVar

import numpy as np

from netcompile.array import Array
from netcompile.data.image_file import reason_of
from netcompile.data.paths import first_there
from netcompile.diagnostics.diagnostic import NetError, refuse
from netcompile.diagnostics.text import shape_text
from netcompile.files.limits import require_memory
from netcompile.ir.graph import Input

T = TypeVar("T")


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


@dataclass(frozen=True, slots=True)
class Wanted:
    """How data is to be read: what --data names, the split of a folder, the mean, the seed, where paths start."""

    data: str | None
    split: str
    mean: tuple[float, ...] | None
    seed: int
    train: bool
    folders: tuple[str, ...]

    def find(self, path: str, what: str, entry: Input) -> str:
        """A path of the net: as it stands, or from one of the folders. Raises NetError."""
        found = first_there(os.path.join(folder, path) for folder in self.folders)
        if found is not None:
            return found
        why = f"layer '{entry.message.get('name')}' reads it"
        refuse("no-such-file", f"there is no {what} '{path}'", entry.message.span_of("type"), why)


def require_batch(image: Array, size: int) -> None:
    """Raises NetError where a batch of `size` such images takes too much memory: the images, and then one array."""
    require_memory(8 * size * image.size, f"a batch of {size} images of {shape_text(image.shape)}")


def stacked(images: Sequence[Array]) -> Array:
    """Images as one batch. Raises NetError where their sizes differ."""
    sizes = sorted({image.shape for image in images})
    if len(sizes) > 1:
        what = f"images of different sizes in one batch: {' and '.join(map(shape_text, sizes[:2]))}"
        remedy = "crop_size, or new_height and new_width, or a batch size of 1"
        refuse("batch-size", what, why="a batch is one array", remedy=remedy)
    return np.stack(images)


def readable(path: str, read: Callable[[str], T]) -> T:
    """What `read` makes of a file. Raises NetError with what is wrong with it, OSError where the system refuses it."""
    try:
        return read(path)
    except NetError:
        raise
    except Exception as error:  # damaged files make the decoders raise whatever they like
        if isinstance(error, OSError) and error.errno is not None:
            raise
        refuse("image", f"{path}: it cannot be read: {reason_of(error)}")
