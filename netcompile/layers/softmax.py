"""Softmax along one axis."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.layers.base import (
    IDENTITY,
    Arity,
    Axes,
    Emission,
    Emitted,
    Layer,
    Shape,
    canonical_axis,
    layer,
)
from netcompile.layers.params import Params


@layer("Softmax")
@dataclass(frozen=True, slots=True)
class Softmax(Layer):
    """exp(x) / Σ exp(x) along one axis."""

    any_size: ClassVar[bool] = True

    axis: int = 1

    arity: ClassVar[Arity] = Arity(bottoms=1, tops=1)
    family: ClassVar[str] = "prediction"
    with_loss: ClassVar[str] = "SoftmaxWithLoss"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("softmax_param")
        s.ignore("engine")
        return cls(int(s.get("axis")))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        canonical_axis(self.axis, len(bottoms[0]), "softmax_param.axis")
        return (bottoms[0],)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        return (canonical_axis(self.axis, len(bottoms[0]), "softmax_param.axis"),)

    def content(self, *bottoms: str) -> str:
        return "probabilities"

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY,)

    def emit(self, e: Emission) -> Emitted:
        axis = canonical_axis(self.axis, len(e.bottoms[0]), "softmax_param.axis")
        if axis > 1 and axis == len(e.bottoms[0]) - 1:  # the scores of detection heads
            return e.call("activation.softmax_in_order", e.x[0])
        return Emitted((f"{e.y[0]} = F.softmax({e.x[0]}, dim={axis})",))
