"""Layers of Caffe's forks that change the size of a plane: Interp, Upsample, Padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Self

from netcompile.algebra.coords import AxisMap
from netcompile.layers.base import PLANE, Arity, Axes, Condition, Dim, Emission, Emitted, Layer, Refused, Shape, layer
from netcompile.layers.params import Params
from netcompile.layers.shapes import four_axes, planes, same_shape

Pair = tuple[int, int]


@layer("Interp")
@dataclass(frozen=True, slots=True)
class Interp(Layer):
    """Bilinear resizing whose corner pixels stay corner pixels (DeepLab, PSPNet); negative pads cut first."""

    size: Pair | None = None
    zoom: int | None = None
    shrink: int | None = None
    pad: Pair = (0, 0)  # at the beginning and at the end of both axes, none positive

    arity: ClassVar[Arity] = Arity(bottoms=(1, 2), tops=1)
    fork: ClassVar[str] = "DeepLab"
    family: ClassVar[str] = "upsampling"
    mixed: ClassVar[frozenset[int] | None] = PLANE

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("interp_param")
        if s.has("interp_type") and s.get("interp_type") != "bilinear":
            s.refuse("interp_type", f"interp_type {s.get('interp_type')!r} is unknown", code="unsupported")
        for field in ("pad_beg", "pad_end"):
            if s.get(field) > 0:
                why = "Interp can only cut, not pad"
                s.refuse(field, f"{field} {s.get(field)} is positive", code="param-range", why=why)
        zoom, shrink, height, width = (
            s.positive(field) if s.has(field) else None for field in ("zoom_factor", "shrink_factor", "height", "width")
        )
        size = (height, width) if height is not None and width is not None else None
        if zoom is None and shrink is None and size is None and p.bottoms == 1:
            s.refuse(
                "",
                "Interp has no size",
                code="param-missing",
                why="it needs zoom_factor, shrink_factor, height and width, or a second bottom",
                remedy="interp_param { zoom_factor: … }",
            )
        if (zoom is None) != (shrink is None):
            size = None  # a factor alone comes before the size
        pad = (min(int(s.get("pad_beg")), 0), min(int(s.get("pad_end")), 0))
        return cls(size, None if size else zoom, None if size else shrink, pad)

    def scaled(self, dim: Dim) -> Dim:
        """The extent after cutting, shrinking and zooming."""
        dim = dim + sum(self.pad)
        if self.shrink is not None:
            dim = (dim - 1) // self.shrink + 1
        return dim if self.zoom is None else dim + (dim - 1) * (self.zoom - 1)

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        x = planes(bottoms[0], "Interp")
        refusal = Refused("pad_beg and pad_end cut everything away", at="interp_param.pad_beg")
        return [Condition(d, ">=", 1 - sum(self.pad), refusal) for d in x[2:]] if any(self.pad) else ()

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x = planes(bottoms[0], "Interp")
        if self.size is not None:
            return ((*x[:2], *self.size),)
        if self.zoom is None and self.shrink is None:
            return ((*x[:2], *planes(bottoms[1], "Interp", "bottom[1]")[2:]),)
        return ((*x[:2], self.scaled(x[2]), self.scaled(x[3])),)

    def content(self, *bottoms: str) -> str:
        return "" if bottoms[0] == "labels" else bottoms[0]

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        if self.zoom is None or self.shrink is not None:
            return None  # the step between pixels depends on the size
        step = AxisMap(Fraction(1, self.zoom), Fraction(-self.pad[0]))
        return ((step, step), None)[: len(bottoms)]

    def emit(self, e: Emission) -> Emitted:
        x, lines = e.planes[0], []
        begin, end = -self.pad[0], -self.pad[1]
        if begin or end:
            cut = f"{begin or ''}:{-end if end else ''}"
            lines.append(f"{e.y[0]} = {x}[:, :, {cut}, {cut}]")
            x = e.y[0]
        if self.size is not None:
            size = repr(self.size)
        elif self.zoom is None and self.shrink is None:
            size = f"{e.planes[1]}.shape[2:]"
        else:
            size = "(" + ", ".join(self._extent(f"{x}.shape[{axis}]") for axis in (2, 3)) + ")"
        make = f'F.interpolate({x}, size={size}, mode="bilinear", align_corners=True)'
        return Emitted((*lines, f"{e.y[0]} = {make}"))

    def _extent(self, n: str) -> str:
        text = f"({n} - 1)"
        if self.shrink not in (None, 1):
            text += f" // {self.shrink}"
        if self.zoom not in (None, 1):
            text += f" * {self.zoom}"
        return f"{text} + 1"


@layer("Upsample")
@dataclass(frozen=True, slots=True)
class Upsample(Layer):
    """With two bottoms (SegNet): values go back to where the pooling's mask found them, the rest is 0.

    With one bottom (the YOLO forks): every pixel becomes a block of equal pixels.
    """

    scale: Pair = (2, 2)
    size: Pair | None = None
    short: Pair = (0, 0)  # pixels that the top is smaller than scale x bottom
    masked: bool = True

    arity: ClassVar[Arity] = Arity(bottoms=(1, 2), tops=1)
    index_bottoms: ClassVar[tuple[int, ...]] = (1,)  # the mask
    fork: ClassVar[str] = "SegNet, YOLO"
    family: ClassVar[str] = "upsampling"
    mixed: ClassVar[frozenset[int] | None] = PLANE

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("upsample_param")
        masked = p.bottoms == 2
        if s.has("upsample_h") and s.has("upsample_w"):
            if not masked:
                s.refuse(
                    "upsample_h",
                    "an Upsample of one bottom takes scale",
                    code="param",
                    why="the forks that repeat pixels know whole factors; SegNet's needs the pooling's mask",
                    remedy="give the pooling's mask as second bottom, or scale",
                )
            size = (int(s.get("upsample_h")), int(s.get("upsample_w")))
            for field, value in zip(("upsample_h", "upsample_w"), size, strict=True):
                if value < 2:
                    s.refuse(field, f"{field} {value} must be greater than 1", code="param-range")
            s.ignore("scale", "scale_h", "scale_w", "pad_out_h", "pad_out_w")
            return cls((2, 2), size, (0, 0), masked)
        if s.has("scale_h") != s.has("scale_w") or (s.has("scale") and s.has("scale_h")):
            s.refuse(
                "scale_h" if s.has("scale_h") else "scale_w",
                "scale_h and scale_w belong together, without scale",
                code="param-conflict",
                remedy="scale, or scale_h and scale_w, or upsample_h and upsample_w",
            )
        square = int(s.get("scale")) if s.has("scale") or masked else 1  # SegNet's default is 2, the YOLO forks' 1
        scale = (int(s.get("scale_h")), int(s.get("scale_w"))) if s.has("scale_h") else (square, square)
        short = (int(s.get("pad_out_h")), int(s.get("pad_out_w")))
        if min(scale) < (2 if masked else 1) and s.has("scale_h") == s.has("scale_w"):
            s.refuse("scale", f"scale {min(scale)} must be greater than {int(masked)}", code="param-range")
        for field, factor, less in zip(("pad_out_h", "pad_out_w"), scale, short, strict=True):
            if less and factor != 2:
                s.refuse(field, f"{field} needs scale 2, not {factor}", code="param-conflict")
            if less and not masked:
                s.refuse(field, f"{field} needs the pooling's mask as second bottom", code="param-conflict")
        return cls((max(scale[0], 1), max(scale[1], 1)), None, short, masked)

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        if not self.masked:
            return ()
        four_axes(bottoms[0], "Upsample")
        return same_shape(bottoms[0], bottoms[1], "the mask's shape is not the bottom's")

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x = bottoms[0]
        four_axes(x, "Upsample")  # the YOLO forks' counts axes from behind for its shape, and aborts without four
        if self.size is not None:
            return ((*x[:-2], *self.size),)
        grown = (d * s - less for d, s, less in zip(x[-2:], self.scale, self.short, strict=True))
        return ((*x[:-2], *grown),)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        if len(bottoms[0]) != 4 or self.size is not None:
            return None
        # As a deconvolution of kernel = stride = scale; the mask comes from the pooling, and lies alike.
        h, w = (AxisMap.deconvolution(s, s) for s in self.scale)
        return ((h, w), None)[: len(bottoms)]

    def emit(self, e: Emission) -> Emitted:
        x, y = e.x[0], e.y[0]
        if not self.masked:
            h, w = self.scale
            factor = f"{h}" if h == w else f"({h}, {w})"
            return Emitted((f'{y} = F.interpolate({x}, scale_factor={factor}, mode="nearest")',))
        if self.size is not None:
            size = repr(self.size)
        else:
            parts = []
            for axis, s, less in zip((2, 3), self.scale, self.short, strict=True):
                parts.append(f"{s} * {x}.shape[{axis}]" + (f" - {less}" if less else ""))
            size = f"({', '.join(parts)})"
        return e.call("unpooling.unpool", x, e.x[1], size)


@layer("Padding")
@dataclass(frozen=True, slots=True)
class Padding(Layer):
    """Zeros around the plane, or, if negative, the plane without its border (DeepLab)."""

    begin: int = 0
    end: int = 0

    fork: ClassVar[str] = "DeepLab"
    mixed: ClassVar[frozenset[int] | None] = PLANE

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("padding_param")
        begin, end = int(s.get("pad_beg")), int(s.get("pad_end"))
        if begin * end < 0:
            s.refuse("pad_beg", "pad_beg and pad_end of opposite sign", code="param-conflict")
            return cls()
        return cls(begin, end)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x = planes(bottoms[0], "Padding")
        return ((*x[:2], *(d + (self.begin + self.end) for d in x[2:])),)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return ((AxisMap.crop(-self.begin), AxisMap.crop(-self.begin)),)

    def emit(self, e: Emission) -> Emitted:
        pads = f"({self.begin}, {self.end}, {self.begin}, {self.end})"
        return e.assign(f"F.pad({e.planes[0]}, {pads})")
