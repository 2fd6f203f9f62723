"""Losses: one number that says how far predictions are from what they should be."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.text import shape_text
from netcompile.layers.base import Arity, Condition, Emission, Emitted, IntShape, Refused, Shape, Wish, layer
from netcompile.layers.measure import (
    SHAPES,
    Loss,
    check_normalization,
    ignored,
    label_each,
    label_wishes,
    normalization,
    one_label,
    same_batch,
    same_count,
)
from netcompile.layers.params import Params
from netcompile.layers.shapes import canonical_axis, count, planes
from netcompile.layers.source import call, literal
from netcompile.layers.traits import Labels


@dataclass(frozen=True, slots=True)
class _ClassLoss(Loss):
    """A loss over the softmax of class scores; a second top takes the probabilities."""

    axis: int = 1
    ignore: int | None = None
    over: str = "VALID"
    tops: int = 1

    arity: ClassVar[Arity] = Arity(bottoms=2, tops=(1, 2))
    index_bottoms: ClassVar[tuple[int, ...]] = (1,)  # labels
    at: ClassVar[str] = ""  # the field that gives the axis

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        x, label = bottoms[:2]
        check_normalization(self.over)
        return [same_batch(x, label), *label_each(x, label, self.axis, self.at)]

    def wants(self, index: int, *bottoms: IntShape) -> Sequence[Wish]:
        return label_wishes(bottoms[0], bottoms[1], self.axis, index)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        canonical_axis(self.axis, len(bottoms[0]), self.at)
        return ((), bottoms[0])[: self.tops]

    def labels(self, *bottoms: IntShape) -> Labels | None:
        return Labels(1, bottoms[0][self.axis], self.ignore, "loss_param")

    def same_on_maps(self, *maps: Shape) -> bool:
        return self.axis == 1

    def _emit(self, e: Emission, function: str, *arguments: str) -> Emitted:
        axis = canonical_axis(self.axis, len(e.bottoms[0]), self.at)
        made = e.call(
            function,
            *e.x[:2],
            *arguments,
            dim=axis if axis != 1 else None,
            ignore=self.ignore,
            normalization=f'"{self.over}"' if self.over != "VALID" else None,
        )
        if self.tops == 1:
            return made
        # Caffe lets no gradient through the probabilities.
        return replace(made, forward=(f"{made.forward[0]}, F.softmax({e.x[0]}, dim={axis}).detach()",))


@layer("SoftmaxWithLoss")
class SoftmaxWithLoss(_ClassLoss):
    """−log of the label's softmax probability, which counts as FLT_MIN at least."""

    __slots__ = ()

    taught: ClassVar[str] = "scores"

    at: ClassVar[str] = "softmax_param.axis"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("softmax_param")
        s.ignore("engine")
        if p.tops == 2:
            _refuse_probabilities(p)
        return cls(int(s.get("axis")), ignored(p), normalization(p, "VALID"), max(p.tops, 1))

    def emit(self, e: Emission) -> Emitted:
        return self._emit(e, "losses.caffe_softmax_loss")


def _refuse_probabilities(p: Params) -> None:
    """Report a SoftmaxWithLoss of two tops, which the layer takes and Net::Init cannot set up (BVLC/caffe#2968).

    Without loss_weight the loss gives itself one, for two tops; two are handed on to the softmax inside, of one top.
    """
    weighted = bool(p.message.all("loss_weight"))
    p.refuse(
        "loss_weight" if weighted else "top[1]",
        "SoftmaxWithLoss cannot give its probabilities as a second top",
        code="arity",
        why="Caffe hands both weights on to the softmax inside the loss, which has one top, and stops"
        if weighted
        else "without loss_weight Caffe counts one weight for two tops, and stops",
        remedy="keep the loss alone, and give the probabilities a Softmax layer of their own",
    )


