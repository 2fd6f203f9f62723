"""Outputs as they are: vectors that describe an image, and whatever no other task knows the meaning of."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Self

from netcompile.analysis.outputs import is_vector
from netcompile.array import Array
from netcompile.data.preparation import mean_over
from netcompile.files.npz import write_npz
from netcompile.tasks.task import Arrays, Found, Net, Place, Seen, Task, Writer


@dataclass(frozen=True)
class RawOutputs(Task):
    """Writes raw/NAME.npz: each output by its blob's name, without the axis of the batch."""

    names: tuple[str, ...]

    name: ClassVar[str] = "raw"
    title: ClassVar[str] = "raw outputs"
    averages: ClassVar[bool] = True

    @property
    def blobs(self) -> tuple[str, ...]:
        return self.names

    @classmethod
    def recognise(cls, net: Net, asked: bool) -> Found | str:
        return Found(tuple(output.name for output in net.outputs), "no other task fits its outputs")

    @classmethod
    def make(cls, net: Net, found: Found, options: argparse.Namespace) -> Self:
        return cls(found.blobs)

    def split(self, tops: Arrays, count: int) -> list[Arrays]:
        """An output whose first axis is no batch's is given whole, to the only image."""
        if count == 1:
            return [{name: top[0] if top.ndim and len(top) == 1 else top for name, top in tops.items()}]
        return super().split(tops, count)

    def result(self, arrays: Sequence[Arrays], seen: Seen) -> dict[str, Array]:
        return {name: mean_over(seen.views, [one[name] for one in arrays]) for name in self.blobs}

    def places(self) -> tuple[Place, ...]:
        return (Place("raw", "npz"),)

    def contents(self, result: dict[str, Array], seen: Seen, made_by: str) -> Iterator[Writer]:
        yield partial(write_npz, arrays=result, made_by=made_by)


@dataclass(frozen=True)
class Vectors(RawOutputs):
    """A vector for each image, whose distances or values count."""

    name: ClassVar[str] = "vector"
    title: ClassVar[str] = "vectors"

    @classmethod
    def recognise(cls, net: Net, asked: bool) -> Found | str:
        flat = [o.name for o in net.outputs if is_vector(o) and net.has_each_image(o)]
        if not flat:
            return "no output is a vector for each image (N×C)"
        known = " and ".join(f"'{name}'" for name in flat)
        return Found(tuple(flat), f"{known} {'are' if len(flat) > 1 else 'is'} a vector for each image")
