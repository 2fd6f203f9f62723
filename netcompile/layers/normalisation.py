"""Normalisations: by statistics of the batch (BatchNorm), of neighbours (LRN), of the item itself (MVN)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite, prod
from typing import ClassVar, Self

from netcompile.caffemodel.arithmetic import ScaledByFactor
from netcompile.caffemodel.recipe import Constant, Recipe
from netcompile.layers.base import (
    CHANNELS,
    ITEM,
    PLANE,
    BlobSpec,
    Dim,
    Emission,
    Emitted,
    IntShape,
    Layer,
    Refused,
    Shape,
    layer,
)
from netcompile.layers.kinds import SameShape
from netcompile.layers.params import Params, Section, constant_filler
from netcompile.layers.shapes import four_axes, number, planes
from netcompile.layers.source import call, literal
from netcompile.prototxt.message import Message, float_text
from netcompile.prototxt.schema import float32

AXES = {2: 1, 3: 1, 4: 2, 5: 3}  # how many axes PyTorch's class for a rank has behind the channels, at most


def refuse_negative(s: Section, field: str) -> None:
    """Report a number below 0 that is added to a variance."""
    if not s.get(field) >= 0:
        s.refuse(field, f"{field} {s.get(field):g} is negative", code="param-range", why="it keeps the root real")


def batch_norm(axes: int, channels: int, eps: float, fraction: float, affine: bool = True, relu: bool = False) -> str:
    """Source of PyTorch's batch normalisation of so many axes, without what is its default; or of ours, with a ReLU."""
    return call(
        f"BatchNorm{axes}d" if relu else f"nn.BatchNorm{axes}d",
        channels,
        eps=None if literal(eps) == "1e-05" else literal(eps),
        momentum=momentum(fraction),
        affine=None if affine else "False",
        relu="True" if relu else None,
    )


def momentum(fraction: float) -> str | None:
    """PyTorch's momentum for a `moving_average_fraction` f, as source; None for PyTorch's default.

    Caffe sums: with every batch sum = f · sum + new and factor = f · factor + 1, and the mean is sum / factor. After
    many batches the factor is 1 / (1 - f), so that mean = f · mean + (1 - f) · new: what PyTorch does at once with
    momentum 1 - f. Both average the unbiased variance. With f = 1 all batches count alike: PyTorch's momentum None.
    """
    if fraction == 1:
        return "None"
    rest = float(1 - Decimal(float_text(float32(fraction)))) if isfinite(fraction) else 0.1
    return None if rest == 0.1 else literal(rest)


def running(e: Emission, eps: float, fraction: float, tensors: Mapping[str, Recipe], relu: bool = False) -> Emitted:
    """Code of a batch normalisation by running statistics: an ``nn.BatchNorm`` with these tensors.

    Ranks that PyTorch has no class for keep their tensors in one of another rank. `relu` is for images alone.
    """
    rank, me = len(e.bottoms[0]), f"self.{e.name}"
    make = batch_norm(AXES.get(rank, 1), e.bottoms[0][1], eps, fraction, "weight" in tensors, relu)
    value = f"{me}({e.x[0]})"
    if rank not in AXES:
        value = call("F.batch_norm", e.x[0], *(f"{me}.{key}" for key in tensors), eps=literal(eps))
    recipes = [*tensors.items(), ("num_batches_tracked", Constant(0, (), "int64"))]
    return Emitted(
        (f"{e.y[0]} = {value}",),
        (f"{me} = {make}",),
        ("normalisation.BatchNorm2d",) if relu else (),
        tuple((f"{e.name}.{key}", r) for key, r in recipes),
    )


def _channels(shape: Shape) -> Dim:
    """How many channels BatchNorm's bottom has. Raises Refused where it has no axis of channels."""
    if len(shape) < 2:
        what = f"BatchNorm wants 2 axes or more, not {len(shape)}"
        raise Refused(what, code="axis", at="bottom[0]", why="its channels lie on axis 1")
    return shape[1]


