"""Layers of Caffe's forks that change the size of a plane: Interp, Upsample, Unpooling, Padding."""

from __future__ import annotations

from collections.abc import Sequence

from netcompile.algebra.coords import AxisMap
from netcompile.layers.base import (
    Arity,
    Axes,
    Condition,
    Dim,
    Emission,
    Emitted,
    Layer,
    Refused,
    Shape,
    layer,
    same_shape,
)
from netcompile.layers.params import Params
from netcompile.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Self

Pair = tuple[int, int]


def four_axes(shape: Shape, what: str, at: str = "bottom[0]") -> None:
    """Raises Refused unless the blob is (batch, channels, height, width)."""
    if len(shape) != 4:
        raise Refused(f"{what} wants 4 axes, not {len(shape)}", at=at, why="(batch, channels, height, width)")


@layer("Interp")
@record
class Interp(Layer):
    """Bilinear resizing whose corner pixels stay corner pixels (DeepLab, PSPNet); negative pads cut first."""

    size: Pair | None = None
    zoom: int | None = None
    shrink: int | None = None
    pad: Pair = (0, 0)  # at the beginning and at the end of both axes, none positive

    arity: ClassVar[Arity] = Arity(bottoms=(1, 2), tops=1)
    fork: ClassVar[str] = "DeepLab"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("interp_param")
        if s.has("interp_type") and s.get("interp_type") != "bilinear":
            s.refuse("interp_type", f"interp_type {s.get('interp_type')!r} is unknown", code="unsupported")
        for field in ("pad_beg", "pad_end"):
            if s.get(field) > 0:
                s.refuse(
                    field,
                    f"{field} {s.get(field)} is positive",
                    code="param-range",
                    why="Interp can only cut, not pad",
                )
        for field in ("zoom_factor", "shrink_factor", "height", "width"):
            if s.has(field) and s.get(field) < 1:
                s.refuse(field, f"{field} {s.get(field)} is less than 1", code="param-range")
        zoom = max(int(s.get("zoom_factor")), 1) if s.has("zoom_factor") else None
        shrink = max(int(s.get("shrink_factor")), 1) if s.has("shrink_factor") else None
        size = None
        if s.has("height") and s.has("width"):
            size = (max(int(s.get("height")), 1), max(int(s.get("width")), 1))
        if (zoom is None) == (shrink is None) and size is None and zoom is None and p.bottoms == 1:
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
        four_axes(bottoms[0], "Interp")
        refusal = Refused("pad_beg and pad_end cut everything away", at="interp_param.pad_beg")
        return [Condition(d, ">=", 1 - sum(self.pad), refusal) for d in bottoms[0][2:]] if any(self.pad) else ()

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x = bottoms[0]
        four_axes(x, "Interp")
        if self.size is not None:
            return ((*x[:2], *self.size),)
        if self.zoom is None and self.shrink is None:
            four_axes(bottoms[1], "Interp", "bottom[1]")
            return ((*x[:2], *bottoms[1][2:]),)
        return ((*x[:2], self.scaled(x[2]), self.scaled(x[3])),)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        if self.zoom is None or self.shrink is not None:
            return None  # the step between pixels depends on the size
        from fractions import Fraction

        step = AxisMap(Fraction(1, self.zoom), Fraction(-self.pad[0]))
        return ((step, step), None)[: len(bottoms)]

    def emit(self, e: Emission) -> Emitted:
        x = e.x[0]
        lines = []
        begin, end = -self.pad[0], -self.pad[1]
        if begin or end:
            cut = f"{begin or ''}:{-end if end else ''}"
            lines.append(f"{e.y[0]} = {x}[:, :, {cut}, {cut}]")
            x = e.y[0]
        if self.size is not None:
            size = repr(self.size)
        elif self.zoom is None and self.shrink is None:
            size = f"{e.x[1]}.shape[2:]"
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
@record
class Upsample(Layer):
    """With two bottoms (SegNet): values go back to where the pooling's mask found them, the rest is 0.

    With one bottom (the YOLO forks): every pixel becomes a block of equal pixels.
    """

    scale: Pair = (2, 2)
    size: Pair | None = None
    short: Pair = (0, 0)  # pixels that the top is smaller than scale x bottom
    masked: bool = True

    arity: ClassVar[Arity] = Arity(bottoms=(1, 2), tops=1)
    fork: ClassVar[str] = "SegNet, YOLO"

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
        square = int(s.get("scale"))
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
        if self.masked:
            four_axes(x, "Upsample")
        if len(x) < 2:
            raise Refused("Upsample wants at least 2 axes", at="bottom[0]")
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
            if len(e.bottoms[0]) == 4:
                factor = f"{h}" if h == w else f"({h}, {w})"
                return Emitted((f'{y} = F.interpolate({x}, scale_factor={factor}, mode="nearest")',))
            return Emitted((f"{y} = {x}.repeat_interleave({h}, dim=-2).repeat_interleave({w}, dim=-1)",))
        if self.size is not None:
            size = repr(self.size)
        else:
            parts = []
            for axis, s, less in zip((2, 3), self.scale, self.short, strict=True):
                parts.append(f"{s} * {x}.shape[{axis}]" + (f" - {less}" if less else ""))
            size = f"({', '.join(parts)})"
        return Emitted((f"{y} = unpool({x}, {e.x[1]}, {size})",), functions=(UNPOOL,))


