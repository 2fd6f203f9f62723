"""Convolutions of Caffe's forks: depthwise ones, and C3D's over time, height and width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar, Self

from netcompile.caffemodel.recipe import Reshape
from netcompile.layers.base import (
    ITEM,
    Arity,
    Axes,
    BlobSpec,
    Condition,
    Emission,
    Emitted,
    IntShape,
    Layer,
    Refused,
    Shape,
    Wish,
    layer,
)
from netcompile.layers.convolution import Convolution, Deconvolution, _Convolution
from netcompile.layers.params import Params, Section
from netcompile.layers.shapes import number, planes
from netcompile.layers.source import literal
from netcompile.layers.traits import Reach


@layer("DepthwiseConvolution", "DepthwiseConvolutionLayer", "HoleConvolution")
class OtherConvolution(Convolution):
    """Caffe's convolution under a fork's name: a faster kernel for group = channels, or for holes; the same numbers."""

    __slots__ = ()

    fork: ClassVar[str] = "MobileNet, PSPNet"


@layer("ConvolutionDepthwise")
@dataclass(frozen=True, slots=True)
class ConvolutionDepthwise(Layer):
    """A convolution of each channel by itself: one group per channel, whatever the file says of groups.

    The layer makes as many channels as its bottom has, and does not read num_output.
    """

    plain: Convolution

    fork: ClassVar[str] = "ShuffleNet"
    family: ClassVar[str] = "convolution"
    mixed: ClassVar[frozenset[int] | None] = ITEM

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("convolution_param")
        s.ignore("engine", "force_nd_im2col", "num_output", "group")
        plain = Convolution.windowed(s, 1, 1)
        if plain.axis != 1:
            s.refuse("axis", "a depthwise convolution has axis 1", code="axis")
        return cls(plain)

    def bound(self, shape: Shape) -> Convolution:
        """The convolution for a bottom of this shape."""
        channels = number(planes(shape, self.type)[1])
        return replace(self.plain, outputs=channels, group=channels)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return self.bound(bottoms[0]).shapes(planes(bottoms[0], self.type))

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return self.plain.coords(planes(bottoms[0], self.type))

    def reach(self, *bottoms: Shape) -> tuple[tuple[Reach, Reach] | None, ...] | None:
        return self.plain.reach(planes(bottoms[0], self.type))

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        return self.bound(bottoms[0]).blobs(planes(bottoms[0], self.type))

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        return prod(tops[0]) * prod(self.blobs(bottoms[0])[0].shape[2:])

    def emit(self, e: Emission) -> Emitted:
        bottom = planes(e.bottoms[0], self.type)
        numbers = tuple(number(dim) for dim in bottom)
        return self.bound(bottom).emit(replace(e, x=e.planes, bottoms=(numbers,)))


def _section(p: Params, own: str, shared: str) -> Section:
    """C3D 1.1 has parameter messages of its own, C3D 1.0 puts further fields into Caffe's."""
    return p.sub(own if p.has(own) else shared)


def _one(s: Section, field: str, default: int) -> int:
    if s.message.type.fields[field].repeated:
        values = s.all(field)
        return int(values[0]) if values else default
    return int(s.get(field)) if s.has(field) else default


def _window(s: Section) -> tuple[tuple[int, ...], ...]:
    """(kernel, stride, pad), each for time, height, width."""
    for field in ("kernel_size", "kernel_depth"):
        s.required(field)
    size, depth = _one(s, "kernel_size", 1), _one(s, "kernel_depth", 1)
    stride, step = _one(s, "stride", 1), _one(s, "temporal_stride", 1)
    pad, before = _one(s, "pad", 0), _one(s, "temporal_pad", 0)
    for field, value in zip(
        ("kernel_size", "kernel_depth", "stride", "temporal_stride"), (size, depth, stride, step), strict=True
    ):
        if s.has(field) and value < 1:
            s.refuse(field, f"{field} {value} is less than 1", code="param-range")
    size, depth, stride, step = (max(v, 1) for v in (size, depth, stride, step))
    return (depth, size, size), (step, stride, stride), (before, pad, pad)


def _volume(shape: Shape, what: str) -> None:
    if len(shape) != 5:
        raise Refused(
            f"{what} wants 5 axes, not {len(shape)}",
            at="bottom[0]",
            why="(batch, channels, time, height, width)",
            remedy="--input NAME=1x3x16x112x112 gives the shape of a video",
        )


class _OverVolumes(_Convolution):
    """What C3D's convolutions share: five axes, also of the bias, and no coordinates, which are those of planes."""

    arity: ClassVar[Arity] = Arity(bottoms=1, tops=1)
    fork: ClassVar[str] = "C3D"

    def wants(self, index: int, *bottoms: IntShape) -> Sequence[Wish]:
        return ((None,) * 5,)

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        _volume(bottoms[0], self.type)
        return ()

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        found = super().blobs(*bottoms)
        return tuple(replace(b, shape=(1, 1, 1, 1, *b.shape)) if b.name == "bias" else b for b in found)

    def emit(self, e: Emission) -> Emitted:
        made = super().emit(e)
        weight, *bias = made.tensors
        return replace(made, tensors=(weight, *((key, Reshape(recipe, (self.outputs,))) for key, recipe in bias)))

    def coords(self, *bottoms: Shape) -> None:
        return None

    def reach(self, *bottoms: Shape) -> None:
        return None


