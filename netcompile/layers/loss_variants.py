"""Losses, metrics and sinks of Caffe's forks: they vanish at inference with the labels that they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.layers.base import Arity, Condition, Emission, Emitted, Layer, Refused, Shape, layer
from netcompile.layers.kinds import Sink
from netcompile.layers.measure import SHAPES, Loss, same_batch
from netcompile.layers.params import Params
from netcompile.layers.shapes import all_alike, canonical_axis, count, planes
from netcompile.layers.source import literal
from netcompile.layers.unsupported import MEASURES


@layer(*MEASURES)
@dataclass(frozen=True, slots=True)
class ForeignMeasure(Layer):
    """A loss or metric that is known by name: inference needs nothing of it, and nothing here computes it."""

    arity: ClassVar[Arity] = Arity(bottoms=(1, None), tops=(0, None))
    is_measure: ClassVar[bool] = True
    computed: ClassVar[bool] = False
    fork: ClassVar[str] = "various"
    family: ClassVar[str] = "prediction"

    name: str = ""

    @classmethod
    def read(cls, p: Params) -> Self:
        p.ignore_all()
        return cls(p.type)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        raise Refused(
            f"a {self.name} layer is not computed here",
            code="unsupported",
            at="type",
            why=MEASURES[self.name],
            remedy="leave the loss out (without --with-loss), or register a plugin for it",
        )


@layer("MatWrite", "PFMWriter", "FLOWriter", "ImgWriter", "FloatWriter", "BlackHole")
class Writer(Sink):
    """Writes its bottoms to files; here it only takes them out of the outputs, as Silence does.

    The bottoms stay blobs of the net: ask for them by name.
    """

    __slots__ = ()

    arity: ClassVar[Arity] = Arity(bottoms=(1, None), tops=0)
    fork: ClassVar[str] = "DeepLab, FlowNet"

    @classmethod
    def read(cls, p: Params) -> Self:
        p.ignore_all()
        return cls()


@layer("SoftmaxCrossEntropyLoss")
class SoftmaxCrossEntropyLoss(Loss):
    """Σ t · (log t − log softmax(x)) / N against a distribution t over the channels (colorization)."""

    __slots__ = ()

    taught: ClassVar[str] = "scores"

    arity: ClassVar[Arity] = Arity(bottoms=2, tops=(0, 1))
    fork: ClassVar[str] = "colorization"

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        canonical_axis(1, len(bottoms[0]), "bottom[0]")  # of the classes
        refusal = Refused("the two bottoms must have the same count", at="bottom[1]")
        return [Condition(count(bottoms[0]), "==", count(bottoms[1]), refusal)]

    def emit(self, e: Emission) -> Emitted:
        return e.call("losses.softmax_cross_entropy", *e.x[:2]) if e.y else Emitted()


@layer("SmoothL1Loss")
@dataclass(frozen=True, slots=True)
class SmoothL1Loss(Loss):
    """Huber's loss of x − t, σ²/2 · d² up to 1/σ² and |d| − 1/(2σ²) beyond, summed over images / N (Fast R-CNN).

    Further bottoms weigh d before (inside) and the loss after (outside).
    """

    taught: ClassVar[str] = "values"

    sigma: float = 1.0

    arity: ClassVar[Arity] = Arity(bottoms=(2, 4), tops=(0, 1))
    fork: ClassVar[str] = "Fast R-CNN"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("smooth_l1_loss_param")
        sigma = s.get("sigma")
        if sigma == 0:
            s.refuse("sigma", "sigma 0 makes every loss 0", code="param-range", why="the loss divides by its square")
        return cls(sigma or 1.0)

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        whole = [planes(shape, self.type, f"bottom[{index}]") for index, shape in enumerate(bottoms)]
        return [same_batch(bottoms[0], bottoms[1], SHAPES), *all_alike(whole, SHAPES)]

    def emit(self, e: Emission) -> Emitted:
        if not e.y:
            return Emitted()
        x = e.x if len(set(map(len, e.bottoms))) == 1 else e.planes  # N × C beside N × C × 1 × 1
        d = f"{x[0]} - {x[1]}"
        if len(x) > 2:
            d = f"{x[2]} * ({d})"
        return e.call("losses.smooth_l1", d, literal(self.sigma), *x[3:4])
