"""What a net's outputs hold: scores, probabilities or labels."""

from __future__ import annotations

from netcompile.ir.graph import Graph, Value


def output_kinds(graph: Graph) -> dict[str, str]:
    """What the outputs hold that are no plain scores: "probabilities" (of Softmax, Sigmoid) or "labels" (of ArgMax).

    Layers that only choose or average pixels keep them what they are.
    """
    contents: dict[Value, str] = {}
    for node in graph.nodes:
        found = node.layer.content(*(contents.get(bottom, "") for bottom in node.bottoms))
        contents.update(dict.fromkeys(node.tops, found))
    return {blob: contents[value] for blob, value in graph.blobs.items() if contents.get(value)}
