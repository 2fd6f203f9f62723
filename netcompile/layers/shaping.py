"""Layers that copy, cut and join blobs along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.algebra.volume import total
from netcompile.layers.base import (
    NO_AXES,
    Arity,
    Condition,
    Dim,
    Emission,
    Emitted,
    IntShape,
    Refused,
    Shape,
    Wish,
    layer,
)
from netcompile.layers.kinds import AlongAxis, SameShape, Sink
from netcompile.layers.params import Params
from netcompile.layers.shapes import canonical_axis
from netcompile.layers.source import call


@layer("Split")
@dataclass(frozen=True, slots=True)
class Split(SameShape):
    """The same blob under several names."""

    tops: int = 1

    arity: ClassVar[Arity] = Arity(bottoms=1, tops=(1, None))
    moves: ClassVar[slice | None] = slice(None)
    family: ClassVar[str] = "join"
    mixed: ClassVar[frozenset[int] | None] = NO_AXES

    @classmethod
    def read(cls, p: Params) -> Self:
        p.refuse_in_place()
        return cls(p.tops)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (bottoms[0],) * self.tops

    def emit(self, e: Emission) -> Emitted:
        return Emitted((f"{' = '.join(e.y)} = {e.x[0]}",))

    def shares_memory(self, bottoms: int, tops: int) -> bool:
        return True

    def is_noop(self, train: bool) -> bool:
        return True


@layer("Silence")
class Silence(Sink):
    """Takes blobs out of the outputs; computes nothing."""

    __slots__ = ()

    arity: ClassVar[Arity] = Arity(bottoms=(1, None), tops=0)
    mixed: ClassVar[frozenset[int] | None] = NO_AXES

    def same_on_maps(self, *maps: Shape) -> bool:
        return True


@layer("Concat")
class Concat(AlongAxis):
    """Blobs behind one another along one axis."""

    __slots__ = ()

    at: ClassVar[str] = "concat_param.axis"
    arity: ClassVar[Arity] = Arity(bottoms=(1, None), tops=1)
    moves: ClassVar[slice | None] = slice(None)
    family: ClassVar[str] = "join"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("concat_param")
        return cls(int(s.get(s.renamed("axis", "concat_dim"))))

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        first, axis = bottoms[0], self.along(bottoms[0])
        found: list[Condition] = []
        for index, other in enumerate(bottoms[1:], 1):
            refusal = Refused(
                f"shapes differ outside axis {axis}",
                at=f"bottom[{index}]",
                why="blobs behind one another must agree in every other axis",
            )
            if len(other) != len(first):
                raise refusal
            found += [
                Condition(p, "==", q, refusal) for i, (p, q) in enumerate(zip(first, other, strict=True)) if i != axis
            ]
        return found

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        axis = self.along(bottoms[0])
        whole: Dim = bottoms[0][axis]
        for other in bottoms[1:]:
            whole = total(whole, other[axis])
        return ((*bottoms[0][:axis], whole, *bottoms[0][axis + 1 :]),)

    def emit(self, e: Emission) -> Emitted:
        if len(e.x) == 1:
            return e.assign(e.x[0])
        return e.assign(f"torch.cat(({', '.join(e.x)}), dim={self.along(e.bottoms[0])})")

    def shares_memory(self, bottoms: int, tops: int) -> bool:
        return bottoms == 1


@layer("Slice")
@dataclass(frozen=True, slots=True)
class Slice(AlongAxis):
    """Pieces of a blob along one axis: cut at the slice points, or into equal parts."""

    points: tuple[int, ...] = ()
    tops: int = 1
    field: str = "axis"  # which field says the axis

    arity: ClassVar[Arity] = Arity(bottoms=1, tops=(1, None))
    moves: ClassVar[slice | None] = slice(None)
    family: ClassVar[str] = "join"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("slice_param")
        field = s.renamed("axis", "slice_dim")
        points = tuple(int(v) for v in s.all("slice_point"))
        if points and len(points) != p.tops - 1:
            p.refuse(
                "slice_param.slice_point",
                f"{len(points)} slice point{'s' * (len(points) != 1)} for {p.tops} top{'s' * (p.tops != 1)}",
                code="param-count",
                why=f"{p.tops} pieces have {p.tops - 1} cuts between them; without any they are of one size",
            )
            points = ()
        for index, (before, point) in enumerate(zip((0, *points), points, strict=False)):
            if point <= before:
                p.refuse(
                    f"slice_param.slice_point[{index}]",
                    f"slice_point {point} does not lie behind {before}",
                    code="param-range",
                    why="the points must rise, from 1 on",
                )
                points = ()
                break
        return cls(int(s.get(field)), points, max(p.tops, 1), field)

    def along(self, shape: Shape) -> int:
        return canonical_axis(self.axis, len(shape), f"slice_param.{self.field}")

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        axis = self.along(bottoms[0])
        extent = bottoms[0][axis]
        if self.points:
            last = self.points[-1]
            refusal = Refused(
                f"slice_point {last} is not less than {extent}",
                at=f"slice_param.slice_point[{len(self.points) - 1}]",
                why=f"axis {axis} of the bottom has {extent} elements, and every piece needs one",
            )
            return [Condition(extent, ">=", last + 1, refusal)]
        refusal = Refused(
            f"axis {axis} of {extent} elements does not divide into {self.tops} tops",
            at=f"slice_param.{self.field}",
            why="without slice_point all tops are of one size",
            remedy="slice_param { slice_point: … }",
        )
        return [Condition(extent, "==", extent // self.tops * self.tops, refusal)]

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        axis = self.along(bottoms[0])
        extent = bottoms[0][axis]
        sizes: tuple[Dim, ...] = (extent // self.tops,) * self.tops
        if self.points:
            cuts = (0, *self.points)
            sizes = (*(b - a for a, b in zip(cuts, self.points, strict=False)), extent - self.points[-1])
        return tuple((*bottoms[0][:axis], size, *bottoms[0][axis + 1 :]) for size in sizes)

    def wants(self, index: int, *bottoms: IntShape) -> Sequence[Wish]:
        x = bottoms[index]
        ones = max(0, (2 if self.axis < 2 else 4) - len(x)) if self.axis >= 0 else 0
        axis = self.along((*x, *(1,) * ones))
        before = (None,) * axis
        behind = (None,) * (len(x) - axis - 1)
        if not self.points:
            return [(*before, self.tops * times, *behind) for times in (1, 3)]
        last, step = self.points[-1], self.points[-1] - (0, *self.points)[-2]
        return [(*before, last + 1, *behind), (*before, last + step, *behind)]

    def shares_memory(self, bottoms: int, tops: int) -> bool:
        return tops == 1

    def is_noop(self, train: bool) -> bool:
        return self.tops == 1

    def emit(self, e: Emission) -> Emitted:
        if self.tops == 1:
            return e.assign(e.x[0])
        axis = self.along(e.bottoms[0])
        cut = call("torch.tensor_split", e.x[0], self.points, dim=axis)
        return Emitted((f"{', '.join(e.y)} = {cut if self.points else f'{e.x[0]}.chunk({self.tops}, dim={axis})'}",))


@layer("Tile")
@dataclass(frozen=True, slots=True)
class Tile(AlongAxis):
    """A blob several times behind itself along one axis."""

    tiles: int = 1

    at: ClassVar[str] = "tile_param.axis"
    moves: ClassVar[slice | None] = slice(None)
    family: ClassVar[str] = "join"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("tile_param")
        return cls(int(s.get("axis")), s.required_positive("tiles"))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        axis = self.along(bottoms[0])
        return ((*bottoms[0][:axis], bottoms[0][axis] * self.tiles, *bottoms[0][axis + 1 :]),)

    def is_noop(self, train: bool) -> bool:
        return self.tiles == 1

    def emit(self, e: Emission) -> Emitted:
        axis = self.along(e.bottoms[0])
        times = ", ".join(str(self.tiles if i == axis else 1) for i in range(len(e.bottoms[0])))
        return e.assign(f"{e.x[0]}.repeat({times})")
