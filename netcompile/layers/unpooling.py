"""Unpooling, the inverse of pooling, as DeconvNet, CEDN and FuseNet have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from netcompile.algebra.coords import AxisMap
from netcompile.layers.base import PLANE, Arity, Axes, Condition, Emission, Emitted, Layer, Shape, layer
from netcompile.layers.params import Params
from netcompile.layers.resize import Pair
from netcompile.layers.shapes import four_axes, planes, same_shape


@layer("Unpooling")
@dataclass(frozen=True, slots=True)
class Unpooling(Layer):
    """Inverses of pooling: to the mask's places (MAX), or spread over each window (AVE, TILE).

    DeconvNet's is told its tops' size. CEDN's knows a kernel and a stride alone, and makes the smallest plane that
    all windows lie in; FuseNet's takes a scale, or output_h and output_w, and a mask.
    """

    method: str = "MAX"
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    size: Pair | None = (1, 1)  # None: as large as the windows reach
    scale: int | None = None
    masked: bool = False

    arity: ClassVar[Arity] = Arity(bottoms=(1, 2), tops=1)
    index_bottoms: ClassVar[tuple[int, ...]] = (1,)  # the mask
    fork: ClassVar[str] = "DeconvNet, CEDN, FuseNet"
    family: ClassVar[str] = "upsampling"
    mixed: ClassVar[frozenset[int] | None] = PLANE

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("unpooling_param")
        if s.has("scale") or s.has("output_h") or s.has("output_w"):
            return cls._fusenet(p)

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
        sized = any(s.has(name) for name in ("unpool_size", "unpool_h", "unpool_w"))
        size = both("unpool_size", "unpool", None) if sized else (1, 1)
        masked = p.bottoms == 2 and s.get("unpool") == "MAX"
        if not sized:
            p.note(
                "unpooling_param",
                "Unpooling without unpool_size makes (n − 1) · stride + kernel rows and columns",
                code="fork-reading",
                why="that is CEDN's layer; DeconvNet's refuses to run without a size",
                remedy="unpool_size, or unpool_h and unpool_w, for DeconvNet's",
            )
            if s.get("unpool") == "MAX" and not masked:
                p.refuse(
                    "bottom", "Unpooling without unpool_size wants a mask", code="arity", why="CEDN's MAX has no other"
                )
        if both("pad", "pad", 0) not in ((0, 0), (1, 1)) or s.get("pad") or s.get("pad_h") or s.get("pad_w"):
            s.refuse("pad", "Unpooling takes no padding", code="param-range", why="its layer refuses any but 0")
        for name, pair in (("kernel_size", kernel), ("stride", stride), ("unpool_size", size)):
            if min(pair) < 1:
                s.refuse(name, f"{name} must be at least 1", code="param-range")
        kernel, stride, size = ((max(a, 1), max(b, 1)) for a, b in (kernel, stride, size))
        return cls(s.get("unpool"), kernel, stride, size if sized else None, None, masked)

    @classmethod
    def _fusenet(cls, p: Params) -> Self:
        s = p.sub("unpooling_param")
        size = None
        if s.has("output_h") and s.has("output_w"):
            size = (s.positive("output_h"), s.positive("output_w"))
            s.ignore("scale")
        elif s.has("output_h") or s.has("output_w"):
            field = "output_h" if s.has("output_h") else "output_w"
            s.refuse(field, "output_h and output_w belong together", code="param-missing")
        if p.bottoms != 2:
            p.refuse("bottom", "FuseNet's Unpooling wants the pooling's mask", code="arity")
        return cls("MAX", (1, 1), (1, 1), size, s.positive("scale") if size is None and s.has("scale") else None, True)

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        if len(bottoms) < 2:
            return ()
        return same_shape(bottoms[0], bottoms[1], "the mask's shape is not the bottom's")

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x = planes(bottoms[0], "Unpooling")
        if self.size is not None:
            return ((*x[:2], *self.size),)
        if self.scale is not None:
            four_axes(bottoms[0], "Unpooling")
            return ((*x[:2], x[2] * self.scale, x[3] * self.scale),)
        grown = (d * s + (k - s) for d, k, s in zip(x[2:], self.kernel, self.stride, strict=True))
        return ((*x[:2], *grown),)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        if self.scale is not None:
            m = AxisMap.deconvolution(self.scale, self.scale)
            return ((m, m), None)[: len(bottoms)]
        h, w = (AxisMap.deconvolution(k, s) for k, s in zip(self.kernel, self.stride, strict=True))
        return ((h, w), None)[: len(bottoms)]

    def emit(self, e: Emission) -> Emitted:
        x = e.planes[0]
        size = repr(self.size)
        if self.size is None:
            steps = ((self.scale,) * 2, (0, 0)) if self.scale else (self.stride, self._rest())
            extents = zip((2, 3), *steps, strict=True)
            rests = {r: f" + {r}" if r > 0 else f" - {-r}" if r else "" for r in steps[1]}
            size = "(" + ", ".join(f"{s} * {x}.shape[{a}]{rests[r]}" for a, s, r in extents) + ")"
        if self.method == "MAX":
            if self.masked:
                return e.call("unpooling.unpool", x, e.planes[1], size)
            made = e.call("unpooling.unpool", x, f"corner_mask({x}, {self.stride}, {size})", size)
            return replace(made, functions=("unpooling.corner_mask", *made.functions))
        mean = True if self.method == "AVE" else None
        return e.call("unpooling.spread", x, self.kernel, self.stride, size, mean=mean)

    def _rest(self) -> Pair:
        """What a plane of windows has more than stride · n; a stride beyond the kernel leaves it smaller."""
        return self.kernel[0] - self.stride[0], self.kernel[1] - self.stride[1]
