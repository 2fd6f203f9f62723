"""Accuracy, and what it shares with the losses: labels, what is ignored, what a sum is divided by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.diagnostics.text import shape_text
from netcompile.layers.base import (
    Arity,
    Condition,
    Dim,
    Emission,
    Emitted,
    IntShape,
    Layer,
    NeedsNumber,
    Refused,
    Shape,
    Wish,
    layer,
)
from netcompile.layers.params import Params
from netcompile.layers.shapes import canonical_axis, count, planes
from netcompile.layers.traits import Labels

LABELS = "label count does not match"
SHAPES = "shapes differ"


@dataclass(frozen=True, slots=True)
class Measure(Layer):
    """Predictions and labels in, one number out."""

    is_measure: ClassVar[bool] = True
    family: ClassVar[str] = "prediction"

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return ((),)


class Loss(Measure):
    """A measure that is trained on: Caffe invents its top where the file names none."""

    __slots__ = ()

    arity: ClassVar[Arity] = Arity(bottoms=2, tops=1)
    auto_top: ClassVar[bool] = True

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        return [same_batch(bottoms[0], bottoms[1])]


def ignored(p: Params) -> int | None:
    """``loss_param.ignore_label``; None where the file does not set it."""
    found: int | None = p.sub("loss_param").given("ignore_label")
    return found


def normalization(p: Params, default: str) -> str:
    """FULL, VALID, BATCH_SIZE or NONE; the old ``normalize`` counts only without ``normalization``."""
    s = p.sub("loss_param")
    old, over = s.given("normalize"), s.given("normalization")
    if over is not None:
        return str(over)
    return default if old is None else "VALID" if old else "BATCH_SIZE"


def check_normalization(over: str) -> None:
    """Raises Refused for a fork's way to divide a loss. Where the loss vanishes, nobody asks."""
    if over not in ("FULL", "VALID", "BATCH_SIZE", "NONE"):
        raise Refused(
            f"a loss of normalization {over} is not computed here",
            code="unsupported",
            at="loss_param.normalization",
            why="BVLC Caffe has FULL, VALID, BATCH_SIZE and NONE",
        )


def same_batch(x: Shape, label: Shape, what: str = LABELS) -> Condition:
    """Both bottoms must agree in their first axis. Raises Refused where one of them has no axis."""
    for index, shape in enumerate((x, label)):
        if not shape:
            raise Refused("a loss cannot read a scalar", at=f"bottom[{index}]", why="its first axis counts the items")
    why = f"the first axis counts the items: {x[0]} in {shape_text(x)}, {label[0]} in {shape_text(label)}"
    return Condition(x[0], "==", label[0], Refused(what, at="bottom[1]", why=why))


def same_count(a: Sequence[Dim], b: Sequence[Dim], refusal: Refused) -> list[Condition]:
    """Equal numbers of elements; for sizes that depend on the input, equal extents. Raises NeedsNumber."""
    if all(isinstance(d, int) for d in (*a, *b)):
        return [Condition(count(a), "==", count(b), refusal)]
    a, b = ([d for d in shape if d != 1] for shape in (a, b))
    if len(a) != len(b):
        raise NeedsNumber(shape_text(a))
    return [Condition(p, "==", q, refusal) for p, q in zip(a, b, strict=True) if p is not q]


def label_each(x: Shape, label: Shape, axis: int, at: str) -> list[Condition]:
    """One label for every position of `x` outside the axis of the classes. Raises Refused for a bad axis."""
    axis = canonical_axis(axis, len(x), at)
    positions = (*x[:axis], *x[axis + 1 :])
    want = f"{shape_text(x)} with its classes on axis {axis} wants {shape_text(positions)} labels"
    return same_count(positions, label, Refused(LABELS, at="bottom[1]", why=f"{want}, not {shape_text(label)}"))


def label_wishes(x: IntShape, label: IntShape, axis: int, index: int) -> Sequence[Wish]:
    """Shapes of the labels (bottom 1) or the scores: a label for every position outside the axis of the classes."""
    axis = canonical_axis(axis, len(x), "")
    if index == 0 and label:
        places = (*label[:1], *label[2:], *(1,) * len(x))[: len(x) - 1]
        return ((*places[:axis], None, *places[axis:]),)
    if index != 1:
        return ()
    return ((*x[:axis], *x[axis + 1 :]),) if len(x) < 3 else ((*x[:axis], 1, *x[axis + 1 :]),)


def one_label(label: Shape, what: str, bottom: int = 1) -> list[Condition]:
    """Channels, height and width of a label are 1: one label for each item. Raises Refused for more axes."""
    at = f"bottom[{bottom}]"
    refusal = Refused(LABELS, at=at, why=f"one label for each item is wanted, not {shape_text(label)}")
    return [Condition(extent, "==", 1, refusal) for extent in planes(label, what, at)[1:]]


@layer("Accuracy")
@dataclass(frozen=True, slots=True)
class Accuracy(Measure):
    """The share of labels that fewer than `top_k` other classes beat or equal; a second top: by class."""

    taught: ClassVar[str] = "scores"

    top_k: int = 1
    axis: int = 1
    ignore: int | None = None
    tops: int = 1

    arity: ClassVar[Arity] = Arity(bottoms=2, tops=(1, 2))
    index_bottoms: ClassVar[tuple[int, ...]] = (1,)  # labels

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("accuracy_param")
        return cls(int(s.get("top_k")), int(s.get("axis")), s.given("ignore_label"), max(p.tops, 1))

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        x, label = bottoms
        return label_each(x, label, self.axis, "accuracy_param.axis")

    def wants(self, index: int, *bottoms: IntShape) -> Sequence[Wish]:
        return label_wishes(bottoms[0], bottoms[1], self.axis, index)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x = bottoms[0]
        classes = x[canonical_axis(self.axis, len(x), "accuracy_param.axis")]
        if isinstance(classes, int) and self.top_k > classes:
            raise Refused(
                f"top_k {self.top_k} of {classes} classes",
                code="param-range",
                at="accuracy_param.top_k",
                why="there are not so many classes",
            )
        return ((), (classes,))[: self.tops]

    def labels(self, *bottoms: IntShape) -> Labels | None:
        return Labels(1, bottoms[0][self.axis], self.ignore, "accuracy_param")

    def same_on_maps(self, *maps: Shape) -> bool:
        return self.axis == 1

    def emit(self, e: Emission) -> Emitted:
        axis = canonical_axis(self.axis, len(e.bottoms[0]), "accuracy_param.axis")
        return e.call(
            "measures.caffe_accuracy" if self.tops == 1 else "measures.caffe_class_accuracy",
            *e.x,
            top_k=self.top_k if self.top_k != 1 else None,
            dim=axis if axis != 1 else None,
            ignore=self.ignore,
        )
