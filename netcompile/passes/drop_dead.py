"""Drop layers that no output needs.

Algebra: a value that no output is made from, directly or not, changes none of them.
Preserves: bitwise. A net built for training keeps everything: its losses are what it is for.
"""

from __future__ import annotations

from netcompile.ir.graph import Graph
from netcompile.passes.base import Facts, Pass, Rewritten


def rewrite(graph: Graph, facts: Facts) -> Rewritten:
    if graph.train:
        return graph, ()
    alive = {graph.blobs[blob] for blob in graph.outputs}
    kept = []
    for node in reversed(graph.nodes):
        if not alive.isdisjoint(node.tops):
            kept.append(node)
            alive.update(node.bottoms)
    if len(kept) == len(graph.nodes):
        return graph, ()
    made = {entry.value for entry in graph.inputs} | {top for node in kept for top in node.tops}
    blobs = {blob: value for blob, value in graph.blobs.items() if value in made}
    return graph.replace(nodes=tuple(reversed(kept)), blobs=blobs), ()


DROP_DEAD = Pass("drop-dead", "bitwise", rewrite)
