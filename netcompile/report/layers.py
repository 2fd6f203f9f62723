"""From an analysed net to the layer half of its report."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import prod

from netcompile.analyser import Analysed
from netcompile.analysis.cost import FLOAT, Cost, costs
from netcompile.analysis.receptive import Fields, receptive_fields
from netcompile.ir.graph import Graph, Input, Node
from netcompile.report.layer_model import LayerLine, Layers
from netcompile.report.model import ReceptiveField
from netcompile.report.offsets import blob_line, blob_lines


def layers_report(analysed: Analysed, most: int | None = None) -> Layers:
    """Every layer in the file's order, data layers included, with what it makes and what it costs.

    With `most` the first layers alone have lines, and blobs none, as on a page; the totals are the whole net's.
    """
    graph = analysed.graph
    entries = in_file_order(graph)
    shown = entries[:most]
    fields = receptive_fields(_up_to(graph, shown) if len(shown) < len(entries) else graph, analysed.shapes)
    known = dict(zip(map(id, graph.nodes), costs(graph, analysed.shapes), strict=True))
    spent = [_of_inputs(entry) if isinstance(entry, tuple) else known[id(entry)] for entry in entries]
    lines = []
    for entry, cost in zip(shown, spent, strict=False):
        if isinstance(entry, tuple):
            message, name = entry[0].message, entry[0].message.get("name")
            bottoms, tops = tuple[str, ...](), tuple(source.value for source in entry)
        else:
            message, name = entry.message, entry.name
            bottoms, tops = tuple(bottom.blob for bottom in entry.bottoms), entry.tops
        made = tuple(blob_line(analysed, top.blob, top, _field(fields.get(top))) for top in tops)
        numbers = cost.parameters, cost.macs, cost.activations
        lines.append(LayerLine(name, message.get("type"), message.span.line, bottoms, made, cost.blobs, *numbers))
    return Layers(
        analysed.name,
        analysed.source.name,
        "train" if graph.train else "test",
        tuple(entry.value.blob for entry in graph.inputs if not entry.declared),
        graph.outputs,
        tuple(lines),
        blob_lines(analysed) if most is None else (),
        sum(cost.parameters for cost in spent),
        sum(cost.macs for cost in spent),
        sum(cost.activations for cost in spent),
        len(entries) - len(shown),
    )


def _of_inputs(inputs: tuple[Input, ...]) -> Cost:
    """What a data layer costs: the memory of its tops."""
    return Cost((), 0, 0, sum(FLOAT * prod(source.shape) for source in inputs))


def _up_to(graph: Graph, shown: Sequence[Node | tuple[Input, ...]]) -> Graph:
    """The graph up to the last of these layers."""
    last = next((entry for entry in reversed(shown) if not isinstance(entry, tuple)), None)
    end = next((index for index, node in enumerate(graph.nodes, 1) if node is last), 0)
    return graph.replace(nodes=graph.nodes[:end])


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
    size, stride, centre = high.size, high.stride, high.centre
    if wide is high:  # most nets are square
        return ReceptiveField((size, size), (stride, stride), (centre, centre))
    return ReceptiveField((size, wide.size), (stride, wide.stride), (centre, wide.centre))
