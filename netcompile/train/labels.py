"""Labels are looked at before a layer takes them for indices: one that is no class is told with its layer.

Caffe reads whatever memory such a label points to; torch speaks of an index of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import Arity, Emission, Emitted, Layer, Shape
from netcompile.layers.traits import Labels
from netcompile.passes.base import Pass, Program, Site


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
    """What one bottom of a layer may hold."""

    node: Node
    labels: Labels

    def error(self, value: float) -> NetError:
        """What is said of a value that it may not hold."""
        labels, message = self.labels, self.node.message
        names, classes = message.all("bottom"), labels.classes
        what = f"label {value:g} in '{names[labels.bottom]}': the classes of layer '{self.node.name}'"
        what += f" are 0 to {classes - 1}"
        why = f"'{names[0]}' has {classes} scores for each label"
        remedy = "correct the labels"
        if labels.field:
            why, remedy = f"{labels.field} is {classes}", f"correct the indices, or {labels.field}"
        elif value == 255 and labels.ignore is None and labels.section:
            remedy = f"{labels.section} {{ ignore_label: 255 }} if they do not count"
        elif value >= classes:
            remedy = "correct the labels, or the num_output of the scores"
        return NetError(Diagnostic("label-range", what, message.span_of("bottom", labels.bottom), why, remedy))


@dataclass(frozen=True, slots=True)
class CheckedLabels(Layer):
    """Passes its bottom on if all its values are classes."""

    check: Check
    number: int

    type: ClassVar[str] = "CheckedLabels"
    arity: ClassVar[Arity] = Arity(bottoms=1, tops=1)
    moves: ClassVar[slice | None] = slice(None)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (bottoms[0],)

    def emit(self, e: Emission) -> Emitted:
        labels = self.check.labels
        line = f"{e.y[0]} = within({e.x[0]}, {labels.classes}, {labels.ignore}, {self.number})"
        return Emitted((line,), imports=("netcompile.train.labels.within",))


def match(program: Program) -> Iterator[Site[Check]]:
    nodes = program.graph.nodes
    done = {id(node.message) for node in nodes if isinstance(node.layer, CheckedLabels)}
    for node in nodes:
        labels = node.layer.labels(*(program.shapes[bottom] for bottom in node.bottoms))
        if labels is not None and id(node.message) not in done:
            yield Site(node, Check(node, labels))


def fed_labels(program: Program) -> Iterator[tuple[Value, Check]]:
    """The inputs of a net that a layer takes for labels, and what they may hold."""
    inputs = {entry.value for entry in program.graph.inputs}
    for site in match(program):
        value = site.node.bottoms[site.found.labels.bottom]
        if value in inputs:
            yield value, site.found


def rewrite(program: Program, sites: Sequence[Site[Check]]) -> Program:
    return program.with_layers_before(
        (site.node, site.found.labels.bottom, CheckedLabels(site.found, number), f"labels of {site.node.name} {number}")
        for number, site in enumerate(sites)
    )


def checks_of(graph: Graph) -> tuple[Check, ...]:
    """What each `CheckedLabels` of a net looks for, by its number."""
    return tuple(node.layer.check for node in graph.nodes if isinstance(node.layer, CheckedLabels))


CHECKED_LABELS = Pass("checked-labels", 0, match, rewrite)