@layer("Convolution3D")
@dataclass(frozen=True, slots=True)
class Convolution3D(_OverVolumes, Convolution):
    """Convolution over time, height and width (C3D). A filter_group sees all channels, so it changes nothing."""

    @classmethod
    def read(cls, p: Params) -> Self:
        s = _section(p, "convolution3d_param", "convolution_param")
        s.ignore("engine")
        outputs = s.required_positive("num_output")
        kernel, stride, pad = _window(s)
        if s.has("filter_group") and (s.get("filter_group") < 1 or outputs % s.get("filter_group")):
            s.refuse("filter_group", f"num_output {outputs} is not divisible by filter_group", code="group")
        if s.has("group") and s.get("group") != 1:
            why = "C3D's layers do not read it, and every filter sees all channels"
            p.note(f"{s.name}.group", "group does nothing", code="unused-param", why=why)
        return cls(outputs, kernel, stride, pad, (1,), 1, bool(s.get("bias_term")), 1, *s.fillers())


@layer("Deconvolution3D")
@dataclass(frozen=True, slots=True)
class Deconvolution3D(_OverVolumes, Deconvolution):
    """The transpose of a convolution over time, height and width (C3D).

    Whether it has a bias stands in convolution_param, even where its other parameters stand in convolution3d_param.
    """

    family: ClassVar[str] = "upsampling"

    @classmethod
    def read(cls, p: Params) -> Self:
        plain = Convolution3D.read(p)
        bias = bool(p.sub("convolution_param").get("bias_term"))
        if p.has("convolution3d_param"):
            p.sub("convolution3d_param").read.discard("bias_term")  # told of, where it is set
        fillers = plain.weight_filler, plain.bias_filler
        return cls(plain.outputs, plain.kernel, plain.stride, plain.pad, (1,), 1, bias, 1, *fillers)


@layer("Pooling3D")
@dataclass(frozen=True, slots=True)
class Pooling3D(Layer):
    """Maximum or mean over windows of time, height and width, rounded up (C3D); pad is for means, in the plane.

    With a stride beyond the kernel the last windows may begin behind the bottom. C3D keeps them: their maximum is the
    lowest number, and their mean 0 or, with nothing to divide by, NaN.
    """

    method: str = "MAX"
    kernel: tuple[int, ...] = (1, 1, 1)
    stride: tuple[int, ...] = (1, 1, 1)
    pad: tuple[int, ...] = (0, 0, 0)

    fork: ClassVar[str] = "C3D"
    family: ClassVar[str] = "pooling"
    mixed: ClassVar[frozenset[int] | None] = ITEM

    @classmethod
    def read(cls, p: Params) -> Self:
        s = _section(p, "pooling3d_param", "pooling_param")
        s.ignore("engine")
        method = s.get("pool")
        kernel, stride, pad = _window(s)
        if method == "STOCHASTIC":
            s.refuse("pool", "STOCHASTIC pooling over time", code="unsupported", why="C3D itself lacks it")
        s.read.discard("temporal_pad")  # C3D's pooling has none; told of, where it is set
        pad = (0, *pad[1:])
        if max(pad) and method != "AVE":
            s.refuse("pad", f"pad with {method} pooling", code="param-conflict", why="C3D pads means only")
            pad = (0, 0, 0)
        return cls(method, kernel, stride, pad)

    def wants(self, index: int, *bottoms: IntShape) -> Sequence[Wish]:
        return ((None,) * 5,)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x = bottoms[0]
        _volume(x, "Pooling3D")
        windows = zip(map(number, x[2:]), self.kernel, self.stride, self.pad, strict=True)
        return ((*x[:2], *(-((k - n - 2 * p) // s) + 1 for n, k, s, p in windows)),)

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        return 0 if self.method == "MAX" else prod(tops[0]) * prod(self.kernel)

    def emit(self, e: Emission) -> Emitted:
        largest = self.method == "MAX"
        x, y, pad = e.x[0], e.y[0], f", padding={literal(self.pad)}" if any(self.pad) else ""
        window = f"{literal(self.kernel)}, {literal(self.stride)}"
        extents = list(zip(e.bottoms[0][2:], e.tops[0][2:], self.kernel, self.stride, self.pad, strict=True))
        if all((m - 1) * s < n + p and p <= k // 2 for n, m, k, s, p in extents):
            if largest:
                return e.assign(f"F.max_pool3d({x}, {window}{pad}, ceil_mode=True)")
            return e.call("pooling.mean_pool3d", x, f"{window}{pad}", ceil_mode=True)
        if not largest:  # windows that PyTorch would leave out, or more padding than it makes
            return e.call("pooling.mean_of_volumes", x, self.kernel, self.stride, self.pad)
        ends = tuple(end for n, m, k, s, _ in reversed(extents) for end in (0, max((m - 1) * s + k - n, 0)))
        padded = f"F.pad({x}, {ends}, value=-3.4028235e38)"
        return Emitted((f"{y} = {padded}", f"{y} = F.max_pool3d({y}, {window})"))
