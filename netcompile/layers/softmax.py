"""Softmax along one axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.layers.base import (
    IDENTITY,
    Arity,
    Axes,
    Emission,
    Emitted,
    Layer,
    Reach,
    Shape,
    canonical_axis,
    layer,
)
from netcompile.layers.params import Params


@layer("Softmax")
@dataclass(frozen=True)
class Softmax(Layer):
    """exp(x) / Σ exp(x) along one axis."""

    any_size: ClassVar[bool] = True

    axis: int = 1

    arity: ClassVar[Arity] = Arity(bottoms=1, tops=1)

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("softmax_param")
        s.ignore("engine")
        return cls(int(s.get("axis")))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        canonical_axis(self.axis, len(bottoms[0]), "softmax_param.axis")
        return (bottoms[0],)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY,)

    def reach(self, *bottoms: Shape) -> tuple[tuple[Reach, Reach] | None, ...] | None:
        axis = canonical_axis(self.axis, len(bottoms[0]), "softmax_param.axis")
        return super().reach(*bottoms) if axis < 2 else None

    def emit(self, e: Emission) -> Emitted:
        axis = canonical_axis(self.axis, len(e.bottoms[0]), "softmax_param.axis")
        if axis > 1 and axis == len(e.bottoms[0]) - 1:  # the scores of detection heads
            return e.call("activation.softmax_in_order", e.x[0])
        return Emitted((f"{e.y[0]} = F.softmax({e.x[0]}, dim={axis})",))
