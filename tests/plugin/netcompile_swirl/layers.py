"""Swirl: every channel moved along by one, the last to the front, and scaled by a learned factor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.layers.base import IDENTITY, Arity, Axes, BlobSpec, Emission, Emitted, Layer, Refused, Shape, layer
from netcompile.layers.params import Params
from netcompile.layers.shapes import number


@layer("Swirl")
@dataclass(frozen=True, slots=True)
class Swirl(Layer):
    """y[n, c] = factor[c] · x[n, c - 1]; channel 0 takes the last."""

    arity: ClassVar[Arity] = Arity(bottoms=1, tops=1)

    @classmethod
    def read(cls, p: Params) -> Self:
        return cls()

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        if len(bottoms[0]) != 4:
            raise Refused(f"Swirl wants 4 axes, not {len(bottoms[0])}", at="bottom[0]")
        return (bottoms[0],)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY,)

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        return (BlobSpec("factor", (number(bottoms[0][1]),)),)

    def emit(self, e: Emission) -> Emitted:
        channels = e.bottoms[0][1]
        return Emitted(
            forward=(f"{e.y[0]} = swirl({e.x[0]}, self.{e.name}_factor)",),
            init=(f"self.{e.name}_factor = nn.Parameter(torch.ones({channels}))",),
            functions=("netcompile_swirl.functions.swirl",),
            tensors=((f"{e.name}_factor", e.take(0)),),
        )
