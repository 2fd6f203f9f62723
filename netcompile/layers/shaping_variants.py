"""Layers of Caffe's forks that move elements about: Permute, Reorg, ShuffleChannel, Reverse, and kin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.layers.base import (
    CHANNELS,
    IDENTITY,
    ITEM,
    Arity,
    Axes,
    Condition,
    Emission,
    Emitted,
    IntShape,
    Layer,
    Refused,
    Shape,
    layer,
)
from netcompile.layers.kinds import AlongAxis, Reordered
from netcompile.layers.params import Params
from netcompile.layers.shapes import canonical_axis, count, number, planes


@layer("Permute")
@dataclass(frozen=True, slots=True)
class Permute(Reordered):
    """The axes in another order (SSD): `order` first, then whatever it does not name."""

    order: tuple[int, ...] = ()

    fork: ClassVar[str] = "SSD"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("permute_param")
        order = tuple(int(v) for v in s.all("order"))
        for index, axis in enumerate(order):
            if axis in order[:index]:
                s.refuse("order", f"axis {axis} stands twice in order", code="param", remedy="name every axis once")
                return cls(tuple(dict.fromkeys(order)))
        return cls(order)

    def axes(self, shape: Shape) -> tuple[int, ...]:
        rank = len(shape)
        for index, axis in enumerate(self.order):
            if axis >= rank:
                raise Refused(
                    f"order names axis {axis} of {rank}",
                    code="axis",
                    at=f"permute_param.order[{index}]",
                    why=f"the bottom has {rank} axes, counted from 0",
                )
        return (*self.order, *(axis for axis in range(rank) if axis not in self.order))

    def shares_memory(self, bottoms: int, tops: int) -> bool:
        return self.is_noop(train=False)  # SSD's fork copies only where an axis moves

    def is_noop(self, train: bool) -> bool:
        return self.order == tuple(range(len(self.order)))


@layer("Reorg")
@dataclass(frozen=True, slots=True)
class Reorg(Layer):
    """Blocks of pixels to channels as Darknet's YOLOv2 does it, with Darknet's order of the elements.

    Darknet's loop reads the bottom as if it had the top's shape, so this is no plain space-to-depth: the
    elements are those of a bottom viewed as (C/s², H·s, W·s). `reverse` is the way back.
    """

    stride: int = 1
    reverse: bool = False

    moves: ClassVar[slice | None] = slice(None)
    fork: ClassVar[str] = "YOLOv2"
    mixed: ClassVar[frozenset[int] | None] = ITEM

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("reorg_param")
        return cls(s.required_positive("stride"), bool(s.get("reverse")))

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        self.shapes(*bottoms)  # the channels first
        found = []
        for axis, dim in zip(("height", "width"), planes(bottoms[0], "Reorg")[2:], strict=True):
            refusal = Refused(f"{axis} {dim} is not divisible by stride {self.stride}", at="reorg_param.stride")
            found.append(Condition(dim, "==", dim if self.reverse else dim // self.stride * self.stride, refusal))
        return found

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x = planes(bottoms[0], "Reorg")
        block = self.stride**2
        if number(x[1]) % block:
            raise Refused(
                f"{x[1]} channels are not divisible by {block}",
                at="reorg_param.stride",
                why="the elements are taken from blocks of stride × stride planes",
            )
        if self.reverse:
            return ((x[0], number(x[1]) // block, x[2] * self.stride, x[3] * self.stride),)
        return ((x[0], x[1] * block, x[2] // self.stride, x[3] // self.stride),)

    def emit(self, e: Emission) -> Emitted:
        name = "shaping.reorg_back" if self.reverse else "shaping.reorg"
        return e.call(name, e.planes[0], self.stride)


@layer("ShuffleChannel")
@dataclass(frozen=True, slots=True)
class ShuffleChannel(Layer):
    """Channels dealt out across groups (ShuffleNet): channel g·n + i becomes i·G + g. The top has four axes."""

    group: int = 1

    moves: ClassVar[slice | None] = slice(None)
    fork: ClassVar[str] = "ShuffleNet"
    mixed: ClassVar[frozenset[int] | None] = CHANNELS

    @classmethod
    def read(cls, p: Params) -> Self:
        return cls(p.sub("shuffle_channel_param").positive("group"))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x = planes(bottoms[0], "ShuffleChannel")
        channels = number(x[1])
        if channels % self.group:
            what = f"{channels} channels are not divisible by group {self.group}"
            raise Refused(what, code="group", at="shuffle_channel_param.group")
        return (x,)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY,)

    def emit(self, e: Emission) -> Emitted:
        x = e.planes[0]
        return e.assign(f"{x if self.group == 1 else f'F.channel_shuffle({x}, {self.group})'}")


@layer("Reverse")
class Reverse(AlongAxis):
    """One axis backwards (the CTC forks, for bidirectional recurrent nets)."""

    __slots__ = ()

    at: ClassVar[str] = "reverse_param.axis"
    moves: ClassVar[slice | None] = slice(None)
    fork: ClassVar[str] = "CTC"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("reverse_param")
        axis = int(s.get("axis"))
        if axis < 0:
            s.refuse("axis", f"axis {axis} is negative", code="axis", why="Reverse counts axes from 0 up")
        p.refuse_in_place()
        return cls(max(axis, 0))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        self.along(bottoms[0])
        return (bottoms[0],)

    def emit(self, e: Emission) -> Emitted:
        return e.assign(f"{e.x[0]}.flip({self.axis})")


@layer("ContinuationIndicator")
@dataclass(frozen=True, slots=True)
class ContinuationIndicator(Layer):
    """Sequence markers for LSTM: time_step × batch, 0 at the first step and 1 after it (CRNN).

    The batch is a bottom's extent along `axis`, or, without a bottom, batch_size.
    """

    steps: int = 1
    axis: int = 0
    batch: int = 1

    arity: ClassVar[Arity] = Arity(bottoms=(0, 1), tops=1)
    keeps_state: ClassVar[bool] = True
    fork: ClassVar[str] = "CRNN"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("continuation_indicator_param")
        steps = s.required_positive("time_step")
        if p.bottoms:
            s.ignore("batch_size")
            return cls(steps, int(s.get("axis")))
        s.required("batch_size", why="without a bottom nothing else tells how many streams there are")
        return cls(steps, 0, s.positive("batch_size") if s.has("batch_size") else 1)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        if not bottoms:
            return ((self.steps, self.batch),)
        axis = canonical_axis(self.axis, len(bottoms[0]), "continuation_indicator_param.axis")
        return ((self.steps, bottoms[0][axis]),)

    def emit(self, e: Emission) -> Emitted:
        y = e.y[0]
        if not e.x:
            anchor = f"self.{e.name} = nn.Buffer(torch.empty(0), persistent=False)  # device and type"
            line = f"{y} = self.{e.name}.new_ones({self.steps}, {self.batch})"
            return Emitted((line, f"{y}[0] = 0"), (anchor,))
        x = e.x[0]
        axis = canonical_axis(self.axis, len(e.bottoms[0]), "continuation_indicator_param.axis")
        return Emitted((f"{y} = {x}.new_ones({self.steps}, {x}.shape[{axis}])", f"{y}[0] = 0"))


@layer("SpatialPyramidPooling")
@dataclass(frozen=True, slots=True)
class SpatialPyramidPooling(Layer):
    """Pooling on several grids, flattened and put behind one another (the SPP-net branch, before Caffe's own SPP).

    A bin count b pools with kernel and stride ⌊H/b⌋ × ⌊W/b⌋. One count alone keeps its plane.
    """

    bins: tuple[int, ...] = (1,)
    method: str = "MAX"

    fork: ClassVar[str] = "SPP-net"
    family: ClassVar[str] = "pooling"
    mixed: ClassVar[frozenset[int] | None] = ITEM

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("spatial_pyramid_pooling_param")
        s.ignore("scale", "pool")  # the branch reads pooling_param's `pool`
        bins = tuple(int(v) for v in s.all("spatial_bin"))
        if not bins:
            remedy = "spatial_pyramid_pooling_param { spatial_bin: 1 }"
            s.refuse("", "no spatial_bin", code="param-missing", remedy=remedy)
        if any(b < 1 for b in bins):
            s.refuse("spatial_bin", "spatial_bin must be at least 1", code="param-range")
        method = p.sub("pooling_param").get("pool")
        if method == "STOCHASTIC":
            p.sub("pooling_param").refuse("pool", "STOCHASTIC pooling in a pyramid", code="unsupported")
        return cls(tuple(max(b, 1) for b in bins) or (1,), method)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x = planes(bottoms[0], "SpatialPyramidPooling")
        if len(self.bins) == 1:
            return ((*x[:2], 1, 1),)
        height, width, total = number(x[2]), number(x[3]), 0
        for b in self.bins:
            if min(height, width) < b:
                raise Refused(f"{b} bins for {height}×{width} pixels", at="spatial_pyramid_pooling_param.spatial_bin")
            total += count((-(-height // (height // b)), -(-width // (width // b))))
        return ((x[0], number(x[1]) * total, 1, 1),)

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        return count(bottoms[0]) * len(self.bins) if self.method == "AVE" else 0

    def emit(self, e: Emission) -> Emitted:
        x = e.planes[0]
        if len(self.bins) == 1:
            return e.assign(f"{x}.{'amax' if self.method == 'MAX' else 'mean'}(dim=(2, 3), keepdim=True)")
        pool = "F.max_pool2d" if self.method == "MAX" else "F.avg_pool2d"
        return e.call("pooling.grid_pyramid", x, self.bins, pool)