@layer("BatchNorm")
@dataclass(frozen=True)
class BatchNorm(SameShape):
    """(x - mean) / sqrt(variance + eps) for each channel (axis 1), without scale and bias.

    Blobs: sum of means, sum of variances, and the factor that divides both (0 where it is 0). They are what
    is used at test; in training it is the batch's own mean and biased variance, and every pass decays the
    sums by `moving_average_fraction` and adds to them, the variance times m / (m - 1). `use_global_stats`
    overrules the phase.
    """

    eps: float = 1e-5
    fraction: float = 0.999
    use_global_stats: bool | None = None

    stored: ClassVar[tuple[str, ...]] = ("mean", "variance", "factor")
    family: ClassVar[str] = "normalisation"

    @classmethod
    def read(cls, p: Params) -> Layer:
        s = p.sub("batch_norm_param")
        if s.get("scale_bias") or s.has("scale_filler") or s.has("bias_filler"):
            return ScaledBatchNorm.read(p)
        for index, spec in enumerate(p.message.all("param")[:3]):
            if spec.get("lr_mult") != 0:
                p.refuse(
                    f"param[{index}].lr_mult",
                    f"lr_mult {spec.get('lr_mult'):g} for BatchNorm's statistics",
                    code="batchnorm-lr",
                    why="its blobs are not learned: Caffe wants lr_mult 0, or no param at all",
                    remedy="param { lr_mult: 0 }",
                )
        use: bool | None = s.given("use_global_stats")
        if use is None and p.own_phase:  # whatever the net's phase is
            use = not p.train
        refuse_negative(s, "eps")
        if p.train and not use and s.get("eps") == 0:
            s.refuse("eps", "eps 0 in training", code="unsupported", why="PyTorch's batch normalisation wants more")
        return cls(s.get("eps"), s.get("moving_average_fraction"), use)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        _channels(bottoms[0])
        return (bottoms[0],)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        fixed = not train if self.use_global_stats is None else self.use_global_stats
        return CHANNELS if fixed else None

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        channels = number(_channels(bottoms[0]))
        return (BlobSpec("mean", (channels,)), BlobSpec("variance", (channels,)), BlobSpec("factor", (1,)))

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        return prod(tops[0])

    def emit(self, e: Emission) -> Emitted:
        if e.train:
            return self._train(e)
        if self.use_global_stats is False:
            if self.eps > 0:
                return e.call("normalisation.normalise_batch", e.x[0], literal(self.eps))
            return e.call("normalisation.normalise_exactly", e.x[0])
        return self.running(e, {})

    def running(self, e: Emission, affine: Mapping[str, Recipe], relu: bool = False) -> Emitted:
        """Code that normalises by the running statistics; `affine` are the weight and bias behind it, or nothing."""
        mean, variance = ScaledByFactor(e.take(0), e.take(2)), ScaledByFactor(e.take(1), e.take(2))
        return running(e, self.eps, self.fraction, {"running_mean": mean, "running_var": variance, **affine}, relu)

    def _train(self, e: Emission) -> Emitted:
        make = call(
            "BatchNorm",
            e.bottoms[0][1],
            eps=literal(self.eps) if literal(self.eps) != "1e-05" else None,
            fraction=literal(self.fraction) if literal(self.fraction) != "0.999" else None,
            use_global_stats=self.use_global_stats,
        )
        line, init = f"{e.y[0]} = self.{e.name}({e.x[0]})", f"self.{e.name} = {make}"
        return Emitted((line,), (init,), ("normalisation.BatchNorm",), e.entries(self.blobs(*e.bottoms)))