@layer("InfogainLoss")
@dataclass(frozen=True)
class InfogainLoss(_ClassLoss):
    """−Σ H[label, class] · log of the class's softmax probability, for a matrix H from a bottom or a file."""

    taught: ClassVar[str] = "scores"

    source: str = ""
    folder: str = ""

    arity: ClassVar[Arity] = Arity(bottoms=(2, 3), tops=(1, 2))
    at: ClassVar[str] = "infogain_loss_param.axis"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("infogain_loss_param")
        p.sub("softmax_param").ignore("engine")
        if p.bottoms < 3:
            s.required("source", "no infogain matrix", why="it comes from a third bottom, or from a file")
        if p.sub("loss_param").has("normalize"):
            p.sub("loss_param").refuse(
                "normalize",
                "normalize is not for InfogainLoss",
                code="param-conflict",
                why="Caffe refuses the old field here",
                remedy="normalization: VALID or BATCH_SIZE",
            )
        if p.tops == 2 and not p.message.all("loss_weight"):
            what = "two tops of InfogainLoss want two loss weights"
            why = "a loss without loss_weight gives itself one, and Caffe stops at one weight for two tops"
            p.refuse("top[1]", what, code="arity", why=why, remedy="loss_weight: 1 loss_weight: 0")
        over = normalization(p, "VALID")
        source = str(s.get("source") or "") if p.bottoms < 3 else ""
        return cls(int(s.get("axis")), ignored(p), over, max(p.tops, 1), source, _folder(p.message.source.name))

    def takes_logarithm(self) -> bool:
        return True

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        found = list(super().conditions(*bottoms))
        if len(bottoms) == 3:
            axis = canonical_axis(self.axis, len(bottoms[0]), self.at)
            classes = bottoms[0][axis]
            why = f"{classes} classes need {classes}×{classes} numbers, not {shape_text(bottoms[2])}"
            refusal = Refused("the infogain matrix has the wrong size", at="bottom[2]", why=why)
            found += same_count((classes, classes), bottoms[2], refusal)
        return found

    def emit(self, e: Emission) -> Emitted:
        matrix = e.x[2] if len(e.x) == 3 else self._matrix(e)
        return self._emit(e, "losses.caffe_infogain_loss", matrix)

    def _matrix(self, e: Emission) -> str:
        """Source of the file's matrix; looked for as Caffe does, then beside the net. Raises Refused."""
        at = "infogain_loss_param.source"
        path = self.source
        if not os.path.exists(path):
            path = os.path.join(self.folder, path)
        from netcompile.caffemodel.reader import read_mean  # no other layer reads a file

        try:
            blob = read_mean(path)
        except OSError:
            why = "the loss needs its numbers; it is looked for in the working folder and beside the net"
            raise Refused(f"cannot read '{self.source}'", code="file", at=at, why=why) from None
        except NetError as error:
            what = error.diagnostics[0].what
            raise Refused(what, code="file", at=at, why="the infogain matrix is one blob") from None
        classes = e.bottoms[0][canonical_axis(self.axis, len(e.bottoms[0]), self.at)]
        if count(blob.shape) != classes * classes:
            what = f"the infogain matrix in '{self.source}' has the wrong size"
            why = f"{classes} classes need {classes}×{classes} numbers, not {shape_text(blob.shape)}"
            raise Refused(what, at=at, why=why)
        return _matrix_text([[float(v) for v in row] for row in blob.array().reshape(classes, classes)])


