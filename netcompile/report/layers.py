"""From an analysed net to the layer half of its report."""

from __future__ import annotations

from collections import deque
from math import prod

from netcompile.analyser import Analysed
from netcompile.analysis.cost import FLOAT, costs
from netcompile.analysis.receptive import Fields, receptive_fields
from netcompile.ir.graph import Graph, Input, Node
from netcompile.report.model import LayerLine, Layers, ReceptiveField
from netcompile.report.offsets import blob_line, blob_lines


def layers_report(analysed: Analysed) -> Layers:
    """Every layer in the file's order, data layers included, with what it makes and what it costs."""
    graph = analysed.graph
    fields = receptive_fields(graph, analysed.shapes)
    cost = dict(zip(map(id, graph.nodes), costs(graph, analysed.shapes), strict=True))
    lines = []
    bottoms: tuple[str, ...]
    blobs: tuple[tuple[int, ...], ...]
    for entry in in_file_order(graph):
        if isinstance(entry, tuple):
            message, name = entry[0].message, entry[0].message.get("name")
            bottoms, tops, blobs = (), tuple(source.value for source in entry), ()
            numbers = (0, 0, sum(FLOAT * prod(source.shape) for source in entry))
        else:
            spent, message, name = cost[id(entry)], entry.message, entry.name
            bottoms, tops, blobs = tuple(bottom.blob for bottom in entry.bottoms), entry.tops, spent.blobs
            numbers = (spent.parameters, spent.macs, spent.activations)
        shown = tuple(blob_line(analysed, top.blob, top, _field(fields.get(top))) for top in tops)
        lines.append(LayerLine(name, message.get("type"), message.span.line, bottoms, shown, blobs, *numbers))
    return Layers(
        analysed.name,
        analysed.source.name,
        "train" if graph.train else "test",
        tuple(entry.value.blob for entry in graph.inputs if not entry.declared),
        graph.outputs,
        tuple(lines),
        blob_lines(analysed),
        sum(line.parameters for line in lines),
        sum(line.macs for line in lines),
        sum(line.activations for line in lines),
    )


def in_file_order(graph: Graph) -> list[Node | tuple[Input, ...]]:
    """Layers as the file has them: a node, or the inputs that one data layer became."""
    nodes = {(node.name, node.occurrence): node for node in graph.nodes}
    sources: dict[str, deque[tuple[Input, ...]]] = {}
    layers: dict[int, list[Input]] = {}
    for entry in graph.inputs:
        layers.setdefault(id(entry.message), []).append(entry)
    for inputs in layers.values():
        sources.setdefault(inputs[0].message.get("name") or "", deque()).append(tuple(inputs))
    found: list[Node | tuple[Input, ...]] = []
    seen: dict[str, int] = {}
    for name in graph.order:
        occurrence = seen.get(name, 0)
        seen[name] = occurrence + 1
        node = nodes.pop((name, occurrence), None)
        if node is not None:
            found.append(node)
        elif sources.get(name):
            found.append(sources[name].popleft())
    return found


def _field(fields: Fields | None) -> ReceptiveField | None:
    if fields is None:
        return None
    high, wide = fields
    return ReceptiveField((high.size, wide.size), (high.stride, wide.stride), (high.centre, wide.centre))
