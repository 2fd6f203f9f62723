"""Convolution and deconvolution over any number of spatial axes (Caffe's BaseConvolutionLayer)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Self

from netcompile.algebra.coords import AxisMap
from netcompile.algebra.size import conv_size, deconv_size
from netcompile.caffemodel.recipe import Reshape
from netcompile.layers.base import (
    Arity,
    Axes,
    BlobSpec,
    Condition,
    Dim,
    Emission,
    Emitted,
    IntShape,
    Layer,
    Reach,
    Refused,
    Shape,
    Wish,
    call,
    canonical_axis,
    layer,
    literal,
    number,
)
from netcompile.layers.params import Params, Section
from netcompile.prototxt.message import Message

Extents = tuple[int, ...]  # one number for all spatial axes, or one for each


def window_field(s: Section, name: str, default: int, least: int, prefix: str = "") -> Extents:
    """Read ``kernel_size``-like fields: the repeated form, or the ``_h``/``_w`` pair, never both forms.

    Of the pair, what is not set is 0, which only ``pad`` may be (BaseConvolutionLayer::LayerSetUp).
    """
    stem = prefix or name
    high, wide = f"{stem}_h", f"{stem}_w"
    if s.has(high) or s.has(wide):
        if s.has(name):
            s.refuse(
                name,
                f"{name} and {high}/{wide} together",
                code="param-conflict",
                why="Caffe takes one form or the other",
                remedy=f"keep {name}, or {high} and {wide}",
            )
        fields: tuple[str, ...] = (high, wide)
        extents: Extents = tuple(int(s.get(field)) if s.has(field) else 0 for field in fields)
    else:
        values = s.all(name) if s.message.type.fields[name].repeated else (s.get(name),) if s.has(name) else ()
        extents = tuple(int(v) for v in values) or (default,)
        fields = (name,) * len(extents)
    for index, (value, field) in enumerate(zip(extents, fields, strict=True)):
        if value >= least:
            continue
        if len(set(fields)) == 2 and not s.has(field):
            other = fields[1 - index]
            s.refuse(other, f"{other} without {field}", code="param-missing", why=f"Caffe reads {field} as 0 then")
        else:
            s.refuse(field, f"{stem} {value} is less than {least}", code="param-range", remedy=f"{field}: {least}")
    return tuple(max(v, least) for v in extents)


def spread(extents: Extents, rank: int, what: str) -> Extents:
    """One extent for each of `rank` spatial axes. Raises Refused if their number fits neither one nor `rank`."""
    if len(extents) == 1:
        return extents * rank
    if len(extents) != rank:
        raise Refused(
            f"{len(extents)} values of {what} for {rank} spatial axes", code="param", at=f"convolution_param.{what}"
        )
    return extents


@dataclass(frozen=True)
class _Convolution(Layer):
    """What convolution and deconvolution share: their parameters."""

    outputs: int = 1
    kernel: Extents = (1,)
    stride: Extents = (1,)
    pad: Extents = (0,)
    dilation: Extents = (1,)
    group: int = 1
    bias: bool = True
    axis: int = 1
    weight_filler: Message | None = None
    bias_filler: Message | None = None
    sized: bool = True  # a kernel size is given; without spatial axes Caffe needs none

    stored: ClassVar[tuple[str, ...]] = ("kernel", "bias")
    arity: ClassVar[Arity] = Arity(bottoms=(1, None), tops=(1, None), equal=True)
    family: ClassVar[str] = "convolution"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("convolution_param")
        s.ignore("engine", "force_nd_im2col")
        if p.bottoms > 1 and not set(p.message.all("bottom")).isdisjoint(p.message.all("top")):
            p.refuse(
                "top",
                f"{p.type} of several bottoms does not work in place",
                code="in-place",
                why="its first top would overwrite what it still has to read",
                remedy="give its tops names of their own",
            )
        outputs = s.required("num_output")
        if s.has("num_output") and outputs < 1:
            s.refuse("num_output", f"num_output must be positive, not {outputs}", code="param-range")
        group = s.positive("group")
        if outputs and outputs % group:
            s.refuse(
                "group" if s.has("group") else "num_output",
                f"num_output {outputs} is not divisible by group {group}",
                code="group",
                why="every group makes the same number of channels",
            )
        return cls.windowed(s, int(outputs or 1), group)

    @classmethod
    def windowed(cls, s: Section, outputs: int, group: int) -> Self:
        """The convolution to so many outputs in so many groups, with the section's windows, bias and fillers."""
        kernel = window_field(s, "kernel_size", 1, 1, prefix="kernel")
        dilation = tuple(int(v) for v in s.all("dilation")) or (1,)
        for value in dilation:
            if value < 1:
                s.refuse("dilation", f"dilation {value} is less than 1", code="param-range")
        holes = [field for field in ("hole", "hole_h", "hole_w") if s.has(field)]
        if holes:  # DeepLab's name for dilation, before Caffe had one
            if s.has("dilation"):
                s.refuse(
                    holes[0],
                    f"{holes[0]} and dilation together",
                    code="param-conflict",
                    why="hole is DeepLab's old name of dilation",
                    remedy="keep dilation",
                )
            dilation = window_field(s, "hole", 1, 1)
        return cls(
            outputs,
            kernel,
            window_field(s, "stride", 1, 1),
            window_field(s, "pad", 0, 0),
            tuple(max(v, 1) for v in dilation),
            group,
            bool(s.get("bias_term")),
            int(s.get("axis")),
            s.filler("weight_filler"),
            s.filler("bias_filler", used=bool(s.get("bias_term"))),
            s.has("kernel_size") or s.has("kernel_h") or s.has("kernel_w"),
        )

    def windows(self, shape: Shape) -> tuple[int, tuple[tuple[int, int, int, int], ...]]:
        """(channel axis, (kernel, stride, pad, dilation) per spatial axis) for a bottom of this shape."""
        axis = canonical_axis(self.axis, len(shape), "convolution_param.axis")
        rank = len(shape) - axis - 1
        if rank and not self.sized:
            raise Refused(
                "no kernel size",
                code="param-missing",
                why="a window needs kernel_size, or kernel_h and kernel_w",
                remedy="convolution_param { kernel_size: … }",
                at="convolution_param",
            )
        if len(self.kernel) == len(self.stride) == len(self.pad) == len(self.dilation) == 1:
            return axis, ((self.kernel[0], self.stride[0], self.pad[0], self.dilation[0]),) * rank
        names = ("kernel_size", "stride", "pad", "dilation")
        fields = (self.kernel, self.stride, self.pad, self.dilation)
        return axis, tuple(zip(*(spread(f, rank, n) for f, n in zip(fields, names, strict=True)), strict=True))

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        found: list[Condition] = []
        for index, other in enumerate(bottoms[1:], 1):
            refusal = Refused("all bottoms of a convolution must have the same shape", at=f"bottom[{index}]")
            if len(other) != len(bottoms[0]):
                raise refusal
            found += [Condition(a, "==", b, refusal) for a, b in zip(bottoms[0], other, strict=True)]
        return found

    def wants(self, index: int, *bottoms: IntShape) -> Sequence[Wish]:
        rest = (None,) * max(len(bottoms[index]) - 2, 0)
        return (*super().wants(index, *bottoms), (None, self.group, *rest), (None, 3 * self.group, *rest))

    def channels(self, shape: Shape) -> int:
        channels = number(shape[canonical_axis(self.axis, len(shape), "convolution_param.axis")])
        if channels % self.group:
            raise Refused(
                f"{channels} input channels are not divisible by group {self.group}",
                code="group",
                at="convolution_param.group",
                why="every group reads the same number of channels",
            )
        return channels

    def extent(self, dim: Dim, kernel: int, stride: int, pad: int, dilation: int) -> Dim:
        raise NotImplementedError

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        axis, windows = self.windows(bottoms[0])
        self.channels(bottoms[0])
        spatial = tuple(self.extent(d, *w) for d, w in zip(bottoms[0][axis + 1 :], windows, strict=True))
        return ((*bottoms[0][:axis], self.outputs, *spatial),) * len(bottoms)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        return range(self.windows(bottoms[0])[0], len(bottoms[0]))

    def weight_shape(self, channels: int, kernel: Extents) -> IntShape:
        raise NotImplementedError

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        _, windows = self.windows(bottoms[0])
        kernel = tuple(w[0] for w in windows)
        weight = BlobSpec("weight", self.weight_shape(self.channels(bottoms[0]), kernel), self.weight_filler)
        return (weight, BlobSpec("bias", (self.outputs,), self.bias_filler)) if self.bias else (weight,)

    def _reach(self, bottoms: Sequence[Shape], transposed: bool) -> tuple[tuple[Reach, Reach] | None, ...] | None:
        axis, windows = self.windows(bottoms[0])
        if len(windows) != 2 or axis != 1 or len(bottoms) > 1:
            return None
        h, w = (Reach(d * (k - 1) + 1, s, p, transposed) for k, s, p, d in windows)
        return ((h, w),)

    def _emit(self, e: Emission, module: str) -> Emitted:
        axis, windows = self.windows(e.bottoms[0])
        rank = len(windows)
        if rank > 3:
            raise Refused(
                f"a {self.type} over {rank} axes has no counterpart in PyTorch",
                code="unsupported",
                at="convolution_param",
                why="PyTorch convolves up to three axes after the channels",
            )
        weight = e.take(0)
        if not rank:  # a matrix for each item: one window of one element
            windows = ((1, 1, 0, 1),)

            weight = Reshape(weight, (*self.weight_shape(self.channels(e.bottoms[0]), ()), 1))
        kernel, stride, pad, dilation = (tuple(column) for column in zip(*windows, strict=True))
        make = call(
            f"nn.{module}{len(windows)}d",
            self.channels(e.bottoms[0]),
            self.outputs,
            kernel_size=literal(kernel),
            stride=literal(stride) if set(stride) != {1} else None,
            padding=literal(pad) if set(pad) != {0} else None,
            dilation=literal(dilation) if set(dilation) != {1} else None,
            groups=self.group if self.group > 1 else None,
            bias=None if self.bias else "False",
        )
        tensors = [(f"{e.name}.weight", weight)] + ([(f"{e.name}.bias", e.take(1))] if self.bias else [])
        lines = []
        for x, y, shape in zip(e.x, e.y, e.bottoms, strict=True):
            argument = x
            short = self.shortfall(shape, windows[:rank])
            if any(short):
                pads = ", ".join(f"0, {n}" for n in reversed(short))
                lines.append(f"{y} = F.pad({x}, ({pads}))  # Caffe divides towards zero: one window, cut off")
                argument = y
            # PyTorch wants one axis of items before the channels, and an axis to convolve behind them.
            before = "[None]" if axis == 0 else f".flatten(0, {axis - 1})" if axis > 1 else ""
            after = "[0]" if axis == 0 else f".unflatten(0, {x}.shape[:{axis}])" if axis > 1 else ""
            if not rank:
                before, after = f"{before}[..., None]", f"[..., 0]{after}"
            lines.append(f"{y} = self.{e.name}({argument}{before}){after}")
        return Emitted(tuple(lines), (f"self.{e.name} = {make}",), (), tuple(tensors))

    def shortfall(self, shape: IntShape, windows: Sequence[tuple[int, int, int, int]]) -> list[int]:
        return [0] * len(windows)