UNPOOL = '''
def unpool(x, mask, size):
    """Values at the places h * W + w that a max pooling's mask names, 0 elsewhere.

    Where windows overlap and two values have one place, the later one stays, as in
    Caffe's loop.
    """
    places = mask.long().flatten(2)
    order = torch.arange(places.shape[2], device=x.device).expand_as(places)
    last = order.new_full((*x.shape[:2], size[0] * size[1]), -1)
    last = last.scatter_reduce(2, places, order, "amax")
    y = x.flatten(2).gather(2, last.clamp_min(0)) * (last >= 0)
    return y.reshape(*x.shape[:2], *size)
'''


@layer("Unpooling")
@record
class Unpooling(Layer):
    """DeconvNet's inverse of pooling: to the mask's places (MAX), or spread over each window (AVE, TILE)."""

    method: str = "MAX"
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    size: Pair = (1, 1)
    masked: bool = False

    arity: ClassVar[Arity] = Arity(bottoms=(1, 2), tops=1)
    fork: ClassVar[str] = "DeconvNet"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("unpooling_param")

        def both(name: str, stem: str, default: int | None) -> Pair:
            h, w = f"{stem}_h", f"{stem}_w"
            if s.has(name) and (s.has(h) or s.has(w)):
                s.refuse(name, f"{name} and {h}/{w} together", code="param-conflict", remedy=f"keep {name}")
            if s.has(h) and s.has(w):
                return int(s.get(h)), int(s.get(w))
            if s.has(h) or s.has(w):
                s.refuse(h if s.has(h) else w, f"{h} and {w} belong together", code="param-missing")
            elif not s.has(name) and default is None:
                s.refuse("", f"{name} missing", code="param-missing", remedy=f"unpooling_param {{ {name}: … }}")
            value = int(s.get(name)) if s.has(name) else default or 1
            return value, value

        kernel, stride = both("kernel_size", "kernel", None), both("stride", "stride", 1)
        size = both("unpool_size", "unpool", None)
        if both("pad", "pad", 0) not in ((0, 0), (1, 1)) or s.get("pad") or s.get("pad_h") or s.get("pad_w"):
            s.refuse("pad", "Unpooling takes no padding", code="param-range", why="its layer refuses any but 0")
        for name, pair in (("kernel_size", kernel), ("stride", stride), ("unpool_size", size)):
            if min(pair) < 1:
                s.refuse(name, f"{name} must be at least 1", code="param-range")
        kernel, stride, size = ((max(a, 1), max(b, 1)) for a, b in (kernel, stride, size))
        return cls(s.get("unpool"), kernel, stride, size, p.bottoms == 2 and s.get("unpool") == "MAX")

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        if len(bottoms) < 2:
            return ()
        return same_shape(bottoms[0], bottoms[1], "the mask's shape is not the bottom's")

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        four_axes(bottoms[0], "Unpooling")
        return ((*bottoms[0][:2], *self.size),)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        h, w = (AxisMap.deconvolution(k, s) for k, s in zip(self.kernel, self.stride, strict=True))
        return ((h, w), None)[: len(bottoms)]

    def emit(self, e: Emission) -> Emitted:
        x, y = e.x[0], e.y[0]
        if self.method == "MAX":
            if self.masked:
                return Emitted((f"{y} = unpool({x}, {e.x[1]}, {self.size})",), functions=(UNPOOL,))
            make = f"unpool({x}, corner_mask({x}, {self.stride}, {self.size}), {self.size})"
            return Emitted((f"{y} = {make}",), functions=(CORNERS, UNPOOL))
        mean = ", mean=True" if self.method == "AVE" else ""
        make = f"spread({x}, {self.kernel}, {self.stride}, {self.size}{mean})"
        return Emitted((f"{y} = {make}",), functions=(SPREAD,))


CORNERS = '''
def corner_mask(x, stride, size):
    """The first place of every window: where a value without a mask goes."""
    rows, columns = (
        (torch.arange(n, device=x.device) * s).clamp_max(m - 1)
        for n, s, m in zip(x.shape[2:], stride, size)
    )
    return (rows[:, None] * size[1] + columns).expand_as(x)
'''

SPREAD = '''
def spread(x, kernel, stride, size, mean=False):
    """Every value added to all of its window, as far as that lies in the plane.

    With `mean` each value is divided by the number of the window's places first.
    """
    covers = []
    for n, k, s, m in zip(x.shape[2:], kernel, stride, size):
        first = torch.arange(n, device=x.device)[:, None] * s
        place = torch.arange(m, device=x.device)
        cover = ((place >= first) & (place < first + k)).to(x.dtype)
        if mean:
            cover = cover / cover.sum(dim=1, keepdim=True).clamp_min(1)
        covers.append(cover)
    return covers[0].T @ x @ covers[1]
'''


@layer("Padding")
@record
class Padding(Layer):
    """Zeros around the plane, or, if negative, the plane without its border (DeepLab)."""

    begin: int = 0
    end: int = 0

    arity: ClassVar[Arity] = Arity(bottoms=1, tops=1)
    fork: ClassVar[str] = "DeepLab"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("padding_param")
        begin, end = int(s.get("pad_beg")), int(s.get("pad_end"))
        if begin * end < 0:
            s.refuse("pad_beg", "pad_beg and pad_end of opposite sign", code="param-conflict")
            return cls()
        return cls(begin, end)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        four_axes(bottoms[0], "Padding")
        return ((*bottoms[0][:2], *(d + (self.begin + self.end) for d in bottoms[0][2:])),)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return ((AxisMap.crop(-self.begin), AxisMap.crop(-self.begin)),)

    def emit(self, e: Emission) -> Emitted:
        pads = f"({self.begin}, {self.end}, {self.begin}, {self.end})"
        return Emitted((f"{e.y[0]} = F.pad({e.x[0]}, {pads})",))
