"""Layers that move or regroup elements without computing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.layers.base import (
    IDENTITY,
    Arity,
    Axes,
    Condition,
    Dim,
    Emission,
    Emitted,
    Layer,
    Refused,
    Shape,
    canonical_axis,
    layer,
)
from netcompile.layers.params import Params


@layer("Split")
@dataclass(frozen=True)
class Split(Layer):
    """The same blob under several names."""

    tops: int = 1

    arity: ClassVar[Arity] = Arity(bottoms=1, tops=(1, None))

    @classmethod
    def read(cls, p: Params) -> Self:
        return cls(p.tops)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (bottoms[0],) * self.tops

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY,)

    def emit(self, e: Emission) -> Emitted:
        return Emitted((f"{' = '.join(e.y)} = {e.x[0]}",))

    def is_noop(self, train: bool) -> bool:
        return True


@layer("Silence")
@dataclass(frozen=True)
class Silence(Layer):
    """Takes blobs out of the outputs; computes nothing."""

    arity: ClassVar[Arity] = Arity(bottoms=(1, None), tops=0)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return ()

    def emit(self, e: Emission) -> Emitted:
        return Emitted()


@layer("Concat")
@dataclass(frozen=True)
class Concat(Layer):
    """Blobs behind one another along one axis."""

    axis: int = 1

    arity: ClassVar[Arity] = Arity(bottoms=(1, None), tops=1)

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("concat_param")
        if s.has("axis") and s.has("concat_dim"):
            s.refuse(
                "concat_dim",
                "axis and concat_dim together",
                code="param-conflict",
                why="concat_dim is the old name of axis",
                remedy="keep axis",
            )
        return cls(int(s.get("concat_dim") if s.has("concat_dim") else s.get("axis")))

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        first = bottoms[0]
        axis = canonical_axis(self.axis, len(first), "concat_param.axis")
        found: list[Condition] = []
        for index, other in enumerate(bottoms[1:], 1):
            refusal = Refused(
                f"shapes differ outside axis {axis}",
                at=f"bottom[{index}]",
                why="blobs behind one another must agree in every other axis",
            )
            if len(other) != len(first):
                raise refusal
            found += [Condition(p, "==", q, refusal) for i, (p, q) in enumerate(zip(first, other, strict=True)) if i != axis]
        return found

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        axis = canonical_axis(self.axis, len(bottoms[0]), "concat_param.axis")
        total: Dim = bottoms[0][axis]
        for other in bottoms[1:]:
            total = total + other[axis]
        return ((*bottoms[0][:axis], total, *bottoms[0][axis + 1 :]),)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        axis = canonical_axis(self.axis, len(bottoms[0]), "concat_param.axis")
        return (IDENTITY,) * len(bottoms) if axis < 2 else None

    def emit(self, e: Emission) -> Emitted:
        axis = canonical_axis(self.axis, len(e.bottoms[0]), "concat_param.axis")
        return Emitted((f"{e.y[0]} = torch.cat(({', '.join(e.x)}{',' * (len(e.x) == 1)}), dim={axis})",))

    def is_noop(self, train: bool) -> bool:
        return False
