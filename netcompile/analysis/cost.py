"""What a layer costs: learnable numbers, multiply-accumulates of one forward pass, bytes of its tops."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import prod

from netcompile.analysis import follow
from netcompile.analysis.follow import Unfollowed
from netcompile.analysis.shapes import Shapes
from netcompile.ir.graph import Graph, Node
from netcompile.layers.base import IntShape

FLOAT = 4  # bytes of a float32


@dataclass(frozen=True, slots=True)
class Cost:
    """One layer. `parameters` counts the blobs that it owns: a shared one counts for its owner only."""

    blobs: tuple[IntShape, ...]
    parameters: int
    macs: int
    activations: int  # bytes, float32; 0 for tops that take the place of a bottom


def costs(graph: Graph, shapes: Shapes) -> tuple[Cost, ...]:
    """The cost of every node, for the numbers in `shapes`; a layer without a shape has no known cost."""
    owned: set[str] = set()
    known: dict[Hashable, tuple[tuple[IntShape, ...], int] | None] = {}  # of layers that are alike
    return tuple(_cost(node, shapes, owned, known) for node in graph.nodes)


def _cost(
    node: Node, shapes: Shapes, owned: set[str], known: dict[Hashable, tuple[tuple[IntShape, ...], int] | None]
) -> Cost:
    if any(value not in shapes for value in (*node.bottoms, *node.tops)):
        return Cost((), 0, 0, 0)
    bottoms = tuple(shapes[b] for b in node.bottoms)
    tops = tuple(shapes[t] for t in node.tops)
    key = id(node.layer), bottoms, tops
    if key not in known:
        known[key] = _asked(node, bottoms, tops)
    answer = known[key]
    if answer is None:
        return Cost((), 0, 0, 0)
    blobs, macs = answer
    parameters = 0
    for index, shape in enumerate(blobs):
        shared = node.params[index].name if index < len(node.params) else ""
        if not shared or shared not in owned:
            parameters += prod(shape)
        if shared:
            owned.add(shared)
    in_place = {b.blob for b in node.bottoms}
    bytes_ = sum(FLOAT * prod(s) for t, s in zip(node.tops, tops, strict=True) if t.blob not in in_place)
    return Cost(blobs, parameters, macs, bytes_)


def _asked(
    node: Node, bottoms: Sequence[IntShape], tops: Sequence[IntShape]
) -> tuple[tuple[IntShape, ...], int] | None:
    """The shapes of a layer's blobs, and its multiply-accumulates; None where it refuses, which is told elsewhere."""
    specs, macs = follow.blobs(node, bottoms), follow.macs(node, bottoms, tops)
    if isinstance(specs, Unfollowed) or isinstance(macs, Unfollowed):
        return None
    return tuple(spec.shape for spec in specs), macs
