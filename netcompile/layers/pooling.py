"""Pooling over windows of two spatial axes (Caffe's PoolingLayer)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar, Self

from netcompile.algebra.coords import AxisMap
from netcompile.algebra.size import pool_size
from netcompile.layers.base import PLANE, Arity, Axes, Dim, Emission, Emitted, IntShape, Layer, Shape, layer
from netcompile.layers.convolution import refuse_both
from netcompile.layers.params import Params, Section
from netcompile.layers.shapes import four_axes
from netcompile.layers.source import call, literal
from netcompile.layers.traits import Reach

Pair = tuple[int, int]


def window(s: Section, name: str, stem: str, least: int) -> Pair | None:
    """A pooling's kernel, stride or pad: `name`, or both ``_h`` and ``_w``, None where neither is set.

    Caffe takes ``kernel_size`` beside one of the pair and ignores that one; it is reported as unused.
    """
    high, wide = f"{stem}_h", f"{stem}_w"
    both, either = s.has(high) and s.has(wide), s.has(high) or s.has(wide)
    if s.has(name) and (both or (either and stem != "kernel")):
        refuse_both(s, name, high, wide)
    if either and not both and not s.has(name):
        field, missing = (high, wide) if s.has(high) else (wide, high)
        what = f"no kernel size: {field} without {missing}" if stem == "kernel" else f"{field} without {missing}"
        s.refuse(field, what, code="param-missing", why="Caffe wants both", remedy=f"give {missing} too")
        return (1, 1)
    if not s.has(name) and not both:
        return None
    fields = (high, wide) if both else (name, name)
    values = tuple(int(s.get(field)) for field in fields)
    for field, value in dict(zip(fields, values, strict=True)).items():
        if value < least:
            s.refuse(field, f"{stem} {value} is less than {least}", code="param-range", remedy=f"{field}: {least}")
    return (max(values[0], least), max(values[1], least))


@layer("Pooling")
@dataclass(frozen=True, slots=True)
class Pooling(Layer):
    """Maximum, mean, or (at test) probability-weighted mean over windows; a second top holds the maxima's indices."""

    method: str = "MAX"
    kernel: Pair | None = None  # None: global, the whole plane
    stride: Pair = (1, 1)
    pad: Pair = (0, 0)
    round_mode: str = "CEIL"
    mask: bool = False

    arity: ClassVar[Arity] = Arity(bottoms=1, tops=(1, 2))
    family: ClassVar[str] = "pooling"
    mixed: ClassVar[frozenset[int] | None] = PLANE

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("pooling_param")
        s.ignore("engine")
        method, whole = s.get("pool"), bool(s.get("global_pooling"))
        kernel = None if whole else window(s, "kernel_size", "kernel", 1)
        if whole:
            for field in ("kernel_size", "kernel_h", "kernel_w"):
                if s.has(field):
                    s.refuse(
                        field,
                        f"global_pooling and {field} together",
                        code="param-conflict",
                        why="a global pooling's kernel is its bottom's size",
                        remedy=f"remove {field}",
                    )
        elif kernel is None:
            s.refuse(
                "",
                "no kernel size",
                code="param-missing",
                why="a window needs kernel_size, or both kernel_h and kernel_w",
                remedy="pooling_param { kernel_size: … }",
            )
        stride, pad = window(s, "stride", "stride", 1) or (1, 1), window(s, "pad", "pad", 0) or (0, 0)
        if whole and (stride != (1, 1) or pad != (0, 0)):
            s.refuse(
                "pad" if pad != (0, 0) else "stride",
                "global_pooling takes stride 1 and pad 0",
                code="param-conflict",
                why="there is one window, and it covers the plane",
            )
            stride, pad = (1, 1), (0, 0)
        if pad != (0, 0) and method == "STOCHASTIC":
            s.refuse("pad", "pad with STOCHASTIC pooling", code="param-conflict", why="Caffe pads MAX and AVE only")
        if kernel is not None and (pad[0] >= kernel[0] or pad[1] >= kernel[1]):
            s.refuse(
                next((f for f in ("pad", "pad_h", "pad_w") if s.has(f)), "pad"),
                f"pad must be smaller than kernel: {max(pad)} against {min(kernel)}",
                code="param-range",
                why="a window of padding alone would have nothing to pool",
            )
            pad = (0, 0)
        if s.message.type.fields.get("ceil_mode") and s.has("ceil_mode"):
            round_mode = "CEIL" if s.get("ceil_mode") else "FLOOR"  # the forks' spelling
        else:
            round_mode = s.get("round_mode")
        if p.tops == 2 and method != "MAX":
            p.refuse("top[1]", f"{method} pooling has no mask", code="arity", why="only a maximum has a place")
        return cls(method, kernel, stride, pad, round_mode, p.tops == 2)

    def may_pad(self, pad: int) -> bool:
        """Whether Caffe takes this pad: less than the window, and none where windows are drawn by chance."""
        return pad < min(self.kernel or (1,)) and (pad == 0 or self.method != "STOCHASTIC")

    @property
    def clip(self) -> bool:
        """Caffe drops a last window that would lie in the padding alone; it looks only if there is any padding."""
        return self.pad != (0, 0)

    def extent(self, dim: Dim, axis: int) -> Dim:
        assert self.kernel is not None
        return pool_size(dim, self.kernel[axis], self.stride[axis], self.pad[axis], self.round_mode, self.clip)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x = bottoms[0]
        four_axes(x, "Pooling")
        spatial = (1, 1) if self.kernel is None else (self.extent(x[2], 0), self.extent(x[3], 1))
        return ((x[0], x[1], *spatial),) * (2 if self.mask else 1)

    def content(self, *bottoms: str) -> str:
        full = self.kernel is None or all(k >= s for k, s in zip(self.kernel, self.stride, strict=True))
        return bottoms[0] if full and not self.mask and (self.method == "MAX" or bottoms[0] != "labels") else ""

    def choices(self, *bottoms: IntShape) -> int:
        return prod(bottoms[0][2:]) if self.mask else 0

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        if self.kernel is None:
            return None
        h, w = (AxisMap.window(k, s, p) for k, s, p in zip(self.kernel, self.stride, self.pad, strict=True))
        return ((h, w),)

    def reach(self, *bottoms: Shape) -> tuple[tuple[Reach, Reach] | None, ...] | None:
        if self.kernel is None:
            return None
        h, w = (Reach(k, s, p) for k, s, p in zip(self.kernel, self.stride, self.pad, strict=True))
        return ((h, w),)

    def index_tops(self) -> tuple[int, ...]:
        return (1,)  # the mask

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        if self.method == "MAX":
            return 0
        return prod(bottoms[0]) if self.kernel is None else prod(tops[0]) * prod(self.kernel)

    def _plain(self) -> bool:
        """Whether PyTorch's own pooling has the same windows, for every input size."""
        if self.kernel is None:
            return False
        half = all(p <= k // 2 for k, p in zip(self.kernel, self.pad, strict=True))
        covered = self.clip or all(k >= s for k, s in zip(self.kernel, self.stride, strict=True))
        return half and (covered or self.round_mode == "FLOOR")

    def _end(self) -> Pair:
        """The padding behind with which windows that fit are all of Caffe's: `pool_size` for any input size."""
        assert self.kernel is not None
        up = [0, 0]
        if self.round_mode == "CEIL":
            windows = zip(self.kernel, self.stride, self.pad, strict=True)
            up = [min(s - 1, k - p - 1) if self.clip else s - 1 for k, s, p in windows]
        return self.pad[0] + up[0], self.pad[1] + up[1]

    def emit(self, e: Emission) -> Emitted:
        x, y = e.x[0], e.y[0]
        if self.kernel is None:
            if self.method == "MAX" and self.mask:
                return e.call("pooling.global_max_pool", x)
            if self.method == "STOCHASTIC":
                return e.call("pooling.stochastic_pool", x, f"tuple({x}.shape[2:])", (1, 1), (0, 0))
            # Not amax: of equal maxima the first gets the whole gradient, as in Caffe.
            whole = call("F.adaptive_max_pool2d", x, 1)
            return Emitted((f"{y} = {whole if self.method == 'MAX' else f'{x}.mean(dim=(2, 3), keepdim=True)'}",))
        kernel, stride, pad = literal(self.kernel), literal(self.stride), literal(self.pad)
        ceil = "True" if self.round_mode == "CEIL" and self.stride != (1, 1) else None  # one step leaves nothing over
        padding = pad if self.clip else None
        if self.method == "STOCHASTIC":
            return e.call("pooling.stochastic_pool", x, self.kernel, self.stride, self._end())
        if self._plain():
            function = "F.max_pool2d" if self.method == "MAX" else "F.avg_pool2d"
            make = call(function, x, kernel, stride=stride, padding=padding, ceil_mode=ceil,
                        return_indices="True" if self.mask else None)  # fmt: skip
            return Emitted((f"{', '.join(e.y)} = {make}",))
        windows = (x, self.kernel, self.stride, self.pad, self._end())
        if self.method == "MAX":
            return replace(e, y=(y, e.y[1] if self.mask else "_")).call("pooling.caffe_max_pool", *windows)
        return e.call("pooling.caffe_ave_pool", *windows)
