"""Activations and Dropout: what a net puts behind its weighted layers, each element by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.caffemodel.recipe import Reshape
from netcompile.layers.base import CHANNELS, BlobSpec, Emission, Emitted, Refused, Shape, layer
from netcompile.layers.kinds import Elementwise
from netcompile.layers.params import Params, constant_filler
from netcompile.layers.shapes import number
from netcompile.layers.source import call, literal
from netcompile.layers.traits import InPlaceGradient
from netcompile.prototxt.message import Message


@layer("ReLU")
@dataclass(frozen=True, slots=True)
class ReLU(Elementwise):
    """max(x, 0) + negative_slope · min(x, 0)."""

    slope: float = 0.0

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("relu_param")
        s.ignore("engine")
        return cls(s.get("negative_slope"))

    def expression(self, x: str) -> str:
        if self.slope:
            return call("F.leaky_relu", x, literal(self.slope))
        return call("F.relu", x)

    def content(self, *bottoms: str) -> str:
        return bottoms[0] or "features"


@layer("Dropout")
@dataclass(frozen=True)
class Dropout(Elementwise):
    """Zeroes a share of the elements in training and scales the rest; the identity at test."""

    ratio: float = 0.5
    active: bool | None = None  # by the layer's own phase, if it has one

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("dropout_param")
        ratio = s.get("dropout_ratio")
        # Only debug builds of Caffe insist on 0 < ratio < 1; its generator refuses what is no probability.
        if p.train and not 0 <= ratio <= 1:
            s.refuse("dropout_ratio", f"dropout_ratio {ratio:g} is not between 0 and 1", code="param-range")
        return cls(ratio, p.train if p.own_phase else None)

    def expression(self, x: str) -> str:
        training = "self.training" if self.active is None else str(self.active)
        return call("F.dropout", x, p=literal(self.ratio), training=training)

    def is_noop(self, train: bool) -> bool:
        return not (train if self.active is None else self.active)

    def content(self, *bottoms: str) -> str:
        return bottoms[0]

    def emit(self, e: Emission) -> Emitted:
        if self.is_noop(e.train) and not 0 <= self.ratio <= 1:
            return e.assign(e.x[0])
        return super().emit(e)


@layer("ELU")
@dataclass(frozen=True, slots=True)
class ELU(Elementwise):
    """x above 0, alpha · (e^x - 1) below."""

    alpha: float = 1.0

    @classmethod
    def read(cls, p: Params) -> Self:
        return cls(p.sub("elu_param").get("alpha"))

    def expression(self, x: str) -> str:
        return call("F.elu", x, alpha=literal(self.alpha) if self.alpha != 1 else None)


@layer("Sigmoid")
class Sigmoid(Elementwise):
    """1 / (1 + e^-x)."""

    __slots__ = ()

    with_loss: ClassVar[str] = "SigmoidCrossEntropyLoss"
    taught: ClassVar[str] = "logits"

    @classmethod
    def read(cls, p: Params) -> Self:
        p.sub("sigmoid_param").ignore("engine")
        return cls()

    def expression(self, x: str) -> str:
        return call("torch.sigmoid", x)

    def content(self, *bottoms: str) -> str:
        return "probabilities"


@layer("TanH")
class TanH(Elementwise):
    """The hyperbolic tangent."""

    __slots__ = ()

    @classmethod
    def read(cls, p: Params) -> Self:
        p.sub("tanh_param").ignore("engine")
        return cls()

    def expression(self, x: str) -> str:
        return call("torch.tanh", x)


@layer("Swish")
@dataclass(frozen=True, slots=True)
class Swish(Elementwise):
    """x · sigmoid(beta · x)."""

    beta: float = 1.0

    @classmethod
    def read(cls, p: Params) -> Self:
        return cls(p.sub("swish_param").get("beta"))

    def expression(self, x: str) -> str:
        if self.beta == 1:
            return call("F.silu", x)
        return f"{x} * torch.sigmoid({literal(self.beta)} * {x})"


@layer("BNLL")
class BNLL(Elementwise):
    """log(1 + e^x), PyTorch's softplus; beyond 30 that is x in any of its float types."""

    __slots__ = ()

    def in_place_gradient(self) -> InPlaceGradient | None:
        return InPlaceGradient("BNLL")

    def expression(self, x: str) -> str:
        return call("F.softplus", x, threshold=30)


@layer("PReLU")
@dataclass(frozen=True, slots=True)
class PReLU(Elementwise):
    """max(x, 0) + slope · min(x, 0), the slope learned: one for each channel (axis 1), or one for all."""

    shared: bool = False
    filler: Message | None = None

    stored: ClassVar[tuple[str, ...]] = ("slope",)
    mixed: ClassVar[frozenset[int] | None] = CHANNELS

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("prelu_param")
        return cls(bool(s.get("channel_shared")), s.filler("filler") or constant_filler(0.25))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        if not 2 <= len(bottoms[0]) <= 4:
            raise Refused(
                f"PReLU wants 2 to 4 axes, not {len(bottoms[0])}",
                at="bottom[0]",
                why="the slopes lie on axis 1, and Caffe counts channels in blobs of up to 4 axes only",
            )
        return (bottoms[0],)

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        return (BlobSpec("weight", () if self.shared else (number(bottoms[0][1]),), self.filler, role="slope"),)

    def emit(self, e: Emission) -> Emitted:
        slope = Reshape(e.take(0), (1,)) if self.shared else e.take(0)
        return Emitted(
            (f"{e.y[0]} = self.{e.name}({e.x[0]})",),
            (f"self.{e.name} = {call('nn.PReLU', *(() if self.shared else e.bottoms[0][1:2]))}",),
            tensors=((f"{e.name}.weight", slope),),
        )