@dataclass(frozen=True)
class ScaledBatchNorm(SameShape):
    """BatchNorm with a learned scale and bias of its own: mean, variance, a number, scale, bias (NVCaffe).

    `read` of BatchNorm makes it where batch_norm_param has scale_bias, or a filler for either. Running statistics
    at test whatever use_global_stats says, used as they are (NVCaffe does not read the number, which is 1); in
    training the batch's own, with its biased variance, which replace the running ones in the first two passes and
    are averaged into them from then on. ε is 1e-5 at least.
    """

    eps: float = 1e-5
    fraction: float = 0.999
    scale_filler: Message | None = None
    bias_filler: Message | None = None

    type: ClassVar[str] = "BatchNorm"
    fork: ClassVar[str] = "NVCaffe"
    family: ClassVar[str] = "normalisation"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("batch_norm_param")
        s.ignore("scale_bias", "use_global_stats")
        if not s.get("scale_bias") and s.has("scale_bias"):
            field = "scale_filler" if s.has("scale_filler") else "bias_filler"
            p.note(
                f"batch_norm_param.{field}",
                f"{field} gives BatchNorm a scale and a bias, whatever scale_bias says",
                code="fork-reading",
                why="NVCaffe takes a filler for the wish",
            )
        fillers = s.filler("scale_filler") or constant_filler(1.0), s.filler("bias_filler")
        return cls(max(s.get("eps"), BatchNorm.eps), s.get("moving_average_fraction"), *fillers)

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        c = (number(_channels(bottoms[0])),)
        statistics = BlobSpec("mean", c), BlobSpec("variance", c), BlobSpec("correction", (1,), role="correction")
        return (*statistics, BlobSpec("scale", c, self.scale_filler), BlobSpec("bias", c, self.bias_filler))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        self.blobs(*bottoms)
        return (bottoms[0],)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        return None if train else CHANNELS

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        return prod(tops[0])

    def emit(self, e: Emission) -> Emitted:
        keys = {"running_mean": 0, "running_var": 1, "weight": 3, "bias": 4}
        tensors = {key: e.take(index) for key, index in keys.items()}
        if not e.train:
            return running(e, self.eps, self.fraction, tensors)
        make = f"AveragedBatchNorm({e.bottoms[0][1]}, eps={literal(self.eps)}, fraction={literal(self.fraction)})"
        return Emitted(
            (f"{e.y[0]} = self.{e.name}({e.x[0]})",),
            (f"self.{e.name} = {make}",),
            ("normalisation.AveragedBatchNorm",),
            tuple((f"{e.name}.{key}", recipe) for key, recipe in tensors.items()),
        )


@layer("LRN")
@dataclass(frozen=True)
class LRN(SameShape):
    """x · (k + alpha / n · Σx²)^-beta over n channels about each; or within a channel, over n × n pixels.

    Within a channel the divisor is n², k is ignored and 1 stands in its place; outside the plane lie zeros.
    """

    size: int = 5
    alpha: float = 1.0
    beta: float = 0.75
    k: float = 1.0
    within: bool = False

    family: ClassVar[str] = "normalisation"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("lrn_param")
        s.ignore("engine")
        size = int(s.get("local_size"))
        if size % 2 == 0:
            why = "the window has its element in the middle"
            s.refuse("local_size", f"local_size {size} is even", code="param-range", why=why)
            size += 1
        within = s.get("norm_region") == "WITHIN_CHANNEL"
        return cls(size, s.get("alpha"), s.get("beta"), s.get("k"), within)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        four_axes(bottoms[0], "LRN")
        return (bottoms[0],)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        return PLANE if self.within else CHANNELS

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        return prod(tops[0]) * (self.size**2 if self.within else self.size)

    def expression(self, x: str) -> str:
        alpha, beta = literal(self.alpha), literal(self.beta)
        if not self.within:
            return call("lrn", x, self.size, alpha=alpha, beta=beta, k=literal(self.k))
        return f"{x} * ({self._mean(x, alpha)}) ** {literal(-self.beta)}"

    def emit(self, e: Emission) -> Emitted:
        return Emitted(super().emit(e).forward, functions=() if self.within else ("normalisation.lrn",))

    def _mean(self, x: str, alpha: str) -> str:
        mean = call("F.avg_pool2d", f"{x} * {x}", self.size, stride=1, padding=self.size // 2 or None)
        return f"1 + {mean}" if self.alpha == 1 else f"1 + {alpha} * {mean}"


@layer("MVN")
@dataclass(frozen=True)
class MVN(SameShape):
    """Each plane, or item, less its mean, and divided by its deviation + eps. The top always has 4 axes."""

    variance: bool = True
    across: bool = False
    eps: float = 1e-9

    family: ClassVar[str] = "normalisation"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("mvn_param")
        return cls(bool(s.get("normalize_variance")), bool(s.get("across_channels")), s.get("eps"))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (planes(bottoms[0], "MVN"),)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        return ITEM if self.across else PLANE

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        return prod(tops[0]) * 2

    def emit(self, e: Emission) -> Emitted:
        x, y = e.x[0], e.y[0]
        lines = []
        if len(e.bottoms[0]) < 4:
            lines.append(f"{y} = {e.planes[0]}")
            x = y
        dim = (1, 2, 3) if self.across else (2, 3)
        if self.variance:
            lines.append(f"{y} = mvn({x}, dim={dim}, eps={literal(self.eps)})")
            return Emitted(tuple(lines), functions=("normalisation.mvn",))
        lines.append(f"{y} = {x} - {x}.mean(dim={dim}, keepdim=True)")
        return Emitted(tuple(lines))
