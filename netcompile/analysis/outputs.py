"""What a net's outputs hold: scores, probabilities or labels."""

from __future__ import annotations

from netcompile.ir.graph import Graph

KINDS = {"Softmax": "probabilities", "Sigmoid": "probabilities", "ArgMax": "labels"}
_KEEPING = ("Crop", "Split", "Slice", "Dropout", "Reshape", "Pooling", "Interp")


def output_kinds(graph: Graph) -> dict[str, str]:
    """What the outputs hold that are no plain scores: "probabilities" (of Softmax, Sigmoid) or "labels" (of ArgMax).

    Layers that only choose or average pixels are looked through.
    """
    producers, found = graph.producers(), {}
    for blob, value in graph.blobs.items():
        node = producers.get(value)
        while node is not None and node.type in _KEEPING:
            node = producers.get(node.bottoms[0])
        if node is not None and node.type in KINDS:
            found[blob] = KINDS[node.type]
    return found