@layer("Convolution")
@dataclass(frozen=True, slots=True)
class Convolution(_Convolution):
    """Cross-correlation with learnt kernels."""

    def extent(self, dim: Dim, kernel: int, stride: int, pad: int, dilation: int) -> Dim:
        return conv_size(dim, kernel, stride, pad, dilation)

    def weight_shape(self, channels: int, kernel: Extents) -> IntShape:
        return (self.outputs, channels // self.group, *kernel)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        axis, windows = self.windows(bottoms[0])
        if len(windows) != 2 or axis != 1 or len(bottoms) > 1:
            return None
        h, w = (AxisMap.window(*v) for v in windows)
        return ((h, w),)

    def reach(self, *bottoms: Shape) -> tuple[tuple[Reach, Reach] | None, ...] | None:
        return self._reach(bottoms, transposed=False)

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        weight = self.blobs(bottoms[0])[0].shape
        axis, _ = self.windows(bottoms[0])
        return sum(prod(top[:axis]) * prod(top[axis + 1 :]) * prod(weight) for top in tops)

    def emit(self, e: Emission) -> Emitted:
        return self._emit(e, "Conv")

    def shortfall(self, shape: IntShape, windows: Sequence[tuple[int, int, int, int]]) -> list[int]:
        spatial = shape[len(shape) - len(windows) :]
        return [max(0, d * (k - 1) + 1 - n - 2 * p) for n, (k, _, p, d) in zip(spatial, windows, strict=True)]


@layer("Deconvolution")
@dataclass(frozen=True, slots=True)
class Deconvolution(_Convolution):
    """The transpose of a convolution; its blob is (C_in, num_output / group, kh, kw)."""

    family: ClassVar[str] = "upsampling"

    def extent(self, dim: Dim, kernel: int, stride: int, pad: int, dilation: int) -> Dim:
        return deconv_size(dim, kernel, stride, pad, dilation)

    def weight_shape(self, channels: int, kernel: Extents) -> IntShape:
        return (channels, self.outputs // self.group, *kernel)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        axis, windows = self.windows(bottoms[0])
        if len(windows) != 2 or axis != 1 or len(bottoms) > 1:
            return None
        h, w = (AxisMap.deconvolution(*v) for v in windows)
        return ((h, w),)

    def reach(self, *bottoms: Shape) -> tuple[tuple[Reach, Reach] | None, ...] | None:
        return self._reach(bottoms, transposed=True)

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        weight = self.blobs(bottoms[0])[0].shape
        axis, _ = self.windows(bottoms[0])
        return sum(prod(x[:axis]) * prod(x[axis + 1 :]) * prod(weight) for x in bottoms)

    def emit(self, e: Emission) -> Emitted:
        return self._emit(e, "ConvTranspose")
