"""Layers that work on each element by itself: activations, and Dropout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.layers.base import IDENTITY, Arity, Axes, Emission, Emitted, Layer, Shape, call, layer, literal
from netcompile.layers.params import Params


@dataclass(frozen=True)
class Elementwise(Layer):
    """One bottom, one top of the same shape and the same pixels."""

    arity: ClassVar[Arity] = Arity(bottoms=1, tops=1)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (bottoms[0],)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY,)

    def expression(self, x: str) -> str:
        """Source of the result for the variable `x`."""
        raise NotImplementedError

    def emit(self, e: Emission) -> Emitted:
        return Emitted((f"{e.y[0]} = {self.expression(e.x[0])}",))


@layer("ReLU")
@dataclass(frozen=True)
class ReLU(Elementwise):
    """max(x, 0) + negative_slope · min(x, 0)."""

    slope: float = 0.0

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("relu_param")
        s.ignore("engine")
        return cls(s.get("negative_slope"))

    def expression(self, x: str) -> str:
        if self.slope:
            return call("F.leaky_relu", x, negative_slope=literal(self.slope))
        return call("F.relu", x)


@layer("Dropout")
@dataclass(frozen=True)
class Dropout(Elementwise):
    """Zeroes a share of the elements in training and scales the rest; the identity at test."""

    ratio: float = 0.5

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("dropout_param")
        ratio = s.get("dropout_ratio")
        if not 0 < ratio < 1:
            s.refuse("dropout_ratio", f"dropout_ratio {ratio:g} is not between 0 and 1", code="param-range")
        return cls(ratio)

    def expression(self, x: str) -> str:
        return call("F.dropout", x, p=literal(self.ratio), training="self.training")

    def is_noop(self, train: bool) -> bool:
        return not train
