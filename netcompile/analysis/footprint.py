"""How much memory a net takes that computes: its weights, and its blobs one after the other or all at once.

A prototxt of a few lines can ask for any amount: the bound of `files.limits` is asked before a tensor is made.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import prod

from netcompile.analysis.cost import FLOAT, costs
from netcompile.analysis.shapes import Shapes
from netcompile.diagnostics.text import listed, shape_text
from netcompile.files.limits import require_memory, size_text
from netcompile.ir.graph import Graph, Node, Value


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes in float32: of the weights, of all blobs with the inputs, and of those that are there at once at the worst.

    `largest` is the blob that takes most, as text with its shape. What a library needs beside its arguments is not
    counted.
    """

    weights: int
    blobs: int
    peak: int
    largest: str


def footprint(graph: Graph, shapes: Shapes, kept: Collection[str] | None = None) -> Footprint:
    """The footprint at these shapes; `kept` are the blobs that stay to the end, by default the outputs."""
    size = {value: FLOAT * prod(shapes[value]) for value in graph.values() if value in shapes}
    if not size:
        return Footprint(0, 0, 0, "")
    owner = {value: value for value in size}
    last = dict.fromkeys(size, -1)
    for place, node in enumerate(graph.nodes):
        for bottom, top in zip(node.bottoms, node.tops, strict=False):
            if _shares(node) and {bottom, top} <= size.keys():
                owner[top] = owner[bottom]
        for value in (*node.bottoms, *node.tops):
            if value in size:
                last[owner[value]] = place
    ends = graph.outputs if kept is None else kept
    for blob in ends:
        end = graph.blobs.get(blob)
        if end is not None and end in owner:
            last[owner[end]] = len(graph.nodes)
    alive = peak = sum(size[entry.value] for entry in graph.inputs if entry.value in size)
    freed: dict[int, list[Value]] = {}
    for value, place in last.items():
        freed.setdefault(place, []).append(value)
    for place, node in enumerate(graph.nodes):
        alive += sum(size[top] for top in node.tops if owner.get(top) == top)
        peak = max(peak, alive)
        alive -= sum(size[value] for value in freed.get(place, ()))
    most = max(size, key=size.__getitem__)
    weights = sum(FLOAT * cost.parameters for cost in costs(graph, shapes))
    own = sum(count for value, count in size.items() if owner[value] == value)
    return Footprint(weights, own, peak, f"'{most.blob}' ({shape_text(shapes[most])})")


def _shares(node: Node) -> bool:
    return bool(node.bottoms and node.tops) and node.layer.shares_memory(len(node.bottoms), len(node.tops))


def require_weights(name: str, graph: Graph, shapes: Shapes) -> None:
    """Raises NetError where the weights of the net, `name`, alone take more memory than the bound."""
    require_memory(footprint(graph, shapes).weights, f"{name}: to hold the weights of the net")


def require_room(
    name: str, graph: Graph, shapes: Shapes, *, weights: int = 1, blobs: int = 0, kept: Collection[str] | None = None,
    itemsize: int = FLOAT,
) -> None:  # fmt: skip
    """Raises NetError where the net, `name`, would take more memory than the bound.

    That is `weights` times its weights, and `blobs` times all of its blobs; with 0 those that are there at once, of
    which `kept` are there to the end. `itemsize` is what a number takes.
    """
    found = footprint(graph, shapes, kept)
    total = (weights * found.weights + (blobs * found.blobs or found.peak)) * itemsize // FLOAT
    fed = [f"'{entry.value.blob}' of {shape_text(shapes.get(entry.value, entry.shape))}" for entry in graph.inputs]
    require_memory(
        total,
        f"{name}: to compute the net with {listed(fed, 3) or 'no input'}",
        why=f"weights {size_text(found.weights)}, blobs {size_text(found.blobs)}; the largest is {found.largest}",
        remedy="a smaller --input",
    )
