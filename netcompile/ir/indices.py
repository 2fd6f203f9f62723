"""Which values are whole numbers that name something: places, classes, rows. No float type may round them.

A pooling's mask, an ArgMax, labels: bfloat16 keeps 8 bits of a number, so that place 257 of a plane would become 256.
Such values are int64 in emitted code, layers that read indices take them in whatever type they come, and every other
layer gets them in the type of the rest of the net.
"""

from __future__ import annotations

from netcompile.ir.graph import Graph, Node, Value


def indices(graph: Graph) -> frozenset[Value]:
    """The values that hold indices: what layers make as such, inputs that layers read as such, and parts of them."""
    found = index_inputs(graph)
    for node in graph.nodes:
        found.update(node.tops[top] for top in node.layer.index_tops() if top < len(node.tops))
        moved = moves(node)
        if len(moved) == len(node.tops):  # one top of each
            found.update(top for bottom, top in zip(moved, node.tops, strict=True) if bottom in found)
        elif moved and found.issuperset(moved):
            found.update(node.tops)
    return frozenset(found)


def index_inputs(graph: Graph) -> set[Value]:
    """The inputs that some layer reads as indices, directly or through layers that only move elements."""
    wanted: set[Value] = set()
    for node in reversed(graph.nodes):
        wanted.update(node.bottoms[place] for place in read_as_indices(node))
        if not wanted.isdisjoint(node.tops):
            wanted.update(moves(node))
    return {entry.value for entry in graph.inputs if entry.value in wanted}


def read_as_indices(node: Node) -> tuple[int, ...]:
    """The places of the bottoms that a layer reads as indices."""
    count = len(node.bottoms)
    if not node.layer.index_bottoms:
        return ()
    return tuple(place % count for place in node.layer.index_bottoms if -count <= place < count)


def moves(node: Node) -> tuple[Value, ...]:
    """The bottoms whose elements are the tops', in another order or shape; none for a layer that computes."""
    return () if node.layer.moves is None else node.bottoms[node.layer.moves]
