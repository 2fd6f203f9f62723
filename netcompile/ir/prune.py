"""Inference needs no labels: drop the losses and metrics of a training net, and the data tops that only they need.

A top of a data layer is a *label* if everything made from it, through layers without parameters, ends in losses,
metrics or Silence. Input layers are never touched: who writes one means it.
"""

from __future__ import annotations

from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import Layer
from netcompile.prototxt.diagnostic import Diagnostic


def without_labels(graph: Graph, keep: frozenset[str]) -> tuple[Graph, list[Diagnostic]]:
    """The graph without its labels and with a note for each layer dropped; `keep` names labels that stay."""
    sources = [entry.value for entry in graph.inputs if entry.layer.type != "Input" and entry.value.blob not in keep]
    if not sources:
        return graph, []
    consumers = graph.consumers()
    gone: set[int] = set()
    labels: set[Value] = set()
    for source in sources:
        fate = _only_measured(source, consumers)
        if fate is not None:
            labels.add(source)
            gone |= fate
    # A net that would be left with nothing keeps everything: then the "labels" are what it works on.
    if len(labels) == len(graph.inputs):
        return graph, []
    nodes = tuple(node for node in graph.nodes if id(node) not in gone)
    notes = [
        Diagnostic(
            "label-dropped",
            f"layer '{node.name}' ({node.type}) vanishes at inference with the label that it needs",
            node.message.span_of("type"),
            severity="note",
            remedy="--with-loss keeps it",
        )
        for node in graph.nodes
        if id(node) in gone
    ]
    return _rebuild(graph, nodes, labels), notes


def _only_measured(source: Value, consumers: dict[Value, list[Node]]) -> set[int] | None:
    """The nodes (by id) that live off `source` alone if all its paths end in measures; None if some path does not."""
    found: set[int] = set()
    work = [source]
    while work:
        value = work.pop()
        users = consumers.get(value, [])
        if not users and value is not source:
            return None
        for node in users:
            if id(node) in found:
                continue
            ends = node.layer.is_measure or not node.tops
            if not ends and (len(node.bottoms) > 1 or type(node.layer).blobs is not Layer.blobs):
                return None
            found.add(id(node))
            # What a loss makes may serve further losses: labels of examples, losses to choose hard ones by.
            work += [top for top in node.tops if not ends or consumers.get(top)]
    return found


def _rebuild(graph: Graph, nodes: tuple[Node, ...], dropped: set[Value]) -> Graph:
    inputs = tuple(entry for entry in graph.inputs if entry.value not in dropped)
    alive = {entry.value for entry in inputs} | {top for node in nodes for top in node.tops}
    consumed = {bottom for node in nodes for bottom in node.bottoms}
    blobs = {blob: value for blob, value in graph.blobs.items() if value in alive}
    outputs = tuple(blob for blob, value in blobs.items() if value not in consumed)
    fed = {entry.value.blob for entry in inputs}
    if not fed.issuperset(outputs):
        outputs = tuple(blob for blob in outputs if blob not in fed or blob in graph.outputs)
    return graph.replace(inputs=inputs, nodes=nodes, outputs=outputs, blobs=blobs)
