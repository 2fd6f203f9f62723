"""Labels are looked at before a layer takes them for indices: one that is no class is told with its layer.

Caffe reads whatever memory such a label points to; torch speaks of an index of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

import torch
from torch import Tensor

from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.ir.graph import Node, Value
from netcompile.layers.base import Arity, Emission, Emitted, Layer, Shape
from netcompile.pipeline import Analysed


class LabelOutOfRange(ValueError):
    """A label that is no class: which check found it, and its value."""

    def __init__(self, check: int, value: float) -> None:
        super().__init__(f"label {value:g} is no class")
        self.check, self.value = check, value


def within(label: Tensor, classes: int, ignore: int | None, check: int) -> Tensor:
    """`label` as it is. Raises LabelOutOfRange where a value, cut to an integer, is no class and not `ignore`."""
    index = label.detach().long()
    bad = (index < 0) | (index >= classes) | torch.isnan(label)
    if ignore is not None:
        bad &= index != ignore
    if bool(bad.any()):
        raise LabelOutOfRange(check, float(label.detach()[bad][0]))
    return label


@dataclass(frozen=True, slots=True)
class Check:
    """What one bottom of a layer may hold: integers from 0 to below `classes`, or `ignore`."""

    node: Node
    bottom: int
    classes: int
    ignore: int | None

    def error(self, value: float) -> NetError:
        """What is said of a value that it may not hold."""
        node, message = self.node, self.node.message
        names = message.all("bottom")
        what = (
            f"label {value:g} in '{names[self.bottom]}': the classes of layer '{node.name}' are 0 to {self.classes - 1}"
        )
        why = f"'{names[0]}' has {self.classes} scores for each label"
        remedy = "correct the labels"
        if node.type == "Embed":
            why, remedy = f"input_dim is {self.classes}", "correct the indices, or input_dim"
        elif value == 255 and self.ignore is None and node.type in _IGNORING:
            remedy = f"{_IGNORING[node.type]} {{ ignore_label: 255 }} if they do not count"
        elif value >= self.classes:
            remedy = "correct the labels, or the num_output of the scores"
        return NetError(Diagnostic("label-range", what, message.span_of("bottom", self.bottom), why, remedy))


_IGNORING = {"SoftmaxWithLoss": "loss_param", "InfogainLoss": "loss_param", "Accuracy": "accuracy_param"}


def _check(node: Node, bottoms: Sequence[tuple[int, ...]]) -> Check | None:
    """What is to hold of a layer's labels; None for a layer that reads none."""
    layer, x = node.layer, bottoms[0] if bottoms else ()
    if node.type in _IGNORING:
        axis: int = getattr(layer, "axis", 1)
        return Check(node, 1, x[axis], getattr(layer, "ignore", None))
    if node.type in ("MultinomialLogisticLoss", "HingeLoss"):
        return Check(node, 1, prod(x[1:]), None)
    if node.type == "Embed":
        return Check(node, 0, int(getattr(layer, "inputs", 0)), None)
    return None


@dataclass(frozen=True, slots=True)
class CheckedLabels(Layer):
    """Passes its bottom on if all its values are classes."""

    classes: int = 0
    ignore: int | None = None
    check: int = 0

    type: ClassVar[str] = "CheckedLabels"
    arity: ClassVar[Arity] = Arity(bottoms=1, tops=1)
    moves: ClassVar[slice | None] = slice(None)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (bottoms[0],)

    def emit(self, e: Emission) -> Emitted:
        line = f"{e.y[0]} = within({e.x[0]}, {self.classes}, {self.ignore}, {self.check})"
        return Emitted((line,), imports=("netcompile.train.labels.within",))


def with_checked_labels(analysed: Analysed) -> tuple[Analysed, tuple[Check, ...]]:
    """The net with `CheckedLabels` before every bottom that holds labels, and what each of them looks for."""
    nodes: list[Node] = []
    checks: list[Check] = []
    shapes = dict(analysed.shapes)
    for node in analysed.graph.nodes:
        check = _check(node, [shapes[bottom] for bottom in node.bottoms])
        if check is not None:
            bottom = node.bottoms[check.bottom]
            value = Value(f"{bottom.blob} (labels of {node.name} {len(checks)})", bottom.version)
            shapes[value] = shapes[bottom]
            layer = CheckedLabels(check.classes, check.ignore, len(checks))
            nodes.append(Node("", layer, (bottom,), (value,), node.message))
            checks.append(check)
            bottoms = list(node.bottoms)
            bottoms[check.bottom] = value
            node = replace(node, bottoms=tuple(bottoms))
        nodes.append(node)
    graph = analysed.graph.replace(nodes=tuple(nodes))
    return replace(analysed, graph=graph, shapes=shapes), tuple(checks)
