"""Layers over windows of a plane that are neither convolution nor pooling: Im2col, SPP."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar, Self

from netcompile.algebra.coords import AxisMap
from netcompile.algebra.size import conv_size
from netcompile.layers.base import ITEM, Axes, Condition, Emission, Emitted, Layer, Refused, Shape, layer
from netcompile.layers.convolution import (
    NO_KERNEL,
    Extents,
    Window,
    along_plane,
    dilations,
    sized,
    window_field,
    windows_along,
)
from netcompile.layers.params import Params
from netcompile.layers.shapes import canonical_axis, four_axes


@layer("Im2col")
@dataclass(frozen=True, slots=True)
class Im2col(Layer):
    """Each window's elements side by side as channels: what a convolution multiplies."""

    kernel: Extents = (1,)
    stride: Extents = (1,)
    pad: Extents = (0,)
    dilation: Extents = (1,)
    axis: int = 1
    pairs: tuple[str, ...] = ()  # fields given as _h and _w, which only a plane has

    family: ClassVar[str] = "convolution"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("convolution_param")
        s.ignore("engine", "force_nd_im2col")
        if not sized(s):
            s.refuse("", "no kernel size", **NO_KERNEL)
        kernel = window_field(s, "kernel_size", 0 if s.has("kernel_h") or s.has("kernel_w") else 1, 1, "kernel")
        stride = window_field(s, "stride", 0 if s.has("stride_h") or s.has("stride_w") else 1, 1)
        pairs = tuple(f for stem in ("kernel", "stride", "pad") for f in (f"{stem}_h", f"{stem}_w") if s.has(f))
        return cls(kernel, stride, window_field(s, "pad", 0, 0), dilations(s), int(s.get("axis")), pairs)

    def windows(self, rank: int) -> tuple[int, tuple[Window, ...]]:
        """(channel axis, (kernel, stride, pad, dilation) per spatial axis)."""
        axis = canonical_axis(self.axis, rank, "convolution_param.axis")
        spatial = rank - axis - 1
        if spatial < 1:
            raise Refused(f"no spatial axis after axis {axis} of {rank}", code="axis", at="convolution_param.axis")
        if self.pairs and spatial != 2:
            raise Refused(
                f"{self.pairs[0]} for {spatial} spatial axes",
                code="param",
                at=f"convolution_param.{self.pairs[0]}",
                why="the _h and _w fields are for a plane",
            )
        return axis, windows_along(spatial, self.kernel, self.stride, self.pad, self.dilation)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x = bottoms[0]
        axis, windows = self.windows(len(x))
        spatial = tuple(conv_size(d, *w) for d, w in zip(x[axis + 1 :], windows, strict=True))
        return ((*x[:axis], x[axis] * prod(w[0] for w in windows), *spatial),)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        return range(self.windows(len(bottoms[0]))[0], len(bottoms[0]))

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return along_plane(AxisMap.window, *self.windows(len(bottoms[0])))

    def emit(self, e: Emission) -> Emitted:
        axis, windows = self.windows(len(e.bottoms[0]))
        kernel, stride, pad, dilation = (repr(tuple(column)) for column in zip(*windows, strict=True))
        channels = axis if axis != 1 else None
        return e.call("shaping.im2col", e.x[0], kernel, stride, pad, dilation, channels=channels)


HIGHEST = 16  # levels of a pyramid: 32768 bins along an axis


@layer("SPP")
@dataclass(frozen=True, slots=True)
class SPP(Layer):
    """Pooling into 1, 2×2, 4×4, … bins that cover the plane, each level flattened, one behind the other.

    A level's window is the plane divided by its bins, rounded up; what the windows overhang is padded on both
    sides, the larger half first. A pyramid of height 1 is not flattened.
    """

    height: int = 1
    method: str = "MAX"

    family: ClassVar[str] = "pooling"
    mixed: ClassVar[frozenset[int] | None] = ITEM

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("spp_param")
        s.ignore("engine")
        height = s.required_positive("pyramid_height")
        if height > HIGHEST:
            s.refuse(
                "pyramid_height",
                f"pyramid_height {height} is more than {HIGHEST}",
                code="param-range",
                why="every level has twice the bins of the one before it, along each axis",
            )
        return cls(min(height, HIGHEST), s.get("pool"))

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        x = bottoms[0]
        four_axes(x, "SPP")
        found = []
        for level in range(self.height):
            bins = 2**level
            for extent in x[2:]:
                kernel = (extent + (bins - 1)) // bins
                refusal = Refused(
                    f"pad must be smaller than kernel: {bins} bins over {extent} pixels",
                    code="param-range",
                    at="spp_param.pyramid_height",
                    why=f"level {level} has windows of {kernel}, and more than that to pad on one side",
                )
                found.append(Condition(kernel * 2, ">=", kernel * bins - extent + 2, refusal))
                if self.method == "STOCHASTIC":
                    uneven = Refused(
                        f"stochastic pooling cannot pad {extent} pixels for {bins} bins",
                        code="param-conflict",
                        at="spp_param.pool",
                        why="Caffe pads MAX and AVE only",
                    )
                    found.append(Condition(extent, "==", kernel * bins, uneven))
        return found

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x = bottoms[0]
        self.conditions(x)
        if self.height == 1:
            return ((x[0], x[1], 1, 1),)
        return ((x[0], x[1] * sum(4**level for level in range(self.height))),)

    def emit(self, e: Emission) -> Emitted:
        x = e.x[0]
        if self.method == "STOCHASTIC":
            made = e.call("pooling.pyramid", x, self.height, "weighted_mean")
            return replace(made, functions=("pooling.weighted_mean", *made.functions))
        if self.height == 1:
            whole = f"F.adaptive_max_pool2d({x}, 1)" if self.method == "MAX" else f"{x}.mean(dim=(2, 3), keepdim=True)"
            return e.assign(whole)
        pool, fill = ("F.max_pool2d", 'float("-inf")') if self.method == "MAX" else ("F.avg_pool2d", None)
        return e.call("pooling.pyramid", x, self.height, pool, fill=fill)
