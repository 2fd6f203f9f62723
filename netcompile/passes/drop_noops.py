"""Drop layers that do nothing at inference.

Algebra: if ``top = bottom`` for every input (Dropout at test, Split, Power with power 1, scale 1, shift 0), then
every use of the top is a use of the bottom. The blob keeps its name: its final value is now the bottom's.
Preserves: bitwise. A layer of a net built for training stays: there Dropout is no identity.
"""

from __future__ import annotations

from dataclasses import replace

from netcompile.ir.graph import Graph, Value
from netcompile.passes.base import Facts, Pass, Skipped


def rewrite(graph: Graph, facts: Facts) -> tuple[Graph, tuple[Skipped, ...]]:
    alias: dict[Value, Value] = {}
    nodes, skipped = [], []
    for node in graph.nodes:
        if any(b in alias for b in node.bottoms):
            node = replace(node, bottoms=tuple(alias.get(b, b) for b in node.bottoms))
        if node.layer.is_noop(graph.train) and len(node.bottoms) == 1:
            alias.update(dict.fromkeys(node.tops, node.bottoms[0]))
            continue
        if graph.train and node.layer.is_noop(False):
            skipped.append(Skipped(node, "the net is built for phase TRAIN"))
        nodes.append(node)
    if not alias:
        return graph, tuple(skipped)
    changed = graph.replace(
        nodes=tuple(nodes),
        blobs={blob: alias.get(v, v) for blob, v in graph.blobs.items()},
    )
    return changed, tuple(skipped)


DROP_NOOPS = Pass("drop-noops", "bitwise", rewrite)
