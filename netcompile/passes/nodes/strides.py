"""Every so many rows and columns of a blob."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from netcompile.algebra.coords import AxisMap
from netcompile.algebra.size import conv_size
from netcompile.layers.base import Axes, Emission, Emitted, Layer, Shape
from netcompile.layers.traits import Reach


@dataclass(frozen=True, slots=True)
class Strided(Layer):
    """What a convolution with kernels of one pixel and these strides reads of its bottom."""

    strides: tuple[int, int]

    type: ClassVar[str] = "Strided"

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        (x,) = bottoms
        return ((*x[:2], *(conv_size(n, 1, stride) for n, stride in zip(x[2:], self.strides, strict=True))),)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        down, across = (AxisMap.window(1, stride, 0, 1) for stride in self.strides)
        return ((down, across),)

    def reach(self, *bottoms: Shape) -> tuple[tuple[Reach, Reach] | None, ...] | None:
        down, across = (Reach(1, stride) for stride in self.strides)
        return ((down, across),)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        return (2, 3)

    def emit(self, e: Emission) -> Emitted:
        rows, columns = ("::" + str(stride) if stride > 1 else ":" for stride in self.strides)
        return e.assign(f"{e.x[0]}[:, :, {rows}, {columns}]")
