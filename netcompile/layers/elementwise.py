"""Layers that combine blobs of one shape element by element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Self

from netcompile.layers.base import (
    IDENTITY,
    Arity,
    Axes,
    Condition,
    Emission,
    Emitted,
    IntShape,
    Layer,
    Shape,
    layer,
    literal,
    same_shape,
)
from netcompile.layers.params import Params


@layer("Eltwise")
@dataclass(frozen=True)
class Eltwise(Layer):
    """Product, weighted sum or maximum of two or more blobs of equal shape."""

    operation: str = "SUM"
    coeff: tuple[float, ...] = ()

    arity: ClassVar[Arity] = Arity(bottoms=(2, None), tops=1)

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("eltwise_param")
        s.ignore("stable_prod_grad")
        operation, coeff = s.get("operation"), tuple(float(c) for c in s.all("coeff"))
        if coeff and len(coeff) != p.bottoms:
            s.refuse(
                "coeff",
                f"{len(coeff)} coeff for {p.bottoms} bottoms",
                code="param-count",
                why="Caffe wants none, or one for each bottom",
            )
        if coeff and operation == "PROD":
            s.refuse("coeff", "coeff only with SUM", code="param-conflict", why="a product has no coefficients")
        return cls(operation, coeff if operation == "SUM" else ())

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        found: list[Condition] = []
        for index, other in enumerate(bottoms[1:], 1):
            found += same_shape(bottoms[0], other, "shapes differ", f"bottom[{index}]")
        return found

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (bottoms[0],)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY,) * len(bottoms)

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        return prod(tops[0]) * (len(bottoms) - 1) if self.operation != "MAX" else 0

    def emit(self, e: Emission) -> Emitted:
        if self.operation == "MAX":
            text = e.x[0]
            for other in e.x[1:]:
                text = f"torch.maximum({text}, {other})"
            return Emitted((f"{e.y[0]} = {text}",))
        if self.operation == "PROD":
            return Emitted((f"{e.y[0]} = {' * '.join(e.x)}",))
        text = ""
        for x, c in zip(e.x, self.coeff or (1.0,) * len(e.x), strict=True):
            sign, size = ("-" if c < 0 else "+"), abs(c)
            term = x if size == 1 else f"{literal(size)} * {x}"
            text = (f"-{term}" if sign == "-" else term) if not text else f"{text} {sign} {term}"
        return Emitted((f"{e.y[0]} = {text}",))
