"""Losses, metrics and sinks of Caffe's forks: they vanish at inference with the labels that they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.layers.base import (
    Arity,
    Condition,
    Emission,
    Emitted,
    Layer,
    Refused,
    Shape,
    as_planes,
    canonical_axis,
    count,
    layer,
    literal,
    planes,
    same_shape,
)
from netcompile.layers.measure import SHAPES, same_batch
from netcompile.layers.params import Params
from netcompile.layers.unsupported import MEASURES


@layer(*MEASURES)
@dataclass(frozen=True, slots=True)
class ForeignMeasure(Layer):
    """A loss or metric that is known by name: nothing of it is needed for inference, and nothing here
    computes it.
    """

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
@dataclass(frozen=True, slots=True)
class Sink(Layer):
    """Writes its bottoms to files; here it only takes them out of the outputs, as Silence does.

    The bottoms stay blobs of the net: ask for them by name.
    """

    arity: ClassVar[Arity] = Arity(bottoms=(1, None), tops=0)
    fork: ClassVar[str] = "DeepLab, FlowNet"

    @classmethod
    def read(cls, p: Params) -> Self:
        p.ignore_all()
        return cls()

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return ()

    def emit(self, e: Emission) -> Emitted:
        return Emitted()


@layer("SoftmaxCrossEntropyLoss")
@dataclass(frozen=True, slots=True)
class SoftmaxCrossEntropyLoss(Layer):
    """Σ t · (log t − log softmax(x)) / N against a distribution t over the channels (colorization)."""

    arity: ClassVar[Arity] = Arity(bottoms=2, tops=(0, 1))
    is_measure: ClassVar[bool] = True
    auto_top: ClassVar[bool] = True
    fork: ClassVar[str] = "colorization"
    family: ClassVar[str] = "prediction"

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        canonical_axis(1, len(bottoms[0]), "bottom[0]")  # of the classes
        refusal = Refused("the two bottoms must have the same count", at="bottom[1]")
        return [Condition(count(bottoms[0]), "==", count(bottoms[1]), refusal)]

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return ((),)

    def emit(self, e: Emission) -> Emitted:
        return e.call("losses.softmax_cross_entropy", *e.x[:2]) if e.y else Emitted()


@layer("SmoothL1Loss")
@dataclass(frozen=True, slots=True)
class SmoothL1Loss(Layer):
    """Huber's loss of x − t, σ²/2 · d² up to 1/σ² and |d| − 1/(2σ²) beyond, summed over images / N (Fast
    R-CNN).

    Further bottoms weigh d before (inside) and the loss after (outside).
    """

    sigma: float = 1.0

    arity: ClassVar[Arity] = Arity(bottoms=(2, 4), tops=(0, 1))
    is_measure: ClassVar[bool] = True
    auto_top: ClassVar[bool] = True
    fork: ClassVar[str] = "Fast R-CNN"
    family: ClassVar[str] = "prediction"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("smooth_l1_loss_param")
        sigma = s.get("sigma")
        if sigma == 0:
            s.refuse("sigma", "sigma 0 makes every loss 0", code="param-range", why="the loss divides by its square")
        return cls(sigma or 1.0)

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        found, x = [same_batch(bottoms[0], bottoms[1], SHAPES)], planes(bottoms[0], self.type)
        for index, other in enumerate(bottoms[1:], 1):
            found += same_shape(x, planes(other, self.type, f"bottom[{index}]"), "shapes differ", f"bottom[{index}]")
        return found

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return ((),)

    def emit(self, e: Emission) -> Emitted:
        if not e.y:
            return Emitted()
        x = list(e.x)
        if len({len(shape) for shape in e.bottoms}) > 1:  # N × C beside N × C × 1 × 1
            x = [as_planes(name, shape) for name, shape in zip(e.x, e.bottoms, strict=True)]
        d = f"{x[0]} - {x[1]}"
        if len(x) > 2:
            d = f"{x[2]} * ({d})"
        return e.call("losses.smooth_l1", d, literal(self.sigma), *x[3:4])
