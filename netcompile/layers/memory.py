"""What a blob holds after a layer has worked in place on another one that shares its memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from netcompile.layers.base import IDENTITY, Arity, Axes, Emission, Emitted, Layer, Shape
from netcompile.layers.traits import Reach


@dataclass(frozen=True, slots=True)
class SharedMemory(Layer):
    """The first bottom's values in the second one's shape. No layer of a file: `ir.storage` puts it into the graph."""

    type: ClassVar[str] = "SharedMemory"
    arity: ClassVar[Arity] = Arity(bottoms=2, tops=1)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (bottoms[1],)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (None, IDENTITY)

    def reach(self, *bottoms: Shape) -> tuple[tuple[Reach, Reach] | None, ...] | None:
        return None  # behind a change of shape, what a pixel sees is no window

    def emit(self, e: Emission) -> Emitted:
        values, like = e.x
        same = e.bottoms[0] == e.bottoms[1]
        return Emitted((f"{e.y[0]} = {values}" if same else f"{e.y[0]} = {values}.reshape({like}.shape)",))
