"""Layers that copy, cut and join blobs along an axis."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.algebra.volume import total
from netcompile.layers.base import (
    IDENTITY,
    NO_AXES,
    Arity,
    Axes,
    Condition,
    Dim,
    Emission,
    Emitted,
    IntShape,
    Layer,
    Refused,
    Shape,
    Wish,
    canonical_axis,
    layer,
)
from netcompile.layers.params import Params


def refuse_in_place(p: Params) -> None:
    """Report a layer that names one blob as its bottom and its top, where Caffe wants two."""
    bottoms, tops = p.message.all("bottom"), p.message.all("top")
    if bottoms and tops and bottoms[0] == tops[0]:
        p.refuse(
            "top",
            f"{p.type} does not work in place",
            code="in-place",
            why=f"bottom and top are both '{tops[0]}'",
            remedy="give the top a name of its own",
        )


@layer("Split")
@dataclass(frozen=True, slots=True)
class Split(Layer):
    """The same blob under several names."""

    any_size: ClassVar[bool] = True

    tops: int = 1

    arity: ClassVar[Arity] = Arity(bottoms=1, tops=(1, None))
    moves: ClassVar[slice | None] = slice(None)
    family: ClassVar[str] = "join"
    mixed: ClassVar[frozenset[int] | None] = NO_AXES

    @classmethod
    def read(cls, p: Params) -> Self:
        refuse_in_place(p)
        return cls(p.tops)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (bottoms[0],) * self.tops

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY,)

    def emit(self, e: Emission) -> Emitted:
        return Emitted((f"{' = '.join(e.y)} = {e.x[0]}",))

    def shares_memory(self, bottoms: int, tops: int) -> bool:
        return True

    def is_noop(self, train: bool) -> bool:
        return True


@layer("Silence")
@dataclass(frozen=True, slots=True)
class Silence(Layer):
    """Takes blobs out of the outputs; computes nothing."""

    any_size: ClassVar[bool] = True

    arity: ClassVar[Arity] = Arity(bottoms=(1, None), tops=0)
    mixed: ClassVar[frozenset[int] | None] = NO_AXES

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return ()

    def same_on_maps(self, *maps: Shape) -> bool:
        return True

    def emit(self, e: Emission) -> Emitted:
        return Emitted()


@layer("Concat")
@dataclass(frozen=True, slots=True)
class Concat(Layer):
    """Blobs behind one another along one axis."""

    axis: int = 1

    arity: ClassVar[Arity] = Arity(bottoms=(1, None), tops=1)
    moves: ClassVar[slice | None] = slice(None)
    family: ClassVar[str] = "join"

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
            found += [
                Condition(p, "==", q, refusal) for i, (p, q) in enumerate(zip(first, other, strict=True)) if i != axis
            ]
        return found

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        axis = canonical_axis(self.axis, len(bottoms[0]), "concat_param.axis")
        whole: Dim = bottoms[0][axis]
        for other in bottoms[1:]:
            whole = total(whole, other[axis])
        return ((*bottoms[0][:axis], whole, *bottoms[0][axis + 1 :]),)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        return (canonical_axis(self.axis, len(bottoms[0]), "concat_param.axis"),)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        axis = canonical_axis(self.axis, len(bottoms[0]), "concat_param.axis")
        return (IDENTITY,) * len(bottoms) if axis < 2 else None

    def emit(self, e: Emission) -> Emitted:
        axis = canonical_axis(self.axis, len(e.bottoms[0]), "concat_param.axis")
        return Emitted((f"{e.y[0]} = torch.cat(({', '.join(e.x)}{',' * (len(e.x) == 1)}), dim={axis})",))

    def shares_memory(self, bottoms: int, tops: int) -> bool:
        return bottoms == 1

    def is_noop(self, train: bool) -> bool:
        return False


@layer("Slice")
@dataclass(frozen=True, slots=True)
class Slice(Layer):
    """Pieces of a blob along one axis: cut at the slice points, or into equal parts."""

    axis: int = 1
    points: tuple[int, ...] = ()
    tops: int = 1
    field: str = "axis"  # which field says the axis

    arity: ClassVar[Arity] = Arity(bottoms=1, tops=(1, None))
    moves: ClassVar[slice | None] = slice(None)
    family: ClassVar[str] = "join"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("slice_param")
        field = "slice_dim" if s.has("slice_dim") else "axis"
        if s.has("axis") and s.has("slice_dim"):
            s.refuse(
                "slice_dim",
                "axis and slice_dim together",
                code="param-conflict",
                why="slice_dim is the old name of axis",
                remedy="keep axis",
            )
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

    def along(self, rank: int) -> int:
        """The axis, counted from 0."""
        return canonical_axis(self.axis, rank, f"slice_param.{self.field}")

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        axis = self.along(len(bottoms[0]))
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
        axis = self.along(len(bottoms[0]))
        extent = bottoms[0][axis]
        sizes: tuple[Dim, ...] = (extent // self.tops,) * self.tops
        if self.points:
            cuts = (0, *self.points)
            sizes = (*(b - a for a, b in zip(cuts, self.points, strict=False)), extent - self.points[-1])
        return tuple((*bottoms[0][:axis], size, *bottoms[0][axis + 1 :]) for size in sizes)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        return (self.along(len(bottoms[0])),)

    def wants(self, index: int, *bottoms: IntShape) -> Sequence[Wish]:
        x = bottoms[index]
        axis = self.along(max(len(x), 2 if self.axis < 2 else 4) if self.axis >= 0 else len(x))
        before = (None,) * axis
        behind = (None,) * (len(x) - axis - 1)
        if not self.points:
            return [(*before, self.tops * times, *behind) for times in (1, 3)]
        last, step = self.points[-1], self.points[-1] - (0, *self.points)[-2]
        return [(*before, last + 1, *behind), (*before, last + step, *behind)]

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY,) if self.along(len(bottoms[0])) < 2 else None

    def shares_memory(self, bottoms: int, tops: int) -> bool:
        return tops == 1

    def is_noop(self, train: bool) -> bool:
        return self.tops == 1

    def emit(self, e: Emission) -> Emitted:
        if self.tops == 1:
            return Emitted((f"{e.y[0]} = {e.x[0]}",))
        axis = self.along(len(e.bottoms[0]))
        cuts = repr(self.points) if self.points else str(self.tops)
        return Emitted((f"{', '.join(e.y)} = torch.tensor_split({e.x[0]}, {cuts}, dim={axis})",))


@layer("Tile")
@dataclass(frozen=True, slots=True)
class Tile(Layer):
    """A blob several times behind itself along one axis."""

    axis: int = 1
    tiles: int = 1

    arity: ClassVar[Arity] = Arity(bottoms=1, tops=1)
    moves: ClassVar[slice | None] = slice(None)
    family: ClassVar[str] = "join"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("tile_param")
        tiles = s.required("tiles")
        if s.has("tiles") and tiles < 1:
            s.refuse("tiles", f"tiles must be positive, not {tiles}", code="param-range")
        return cls(int(s.get("axis")), max(int(tiles or 1), 1))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        axis = canonical_axis(self.axis, len(bottoms[0]), "tile_param.axis")
        return ((*bottoms[0][:axis], bottoms[0][axis] * self.tiles, *bottoms[0][axis + 1 :]),)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        return (canonical_axis(self.axis, len(bottoms[0]), "tile_param.axis"),)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY,) if canonical_axis(self.axis, len(bottoms[0]), "") < 2 else None

    def is_noop(self, train: bool) -> bool:
        return self.tiles == 1

    def emit(self, e: Emission) -> Emitted:
        rank = len(e.bottoms[0])
        axis = canonical_axis(self.axis, rank, "tile_param.axis")
        times = ", ".join(str(self.tiles if i == axis else 1) for i in range(rank))
        return Emitted((f"{e.y[0]} = {e.x[0]}.repeat({times})",))
