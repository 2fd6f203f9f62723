"""Leave out what nobody needs: layers beside the outputs asked for, labels at inference.

Inference needs no labels: the losses and metrics of a training net go, and the data tops that only they need. A top of
a data layer is a *label* if everything made from it, through layers without parameters, ends in losses, metrics or
Silence. Input layers are never touched: who writes one means it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.diagnostics.nearest import did_you_mean, nearest
from netcompile.ir.graph import Cut, Graph, Node, Value
from netcompile.layers.base import Layer


def for_inference(graph: Graph, keep: frozenset[str]) -> tuple[Graph, list[Diagnostic]]:
    """The graph without its labels, without what needs them, and without losses that nobody here computes; with a note
    for each layer dropped. `keep` names labels that stay.
    """
    graph, dropped = _without_labels(graph, keep)
    graph, foreign = _without_foreign(graph)
    return graph, [*dropped, *foreign]


def _without_labels(graph: Graph, keep: frozenset[str]) -> tuple[Graph, list[Diagnostic]]:
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
    notes = [_dropped(node, "with the label that it needs") for node in graph.nodes if id(node) in gone]
    return _rebuild(graph, nodes, labels), notes


def _without_foreign(graph: Graph) -> tuple[Graph, list[Diagnostic]]:
    """The graph without losses and metrics of forks that nobody here computes, where no other layer reads them."""
    consumers = graph.consumers()
    gone = [
        node
        for node in graph.nodes
        if node.layer.is_measure and not node.layer.computed and not any(consumers.get(top) for top in node.tops)
    ]
    if not gone or len(gone) == len(graph.nodes):
        return graph, []
    dropped = {id(node) for node in gone}
    nodes = tuple(node for node in graph.nodes if id(node) not in dropped)
    idle = {entry.value for entry in graph.inputs} - {b for node in nodes for b in node.bottoms}
    labels = {value for value in idle if any(node.layer.is_measure for node in consumers.get(value, ()))}
    return _rebuild(graph, nodes, labels), [_dropped(node, "as a part of training") for node in gone]


def _dropped(node: Node, how: str) -> Diagnostic:
    return Diagnostic(
        "label-dropped",
        f"layer '{node.name}' ({node.type}) vanishes at inference {how}",
        node.message.span_of("type"),
        severity="note",
        remedy="--with-loss keeps it",
    )


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
    kept = {id(node) for node in nodes}
    taught = {
        node.bottoms[0]: node.layer.taught
        for node in graph.nodes
        if id(node) not in kept and node.layer.taught and node.bottoms and node.bottoms[0] in alive
    }
    return graph.replace(inputs=inputs, nodes=nodes, outputs=outputs, blobs=blobs, taught={**graph.taught, **taught})


def named_blobs(asked: Iterable[str], known: Mapping[str, object]) -> tuple[tuple[str, ...], list[Diagnostic]]:
    """The blobs that ``--output`` names, each once, and a finding for every name that the net lacks.

    ``A,B`` are two, unless the net has a blob of just that name.
    """
    names: list[str] = []
    for text in asked:
        names += [text] if text in known or "," not in text else [name for name in text.split(",") if name]
    return tuple(dict.fromkeys(names)), [unknown_blob(name, known) for name in names if name not in known]


def unknown_blob(name: str, known: Iterable[str]) -> Diagnostic:
    """That the net has no blob of this name, and which of its own are near."""
    remedy = did_you_mean(nearest(name, known, 3, 0.75))
    return Diagnostic("unknown-blob", f"the net has no blob '{name}'", remedy=remedy)


class Maker(Protocol):
    """A layer as far as it counts here: what it reads, and what it makes."""

    @property
    def bottoms(self) -> tuple[Value, ...]: ...

    @property
    def tops(self) -> tuple[Value, ...]: ...


def needed(layers: Iterable[Maker], wanted: Iterable[Value]) -> set[Value]:
    """All values that these are computed from, they themselves and what layers make besides included."""
    makers = {top: layer for layer in layers for top in layer.tops}
    found = set(wanted)
    work = list(found)
    while work:
        maker = makers.get(work.pop())
        if maker is not None:
            new = {*maker.bottoms, *maker.tops} - found
            found |= new
            work += new
            for top in maker.tops:  # asked already
                makers.pop(top, None)
    return found


def cut(graph: Graph, names: Sequence[str], wanted: set[Value], also: Iterable[tuple[str, int]] = ()) -> Graph:
    """The graph with these outputs, of layers and inputs that make a wanted value; `also` are cut with the others."""
    nodes = tuple(node for node in graph.nodes if not wanted.isdisjoint(node.tops))
    gone = [(node.name, node.occurrence) for node in graph.nodes if wanted.isdisjoint(node.tops)]
    alive = {value.blob: value for value in sorted(wanted, key=lambda value: value.version)}
    return graph.replace(
        inputs=tuple(entry for entry in graph.inputs if entry.value in wanted),
        nodes=nodes,
        outputs=tuple(names),
        blobs={blob: alive[blob] for blob, value in graph.blobs.items() if blob in alive}
        | {blob: value for blob, value in graph.blobs.items() if value in wanted},
        cut=Cut(
            frozenset([*gone, *also]),
            frozenset(entry.value.blob for entry in graph.inputs if entry.value not in wanted),
        ),
    )
