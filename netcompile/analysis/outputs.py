"""What a net's outputs hold, scores, labels or boxes: as its layers and its losses say, never its names."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import IntShape, Layer
from netcompile.layers.traits import Rows


@dataclass(frozen=True, slots=True)
class Output:
    """What is known of a blob before the net runs.

    `shape` is that at the declared size. `holds` is one of `CONTENTS`, "" where nothing says it. `upsampled`: the
    values were brought to a larger plane last, as an FCN does with its scores. `rows` is what rows of detections say.
    """

    name: str
    shape: IntShape
    holds: str = ""
    upsampled: bool = False
    rows: Rows | None = None


# What a blob may hold, as layers say of their tops (`Layer.content`) or losses of what they read (`Layer.taught`).
CONTENTS = (
    "probabilities",  # of Softmax or Sigmoid
    "labels",  # of ArgMax
    "scores",  # of classes, before a softmax
    "logits",  # before a sigmoid
    "values",  # of a regression
    "vectors",  # whose distances count
    "features",  # of an activation in the middle of a net
    "detections",  # rows of image, class, score, box
    "regions",  # rows of image, box
)


def contents(graph: Graph) -> dict[Value, str]:
    """What each value holds, of those of which something is known.

    Layers that only choose or average pixels keep them what they are.
    """
    found: dict[Value, str] = {}
    for node in graph.nodes:
        content = node.layer.content(*(found.get(bottom, "") for bottom in node.bottoms))
        found.update(dict.fromkeys(node.tops, content))
    for value, taught in {**graph.taught, **lessons(graph.nodes)}.items():
        if found.get(value, "") in ("", "features"):
            found[value] = taught
    return {value: content for value, content in found.items() if content}


def lessons(nodes: tuple[Node, ...]) -> dict[Value, str]:
    """What losses and metrics say of the values that they read first."""
    return {node.bottoms[0]: node.layer.taught for node in nodes if node.layer.taught and node.bottoms}


def output_kinds(graph: Graph) -> dict[str, str]:
    """What blobs hold, by name; none of which nothing is known."""
    found = contents(graph)
    return {blob: found[value] for blob, value in graph.blobs.items() if value in found}


def described(graph: Graph, shapes: dict[Value, IntShape], names: tuple[str, ...]) -> tuple[Output, ...]:
    """The blobs of these names, as they are known."""
    found, makers = contents(graph), graph.producers()
    values = {name: graph.blobs[name] for name in names if name in graph.blobs}
    return tuple(
        Output(
            name, shapes.get(value, ()), "" if _is_rearranged(value, makers, shapes) else found.get(value, ""),
            _is_upsampled(value, makers, shapes),
            makers[value].layer.detected() if value in makers else None,
        )
        for name, value in values.items()
    )  # fmt: skip


def is_vector(output: Output) -> bool:
    """Whether it is N×C, or N×C×1×1."""
    return len(output.shape) >= 2 and all(extent == 1 for extent in output.shape[2:])


def _is_rearranged(value: Value, makers: dict[Value, Node], shapes: dict[Value, IntShape]) -> bool:
    """Whether elements were put into another order or other axes, so that a channel is no class's any more."""
    while value in makers and makers[value].layer.moves is not None and len(makers[value].bottoms) == 1:
        bottom = makers[value].bottoms[0]
        after, before = shapes.get(value, ()), shapes.get(bottom, ())
        if prod(after) == prod(before) and after[1:2] != before[1:2]:
            return True
        value = bottom
    return False


def _is_upsampled(value: Value, makers: dict[Value, Node], shapes: dict[Value, IntShape]) -> bool:
    """Whether the last layer but crops and those without weights made the plane larger."""
    while value in makers and makers[value].bottoms:
        node = makers[value]
        after, before = shapes.get(value, ())[2:], shapes.get(node.bottoms[0], ())[2:]
        if not len(after) == len(before) == 2:
            return False
        if after[0] > before[0] and after[1] > before[1]:
            return True
        if type(node.layer).blobs is not Layer.blobs:
            return False
        value = node.bottoms[0]
    return False
