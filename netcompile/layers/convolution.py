"""Convolution and deconvolution over any number of spatial axes (Caffe's BaseConvolutionLayer)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import ClassVar, Self, TypeVar

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
    Refused,
    Shape,
    Wish,
    layer,
)
from netcompile.layers.kinds import with_bias
from netcompile.layers.params import Params, Section
from netcompile.layers.shapes import all_alike, canonical_axis, number
from netcompile.layers.source import call, literal
from netcompile.layers.traits import Reach
from netcompile.prototxt.message import Message

L = TypeVar("L")
Extents = tuple[int, ...]  # one number for all spatial axes, or one for each
Window = tuple[int, int, int, int]  # kernel, stride, pad, dilation along an axis


NO_KERNEL = {
    "code": "param-missing",
    "why": "a window needs kernel_size, or kernel_h and kernel_w",
    "remedy": "convolution_param { kernel_size: … }",
}


def window_field(s: Section, name: str, default: int, least: int, prefix: str = "") -> Extents:
    """Read ``kernel_size``-like fields: the repeated form, or the ``_h``/``_w`` pair, never both forms.

    Of the pair, what is not set is 0, which only ``pad`` may be (BaseConvolutionLayer::LayerSetUp).
    """
    stem = prefix or name
    high, wide = f"{stem}_h", f"{stem}_w"
    if s.has(high) or s.has(wide):
        if s.has(name):
            refuse_both(s, name, high, wide)
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


def refuse_both(s: Section, name: str, high: str, wide: str) -> None:
    """Report a window's extent that is given in both forms."""
    s.refuse(
        name,
        f"{name} and {high}/{wide} together",
        code="param-conflict",
        why="Caffe takes one form or the other",
        remedy=f"keep {name}, or {high} and {wide}",
    )


def dilations(s: Section) -> Extents:
    """The field `dilation`; an extent below 1 is reported, and taken as 1."""
    found = tuple(int(v) for v in s.all("dilation")) or (1,)
    for value in found:
        if value < 1:
            s.refuse("dilation", f"dilation {value} is less than 1", code="param-range")
    return tuple(max(v, 1) for v in found)


def sized(s: Section) -> bool:
    """Whether a kernel size is given."""
    return s.has("kernel_size") or s.has("kernel_h") or s.has("kernel_w")


def along_plane(make: Callable[..., L], axis: int, windows: Sequence[tuple[int, ...]]) -> tuple[tuple[L, L]] | None:
    """What `make` makes of the windows along H and W; None where they do not lie on N×C×H×W."""
    if len(windows) != 2 or axis != 1:
        return None
    high, wide = windows
    made = make(*high)
    return ((made, made if wide == high else make(*wide)),)


@lru_cache(maxsize=1024)  # a layer is asked many times
def windows_along(rank: int, kernel: Extents, stride: Extents, pad: Extents, dilation: Extents) -> tuple[Window, ...]:
    """(kernel, stride, pad, dilation) of each of `rank` spatial axes.

    Raises Refused where the number of extents of a field is neither one nor `rank`.
    """

    def spread(extents: Extents, field: str) -> Extents:
        if len(extents) not in (1, rank):
            what = f"{len(extents)} values of {field} for {rank} spatial axes"
            raise Refused(what, code="param", at=f"convolution_param.{field}")
        return extents * rank if len(extents) == 1 else extents

    kernel, stride = spread(kernel, "kernel_size"), spread(stride, "stride")
    return tuple(zip(kernel, stride, spread(pad, "pad"), spread(dilation, "dilation"), strict=True))


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

    transposed: ClassVar[bool] = False
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
        outputs, group = s.required_positive("num_output"), s.positive("group")
        if s.has("num_output") and outputs % group:
            s.refuse(
                "group" if s.has("group") else "num_output",
                f"num_output {outputs} is not divisible by group {group}",
                code="group",
                why="every group makes the same number of channels",
            )
        return cls.windowed(s, outputs, group)

    @classmethod
    def windowed(cls, s: Section, outputs: int, group: int) -> Self:
        """The convolution to so many outputs in so many groups, with the section's windows, bias and fillers."""
        kernel = window_field(s, "kernel_size", 1, 1, prefix="kernel")
        dilation, bias = dilations(s), bool(s.get("bias_term"))
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
            dilation,
            group,
            bias,
            int(s.get("axis")),
            *s.fillers(bias),
            sized(s),
        )

    def windows(self, shape: Shape) -> tuple[int, tuple[Window, ...]]:
        """(channel axis, (kernel, stride, pad, dilation) per spatial axis) for a bottom of this shape."""
        axis = canonical_axis(self.axis, len(shape), "convolution_param.axis")
        rank = len(shape) - axis - 1
        if rank and not self.sized:
            raise Refused("no kernel size", at="convolution_param", **NO_KERNEL)
        return axis, windows_along(rank, self.kernel, self.stride, self.pad, self.dilation)

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        return all_alike(bottoms, "all bottoms of a convolution must have the same shape")

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
        return with_bias(weight, self.bias, self.outputs, self.bias_filler)

    def reach(self, *bottoms: Shape) -> tuple[tuple[Reach, Reach] | None, ...] | None:
        def one(kernel: int, stride: int, pad: int, dilation: int) -> Reach:
            return Reach(dilation * (kernel - 1) + 1, stride, pad, self.transposed)

        return along_plane(one, *self.windows(bottoms[0])) if len(bottoms) == 1 else None

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        axis, windows = self.windows(bottoms[0])
        weight = self.weight_shape(self.channels(bottoms[0]), tuple(w[0] for w in windows))
        multiplied = bottoms if self.transposed else tops
        return sum(prod(x[:axis]) * prod(x[axis + 1 :]) * prod(weight) for x in multiplied)

    def emit(self, e: Emission) -> Emitted:
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
            f"nn.Conv{'Transpose' if self.transposed else ''}{len(windows)}d",
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

    def shortfall(self, shape: IntShape, windows: Sequence[Window]) -> list[int]:
        return [0] * len(windows)


@layer("Convolution")
class Convolution(_Convolution):
    """Cross-correlation with learnt kernels."""

    __slots__ = ()

    def extent(self, dim: Dim, kernel: int, stride: int, pad: int, dilation: int) -> Dim:
        return conv_size(dim, kernel, stride, pad, dilation)

    def weight_shape(self, channels: int, kernel: Extents) -> IntShape:
        return (self.outputs, channels // self.group, *kernel)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return along_plane(AxisMap.window, *self.windows(bottoms[0])) if len(bottoms) == 1 else None

    def shortfall(self, shape: IntShape, windows: Sequence[Window]) -> list[int]:
        spatial = shape[len(shape) - len(windows) :]
        return [max(0, d * (k - 1) + 1 - n - 2 * p) for n, (k, _, p, d) in zip(spatial, windows, strict=True)]


@layer("Deconvolution")
class Deconvolution(_Convolution):
    """The transpose of a convolution; its blob is (C_in, num_output / group, kh, kw)."""

    __slots__ = ()

    transposed: ClassVar[bool] = True
    family: ClassVar[str] = "upsampling"

    def extent(self, dim: Dim, kernel: int, stride: int, pad: int, dilation: int) -> Dim:
        return deconv_size(dim, kernel, stride, pad, dilation)

    def weight_shape(self, channels: int, kernel: Extents) -> IntShape:
        return (channels, self.outputs // self.group, *kernel)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return along_plane(AxisMap.deconvolution, *self.windows(bottoms[0])) if len(bottoms) == 1 else None
