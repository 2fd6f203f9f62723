"""Activations of Caffe's forks, and Axpy."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Self

from netcompile.layers.base import (
    IDENTITY,
    NO_AXES,
    PLANE,
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
from netcompile.layers.kinds import AlongAxis, Elementwise
from netcompile.layers.params import Params
from netcompile.layers.shapes import same_shape
from netcompile.layers.source import literal


@layer("ReLU6")
@dataclass(frozen=True, slots=True)
class ReLU6(Elementwise):
    """min(max(x, 0) + negative_slope · min(x, 0), n), where n is 6 if relu6_param does not say another.

    The slope is relu6_param's (MobileNet-YOLO) or relu_param's (GerHobbelt's Caffe); n is Intel's.
    """

    slope: float = 0.0
    most: float = 6.0

    fork: ClassVar[str] = "SSD (MobileNet)"

    @classmethod
    def read(cls, p: Params) -> Self:
        own = p.has("relu6_param")
        s = p.sub("relu6_param" if own or not p.has("relu_param") else "relu_param")
        s.ignore("engine", "threshold")
        return cls(s.get("negative_slope"), p.sub("relu6_param").get("n"))

    def expression(self, x: str) -> str:
        most = f".clamp(max={literal(self.most)})"
        if self.slope:
            return f"F.leaky_relu({x}, {literal(self.slope)}){most}"
        return f"F.relu6({x})" if self.most == 6 else f"F.relu({x}){most}"


@layer("NegReLU")
@dataclass(frozen=True, slots=True)
class NegReLU(Elementwise):
    """min(x, 0) + negative_slope · max(x, 0) (FlowNet, DispNet)."""

    slope: float = 0.0

    fork: ClassVar[str] = "FlowNet"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("relu_param")
        s.ignore("engine")
        return cls(s.get("negative_slope"))

    def expression(self, x: str) -> str:
        if self.slope:
            return f"-F.leaky_relu(-{x}, {literal(self.slope)})"
        return f"-F.relu(-{x})"


@layer("CReLU")
@dataclass(frozen=True, slots=True)
class CReLU(AlongAxis):
    """max(x, 0) and max(−x, 0) behind one another along the channels.

    Without crelu_param the layer is winggan's: its top holds the positive parts of the whole batch and then the
    negative ones, so that with several images an image's channels are not its own. With crelu_param (Cambricon) each
    image's are, along `axis`, and a slope reaches below 0.
    """

    slope: float = 0.0
    apart: bool = False  # each image's channels are its own

    at: ClassVar[str] = "crelu_param.concat_axis"
    fork: ClassVar[str] = "winggan, Cambricon"
    family: ClassVar[str] = "activation"

    @classmethod
    def read(cls, p: Params) -> Self:
        if p.has("crelu_param"):
            s = p.sub("crelu_param")
            return cls(int(s.get("concat_axis")), s.get("negative_slope"), True)
        p.note(
            "type",
            "CReLU makes the positive parts of a batch first, then the negative ones",
            code="fork-reading",
            why="that is winggan's layer, where several images share their channels; Cambricon's, which keeps them "
            "apart, has a crelu_param",
            remedy="a batch of one image, or crelu_param { } for Cambricon's",
        )
        return cls()

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x, axis = bottoms[0], self.along(bottoms[0])
        return ((*x[:axis], x[axis] * 2, *x[axis + 1 :]),)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        return (self.along(bottoms[0]),) if self.apart else (0, 1)

    def emit(self, e: Emission) -> Emitted:
        x, shape = e.x[0], e.bottoms[0]
        if not self.apart:
            size = f"{x}.shape[0], {2 * shape[1]}" + (f", *{x}.shape[2:]" if len(shape) > 2 else "")
            return e.assign(f"F.relu(torch.cat(({x}, -{x}))).reshape({size})")
        both = f"torch.cat(({x}, -{x}), dim={self.along(shape)})"
        if self.slope:
            return e.assign(f"F.leaky_relu({both}, {literal(self.slope)})")
        return e.assign(f"F.relu({both})")


@layer("SeLu", "SELU")
@dataclass(frozen=True, slots=True)
class SeLu(Elementwise):
    """Scaled exponential unit: λx for x > 0, else λα(eˣ − 1); the paper's λ and α unless selu_param gives others."""

    alpha: float = 1.67326324
    scale: float = 1.050700987

    fork: ClassVar[str] = "SELU"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("selu_param")
        return cls(s.get("alpha"), s.get("lambda"))

    def expression(self, x: str) -> str:
        a, b = literal(self.alpha), literal(self.scale)
        return f"{b} * F.elu({x}, alpha={a})"


@layer("SeLuDropout")
class SeLuDropout(Elementwise):
    """Alpha dropout; the identity at test."""

    __slots__ = ()

    fork: ClassVar[str] = "SELU"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("selu_dropout_param")
        ratio = s.get("dropout_ratio") if s.has("dropout_ratio") else 0.1
        if not 0 < ratio < 1:
            s.refuse("dropout_ratio", f"dropout_ratio {ratio:g} is not between 0 and 1", code="param-range")
        if p.train:
            p.refuse(
                "type",
                "SeLuDropout is known at test only",
                code="unsupported",
                why="forks differ in the value that dropped elements take",
                remedy="--phase test",
            )
        return cls()

    def expression(self, x: str) -> str:
        return x

    def is_noop(self, train: bool) -> bool:
        return not train


@layer("Quantize")
class Quantize(Elementwise):
    """Scales of skeletons: 0 below 1 and from 200 up; 1, 2, 3, 4 from 1, 12, 36, 80 up (DeepSkeleton)."""

    __slots__ = ()

    fork: ClassVar[str] = "DeepSkeleton"

    def emit(self, e: Emission) -> Emitted:
        return e.call("activation.quantize", e.x[0])


@layer("Rescale")
@dataclass(frozen=True, slots=True)
class Rescale(Layer):
    """2x/rf − 1 where 0.0001 < |x| and x < rf, else 0; a second top is 1 there and 0 elsewhere (DeepSkeleton)."""

    field: float = 1.0
    tops: int = 1

    arity: ClassVar[Arity] = Arity(bottoms=1, tops=(1, 2))
    fork: ClassVar[str] = "DeepSkeleton"
    family: ClassVar[str] = "activation"
    mixed: ClassVar[frozenset[int] | None] = NO_AXES

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("rescale_param")
        field = s.required("rf")
        if s.has("rf") and field == 0:
            s.refuse("rf", "rf is 0", code="param-range", why="the layer divides by it")
        return cls(field or 1.0, p.tops)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (bottoms[0],) * self.tops

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY,)

    def emit(self, e: Emission) -> Emitted:
        x, y, rf = e.x[0], e.y[0], literal(self.field)
        inside = f"({x} < {rf}) & ({x}.abs() > 0.0001)"
        if self.tops == 1:
            return Emitted((f"{y} = (2 / {rf} * {x} - 1) * ({inside})",))
        return Emitted((f"{e.y[1]} = ({inside}).to({x}.dtype)", f"{y} = (2 / {rf} * {x} - 1) * {e.y[1]}"))


