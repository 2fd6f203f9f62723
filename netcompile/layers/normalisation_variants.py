"""Normalisations of Caffe's forks: the BN layers of SegNet and of PSPNet/TSN, LRNMap."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.caffemodel.recipe import Constant, Recipe, Reshape
from netcompile.layers.base import (
    CHANNELS,
    IDENTITY,
    PLANE,
    Arity,
    Axes,
    BlobSpec,
    Condition,
    Emission,
    Emitted,
    Layer,
    Shape,
    layer,
)
from netcompile.layers.kinds import SameShape
from netcompile.layers.normalisation import batch_norm, refuse_negative
from netcompile.layers.params import Params, constant_filler
from netcompile.layers.shapes import four_axes, number, planes
from netcompile.layers.source import as_planes, literal
from netcompile.prototxt.message import Message

SEGNET_EPS = 1e-9
# Fields that only one fork's bn_param has; they tell the forks apart.
SEGNET_FIELDS = ("bn_mode",)
TSN_FIELDS = ("slope_filler", "bias_filler", "frozen", "momentum", "eps", "engine")
OLD_PSPNET_FIELDS = ("var_eps", "decay", "moving_average", "axis")
SHARED_FIELDS = ("scale_filler", "shift_filler")  # SegNet's and the early PSPNet's


@layer("BN")
@dataclass(frozen=True)
class BN(Layer):
    """Batch normalisation with a learned scale and shift, as two families of forks have it under one name.

    `segnet` (SegNet, ENet, DeconvNet): blobs scale and shift, each 1×C×1×1. In mode LEARN every forward pass
    uses the statistics of its own batch, at test too (ε 1e-9); in mode INFERENCE the statistics are folded
    into the blobs, and the layer is scale · x + shift, with 0 for further tops.

    `running` (PSPNet, TSN): blobs slope, bias, mean, variance. Running statistics at test, or always if
    `frozen`; batch statistics in training, where both running blobs become momentum · old + (1 − momentum) ·
    new.

    `early` (an older PSPNet): the same blobs, under scale_filler and shift_filler, with var_eps and decay;
    running statistics at test only if moving_average is set, else those of the batch. Its channels lie on
    `axis` 1 or 2.

    SegNet's makes tops of four axes whatever the bottom has; the others' tops are as their bottoms.
    """

    kind: str = "segnet"
    mode: str = "LEARN"
    eps: float = SEGNET_EPS
    momentum: float = 0.9
    frozen: bool = False
    running: bool = False  # running statistics at test
    tops: int = 1
    scale_filler: Message | None = None
    shift_filler: Message | None = None
    axis: int = 1
    trains: bool | None = None  # by the layer's own phase, if it has one

    arity: ClassVar[Arity] = Arity(bottoms=1, tops=(1, 3))
    fork: ClassVar[str] = "SegNet, PSPNet, TSN"
    family: ClassVar[str] = "normalisation"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("bn_param")
        own = p.train if p.own_phase else None
        segnet = [f for f in SEGNET_FIELDS if s.message.has(f)]
        tsn = [f for f in TSN_FIELDS if s.message.has(f)]
        early = [f for f in OLD_PSPNET_FIELDS if s.message.has(f)]
        kinds = [fields for fields in (segnet, tsn, early) if fields]
        if len(kinds) > 1:
            s.refuse(
                kinds[1][0],
                f"{kinds[0][0]} and {kinds[1][0]} belong to BN layers of different forks",
                code="fork-clash",
                why="SegNet has bn_mode; PSPNet and TSN have slope_filler, bias_filler, frozen, momentum, eps; "
                "an early PSPNet has var_eps, decay, moving_average",
                remedy="keep the fields of the fork that the net was written for",
            )
            return cls()
        shared = [f for f in SHARED_FIELDS if s.message.has(f)]
        if not kinds and not shared:
            p.refuse(
                "bn_param" if p.has("bn_param") else "type",
                "a BN layer whose fork cannot be told",
                code="fork-clash",
                why="SegNet's BN has two blobs and PSPNet's four; only the fields of bn_param tell which is meant",
                remedy="bn_param { bn_mode: INFERENCE } for SegNet's, bn_param { frozen: true } for PSPNet's",
            )
            return cls()
        if tsn and shared:
            s.refuse(
                shared[0],
                f"{shared[0]} and {tsn[0]} belong to BN layers of different forks",
                code="fork-clash",
                remedy="slope_filler and bias_filler, or leave them out",
            )
            return cls()
        if (tsn or early) and p.tops > 1:
            p.refuse("top[1]", "this fork's BN makes one top", code="arity")
        if tsn:
            s.ignore("engine")
            refuse_negative(s, "eps")
            numbers = s.get("eps"), s.get("momentum"), bool(s.get("frozen"))
            return cls("running", "", *numbers, True, 1, s.filler("slope_filler"), s.filler("bias_filler"), trains=own)
        scale, shift = s.filler("scale_filler"), s.filler("shift_filler")
        if early:
            if s.get("axis") not in (1, 2):
                s.refuse("axis", f"BN along axis {s.get('axis')}", code="axis", why="this fork's BN takes axis 1 or 2")
            refuse_negative(s, "var_eps")
            decay, running = s.get("decay"), bool(s.get("moving_average"))
            axis = int(s.get("axis"))
            return cls("early", "", s.get("var_eps"), 1 - decay, False, running, 1, scale, shift, axis, own)
        return cls("segnet", s.get("bn_mode"), SEGNET_EPS, 0.9, False, False, p.tops, scale, shift)

    def channels(self, shape: Shape) -> int:
        return number(planes(shape, "BN")[self.axis])

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        c = self.channels(bottoms[0])
        y = planes(bottoms[0], "BN") if self.kind == "segnet" else bottoms[0]
        return (y, (1, c, 1, 1), (1, c, 1, 1))[: self.tops]

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        train = train if self.trains is None else self.trains
        fixed = self.mode == "INFERENCE" or self.frozen or (self.running and not train)
        return CHANNELS if fixed and self.tops == self.axis == 1 else None

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY,)

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        c = self.channels(bottoms[0])
        shape = (1, c, 1, 1) if self.axis == 1 else (1, 1, c, 1)
        own = (BlobSpec("weight", shape, self.scale_filler), BlobSpec("bias", shape, self.shift_filler))
        if self.kind == "segnet":
            return own
        # A frozen layer's variance begins as 1, any other's as 0.
        one = constant_filler(1.0) if self.frozen else None
        return (*own, BlobSpec("running_mean", shape), BlobSpec("running_var", shape, one))

    def emit(self, e: Emission) -> Emitted:
        c, rank = self.channels(e.bottoms[0]), len(e.bottoms[0])
        me, x, y, eps = f"self.{e.name}", e.x[0], e.y[0], literal(self.eps)
        lines: list[str] = []
        if self.kind == "segnet" or rank < 2 or self.axis == 2:  # the channels to axis 1
            x, rank = as_planes(x, e.bottoms[0]), max(rank, 4)
        if self.axis == 2:
            x = f"{x}.transpose(1, 2)"
        functions: tuple[str, ...] = ()
        affine = f"{me}.weight, {me}.bias"
        entries = e.entries(self.blobs(*e.bottoms))
        tensors: list[tuple[str, Recipe]] = [(key, Reshape(recipe, (c,))) for key, recipe in entries]
        train = e.train if self.trains is None else self.trains
        batch = train and not self.frozen if self.running or train else self.kind == "early"
        if self.kind == "segnet":
            make, functions = f"ScaleShift({c})", ("normalisation.ScaleShift",)
        elif batch and e.train and train:
            make = f"RunningBN({c}, eps={eps}, momentum={literal(self.momentum)})"
            functions = ("normalisation.RunningBN",)
        else:
            make = batch_norm(2 if rank == 4 else 1, c, self.eps, self.momentum)
            make += ".requires_grad_(False)" if e.train and self.frozen else ""
        if self.kind == "segnet" and self.mode == "INFERENCE":
            # It takes no statistics: their tops stay as Caffe's fresh blobs are.
            lines += [f"{top} = {x}.new_zeros(1, {c}, 1, 1)" for top in e.y[1:]]
            lines.append(f"{y} = {me}({x})")
        elif self.kind == "segnet" or (batch and not (e.train and train)):
            dims = (0, *range(2, rank))
            for statistic, top in zip(("mean(%s)", "var(%s, correction=0)"), e.y[1:], strict=False):
                lines.append(f"{top} = {x}.{statistic % str(dims)}.view(1, -1, 1, 1)")
            lines.append(f"{y} = batch_norm({x}, {affine}, {eps})")
            functions = (*functions, "normalisation.batch_norm")
        elif e.train and not batch:
            lines.append(f"{y} = F.batch_norm({x}, {me}.running_mean, {me}.running_var, {affine}, eps={eps})")
        else:
            lines.append(f"{y} = {me}({x})")
        if self.axis == 2:
            lines[-1] += ".transpose(1, 2)"
        if self.kind != "segnet" and rank > len(e.bottoms[0]):
            lines[-1] += f".reshape({e.x[0]}.shape)"
        if make.startswith("nn.BatchNorm"):
            tensors.append((f"{e.name}.num_batches_tracked", Constant(0, (), "int64")))
        return Emitted(tuple(lines), (f"{me} = {make}",), functions, tuple(tensors))


@layer("LRNMap")
@dataclass(frozen=True)
class LRNMap(SameShape):
    """Normalisation within each map, as an early branch of Caffe had it: x · (1 + α·mean(x²))^−β."""

    size: int = 5
    alpha: float = 1.0
    beta: float = 0.75

    fork: ClassVar[str] = "cuda-convnet LRN"
    family: ClassVar[str] = "normalisation"
    mixed: ClassVar[frozenset[int] | None] = PLANE

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("lrn_map_param")
        size = int(s.get("local_size"))
        if size < 1 or size % 2 == 0:
            s.refuse("local_size", f"local_size {size} is not odd", code="param-range")
            size = 5
        return cls(size, s.get("alpha"), s.get("beta"))

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        four_axes(bottoms[0], "LRNMap")
        return ()

    def expression(self, x: str) -> str:
        mean = f"F.avg_pool2d({x} * {x}, {self.size}, stride=1, padding={self.size // 2})"
        return f"{x} * (1 + {literal(self.alpha)} * {mean}) ** -{literal(self.beta)}"
