"""Softmax along one axis."""

from __future__ import annotations

from typing import ClassVar, Self

from netcompile.layers.base import IDENTITY, Axes, Emission, Emitted, Shape, layer
from netcompile.layers.kinds import AlongAxis
from netcompile.layers.params import Params


@layer("Softmax")
class Softmax(AlongAxis):
    """exp(x) / Σ exp(x) along one axis."""

    __slots__ = ()

    at: ClassVar[str] = "softmax_param.axis"
    family: ClassVar[str] = "prediction"
    with_loss: ClassVar[str] = "SoftmaxWithLoss"
    taught: ClassVar[str] = "scores"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("softmax_param")
        s.ignore("engine")
        return cls(int(s.get("axis")))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        self.along(bottoms[0])
        return (bottoms[0],)

    def content(self, *bottoms: str) -> str:
        return "probabilities"

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY,)

    def emit(self, e: Emission) -> Emitted:
        axis = self.along(e.bottoms[0])
        if axis > 1 and axis == len(e.bottoms[0]) - 1:  # the scores of detection heads
            return e.call("activation.softmax_in_order", e.x[0])
        return e.assign(f"F.softmax({e.x[0]}, dim={axis})")