def _folder(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[0]


def _matrix_text(rows: list[list[float]]) -> str:
    """Python source of a square matrix, short for a diagonal one."""
    diagonal = tuple(row[i] for i, row in enumerate(rows))
    if all(v == 0 for i, row in enumerate(rows) for j, v in enumerate(row) if i != j):
        if set(diagonal) == {1.0}:
            return f"torch.eye({len(rows)})"
        return f"torch.diag(torch.tensor(({', '.join(literal(v) for v in diagonal)},)))"
    return "(" + ", ".join("(" + ", ".join(literal(v) for v in row) + ")" for row in rows) + ")"


class _ItemLoss(Loss):
    """A loss of one label for each item of the batch, whose scores are all its numbers."""

    __slots__ = ()

    index_bottoms: ClassVar[tuple[int, ...]] = (1,)  # labels

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        planes(bottoms[0], self.type)
        return [same_batch(bottoms[0], bottoms[1])]

    def wants(self, index: int, *bottoms: IntShape) -> Sequence[Wish]:
        return (bottoms[0][:1],) if index == 1 and bottoms[0] else ()

    def labels(self, *bottoms: IntShape) -> Labels | None:
        return Labels(1, count(bottoms[0], 1))


@layer("MultinomialLogisticLoss")
class MultinomialLogisticLoss(_ItemLoss):
    """−log of the label's probability, for probabilities as they come; one counts as 1e-20 at least."""

    taught: ClassVar[str] = "probabilities"

    def takes_logarithm(self) -> bool:
        return True

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        return [*super().conditions(*bottoms), *one_label(bottoms[1], self.type)]

    def emit(self, e: Emission) -> Emitted:
        return e.call("losses.caffe_multinomial_loss", *e.x)


@layer("HingeLoss")
@dataclass(frozen=True, slots=True)
class HingeLoss(_ItemLoss):
    """One against all: how far each score is inside the margin, summed as it is (L1) or squared (L2)."""

    taught: ClassVar[str] = "scores"

    norm: str = "L1"

    @classmethod
    def read(cls, p: Params) -> Self:
        return cls(str(p.sub("hinge_loss_param").get("norm")))

    def emit(self, e: Emission) -> Emitted:
        return e.call("losses.caffe_hinge_loss", *e.x, squared=True if self.norm == "L2" else None)


@layer("SigmoidCrossEntropyLoss")
@dataclass(frozen=True, slots=True)
class SigmoidCrossEntropyLoss(Loss):
    """Cross-entropy of a sigmoid with its target, element by element."""

    taught: ClassVar[str] = "logits"

    ignore: int | None = None
    over: str = "BATCH_SIZE"

    @classmethod
    def read(cls, p: Params) -> Self:
        return cls(ignored(p), normalization(p, "BATCH_SIZE"))

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        x, target = bottoms
        check_normalization(self.over)
        why = f"one target for each score is wanted: {shape_text(x)} against {shape_text(target)}"
        return [same_batch(x, target), *same_count(x, target, Refused(SHAPES, at="bottom[1]", why=why))]

    def emit(self, e: Emission) -> Emitted:
        x, target = e.x
        if self.ignore is not None:
            mode = f'"{self.over}"' if self.over != "BATCH_SIZE" else None
            return e.call("losses.caffe_sigmoid_loss", x, target, self.ignore, normalization=mode)
        goal = f"{target}.detach()" + _like(e)
        reduction = '"mean"' if self.over in ("FULL", "VALID") else '"sum"'
        make = call("F.binary_cross_entropy_with_logits", x, goal, reduction=reduction)
        return Emitted((f"{e.y[0]} = {make}" + (f" / {x}.shape[0]" if self.over == "BATCH_SIZE" else ""),))


@layer("EuclideanLoss")
class EuclideanLoss(Loss):
    """Half the squared distance, over the number of items; both bottoms are trained."""

    __slots__ = ()

    taught: ClassVar[str] = "values"

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        a, b = bottoms
        planes(a, self.type)
        refusal = Refused(SHAPES, at="bottom[1]", why=f"{shape_text(a)} against {shape_text(b)}")
        return [same_batch(a, b, SHAPES), *same_count(a[1:], b[1:], refusal)]

    def emit(self, e: Emission) -> Emitted:
        a, b = e.x
        return e.assign(f"({a} - {b}{_like(e)}).square().sum() / (2 * {a}.shape[0])")


def _like(e: Emission) -> str:
    """The end of an expression that gives the second bottom the first one's shape."""
    return "" if e.bottoms[0] == e.bottoms[1] else f".reshape({e.x[0]}.shape)"


@layer("ContrastiveLoss")
@dataclass(frozen=True, slots=True)
class ContrastiveLoss(Loss):
    """Draws similar pairs together, and others apart until a margin lies between them."""

    taught: ClassVar[str] = "vectors"

    margin: float = 1.0
    legacy_version: bool = False

    arity: ClassVar[Arity] = Arity(bottoms=3, tops=1)
    index_bottoms: ClassVar[tuple[int, ...]] = (2,)  # whether a pair is similar

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("contrastive_loss_param")
        return cls(float(s.get("margin")), bool(s.get("legacy_version")))

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        a, b, similar = bottoms
        refusal = Refused(SHAPES, at="bottom[1]", why=f"{shape_text(a)} against {shape_text(b)}")
        whole = [planes(shape, self.type, f"bottom[{index}]") for index, shape in enumerate(bottoms)]
        found = [same_batch(a, b, SHAPES), Condition(whole[0][1], "==", whole[1][1], refusal)]
        for index in (0, 1):
            flat = Refused(f"a vector for each item is wanted, not {shape_text(bottoms[index])}", at=f"bottom[{index}]")
            found += [Condition(extent, "==", 1, flat) for extent in whole[index][2:]]
        found += one_label(similar, self.type, 2)
        few = Refused(
            "label count does not match", at="bottom[2]", why=f"{shape_text(similar)} labels for {a[0]} pairs"
        )
        return [*found, Condition(whole[2][0], ">=", a[0], few)]

    def emit(self, e: Emission) -> Emitted:
        old = True if self.legacy_version else None
        return e.call("losses.caffe_contrastive_loss", *e.x, margin=literal(self.margin), legacy=old)