@layer("Axpy")
@dataclass(frozen=True, slots=True)
class Axpy(Layer):
    """a · x + y with one factor a for each image and channel (SENet): bottoms a (N×C or N×C×1×1), x, y."""

    arity: ClassVar[Arity] = Arity(bottoms=3, tops=1)
    fork: ClassVar[str] = "SENet"
    family: ClassVar[str] = "join"
    mixed: ClassVar[frozenset[int] | None] = PLANE

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        a, x, y = bottoms
        if len(x) < 2 or len(a) not in (2, 4) or (len(a) == 4 and a[2:] != (1, 1)):
            raise Refused(
                "the factors must be one number for each image and channel",
                at="bottom[0]",
                why="N×C or N×C×1×1, as a global pooling or an InnerProduct makes them",
            )
        refusal = Refused("the factors' images and channels are not those of what they scale", at="bottom[0]")
        found = [Condition(p, "==", q, refusal) for p, q in zip(a[:2], x[:2], strict=True)]
        return [*found, *same_shape(x, y, "shapes differ", "bottom[2]")]

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (bottoms[1],)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (None, IDENTITY, IDENTITY)

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        return prod(tops[0])

    def emit(self, e: Emission) -> Emitted:
        a, x, y = e.x
        rank = len(e.bottoms[1])
        if len(e.bottoms[0]) != rank:
            a += ".flatten(1)" if len(e.bottoms[0]) == 4 else ""
            a += f"[:, :{', None' * (rank - 2)}]" if rank > 2 else ""
        return e.assign(f"{a} * {x} + {y}")
