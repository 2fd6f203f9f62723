"""Layers that cut windows out of blobs, and put borders around them.

Their last bottom is the net's image, whose height H and width W set the extents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

from netcompile.algebra.coords import AxisMap
from netcompile.algebra.size import Size
from netcompile.ir.graph import Value
from netcompile.layers import source
from netcompile.layers.base import Arity, Axes, BlobSpec, Dim, Emission, Emitted, IntShape, Layer, Shape
from netcompile.layers.convolution import Deconvolution
from netcompile.passes.windows import always

Pair = tuple[int, int]
Extent = tuple[Dim, Dim]


def extents(dims: Extent, image: Shape) -> tuple[Dim, Dim]:
    """Window extents for the size of an image: numbers for numbers."""
    height, width = (
        dim.at(n) or 0 if isinstance(dim, Size) and isinstance(n, int) else dim
        for dim, n in zip(dims, image[2:], strict=True)
    )
    return height, width


@dataclass(frozen=True, slots=True)
class CutWindow(Layer):
    """The window of bottom[0] that begins at `start`; zeros where it sticks out of the blob, whose size is `size`."""

    start: Pair
    extent: Extent
    size: Extent

    type: ClassVar[str] = "CutWindow"
    arity: ClassVar[Arity] = Arity(bottoms=2)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x, image = bottoms
        return ((*x[:2], *extents(self.extent, image)),)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return ((AxisMap.crop(self.start[0]), AxisMap.crop(self.start[1])), None)

    @property
    def margins(self) -> tuple[Extent, Extent]:
        """Rows and columns of zeros before and behind, negative where pixels are cut off."""
        ends = [s + e - n for s, e, n in zip(self.start, self.extent, self.size, strict=True)]
        return (-self.start[0], ends[0]), (-self.start[1], ends[1])

    def emit(self, e: Emission) -> Emitted:
        x, y = e.x[0], e.y[0]
        if self.cuts:
            rows, columns = (source.span(s, n) for s, n in zip(self.start, self.extent, strict=True))
            line = f"{y} = {x}[:, :, {rows}, {columns}]"
        else:
            (top, bottom), (left, right) = self.margins
            line = f"{y} = F.pad({x}, ({', '.join(map(source.extent, (left, right, top, bottom)))}))"
        return Emitted((line,))

    @property
    def cuts(self) -> bool:
        """Whether the window lies inside the blob."""
        ends = zip(self.start, self.extent, self.size, strict=True)
        return all(s >= 0 and always(n, e + s) for s, e, n in ends)


@dataclass(frozen=True, slots=True)
class Surround(Layer):
    """bottom[0], the window that depends on the image, within its border, which depends on the weights alone.

    `blob` names the border, which is cut from `value`. Near both ends of an axis it is the same for all input extents
    that agree modulo `period`; in between it repeats one pixel.
    """

    blob: str
    value: Value  # what the border is cut from, in the graph without windows
    before: Pair  # rows and columns of border before the window
    extent: Extent
    start: Pair  # where the border begins in the whole blob
    base: int  # the least input extent whose border serves for others
    period: int

    type: ClassVar[str] = "Surround"
    arity: ClassVar[Arity] = Arity(bottoms=2)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x, image = bottoms
        return ((*x[:2], *extents(self.extent, image)),)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return ((AxisMap.crop(-self.before[0]), AxisMap.crop(-self.before[1])), None)

    def emit(self, e: Emission) -> Emitted:
        height, width = self.extent
        place = f"{self.before[0]}, {self.before[1]}, {source.extent(height)}, {source.extent(width)}"
        line = f"{e.y[0]} = surround({e.x[0]}, border[{source.string(self.blob)}], {place})"
        return Emitted((line,), functions=("windows.surround",))

    def traced(self) -> Mapping[str, str]:
        return {"surround": "netcompile.export.windows.surround"}


class Windowable:
    """A Deconvolution that has its own code for a window of its top."""

    __slots__ = ()

    def emit_window(self, e: Emission, start: Pair, extent: Extent) -> Emitted:
        """Code for the window that begins at `start` in what the bottom, without padding, would give."""
        raise NotImplementedError


@dataclass(frozen=True)
class WindowedDeconvolution(Deconvolution):
    """A two-dimensional Deconvolution of which windows are computed as well: its module takes another padding."""

    diagonal: ClassVar[bool] = False  # zeros between the channels are left out

    def emit(self, e: Emission) -> Emitted:
        made = super().emit(e)
        more = ", diagonal=True)" if self.diagonal else ")"
        init = tuple(line.replace("nn.ConvTranspose2d(", "ConvTranspose2d(", 1)[:-1] + more for line in made.init)
        return replace(made, init=init, functions=(*made.functions, "upsampling.ConvTranspose2d"))


@dataclass(frozen=True, slots=True)
class DeconvolutionWindow(Layer):
    """A window of a Deconvolution's top, from the window of its bottom that it sees.

    `start` is the window's first pixel in what the bottom's window would give; it is cut off by the padding as far as
    both ends allow.
    """

    whole: Deconvolution
    start: Pair
    extent: Extent
    full: Extent  # what the bottom's window would give

    type: ClassVar[str] = "Deconvolution"
    arity: ClassVar[Arity] = Arity(bottoms=2)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x, image = bottoms
        return ((x[0], self.whole.outputs, *extents(self.extent, image)),)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        maps = self.whole.coords(bottoms[0])
        if maps is None or maps[0] is None:
            return None
        _, windows = self.whole.windows(bottoms[0])
        h, w = (m.compose(AxisMap.crop(s - p)) for m, s, (_, _, p, _) in zip(maps[0], self.start, windows, strict=True))
        return ((h, w), None)

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        return self.whole.blobs(bottoms[0])

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        # What is cut off by the padding is not computed: in the mean each pixel sees (k/s)² of the bottom.
        _, windows = self.whole.windows(bottoms[0])
        weight = prod(self.whole.weight_shape(bottoms[0][1], tuple(w[0] for w in windows)))
        return prod(tops[0][2:]) * tops[0][0] * weight // prod(w[1] for w in windows)

    def traced(self) -> Mapping[str, str]:
        return self.whole.traced()

    def emit(self, e: Emission) -> Emitted:
        if isinstance(self.whole, Windowable):
            return self.whole.emit_window(e, self.start, self.extent)
        # Both ends lose `padding`; what is left over in front is cut off behind the call.
        padding = tuple(s if self._fits(i, s) else 0 for i, s in enumerate(self.start))
        rest = [s - p for s, p in zip(self.start, padding, strict=True)]
        rows, columns = (source.span(s, n) for s, n in zip(rest, self.extent, strict=True))
        made = self.whole.emit(replace(e, x=e.x[:1], bottoms=e.bottoms[:1]))
        line = f"{e.y[0]} = self.{e.name}({e.x[0]}, padding={padding})"
        return replace(made, forward=(line, f"{e.y[0]} = {e.y[0]}[:, :, {rows}, {columns}]"))

    def _fits(self, axis: int, padding: int) -> bool:
        return always(self.full[axis] - 2 * padding, self.extent[axis])
