"""The net as a graph for other programs: DOT for Graphviz, GraphML for everything that draws or counts graphs.

Nodes are layers, edges are blobs with shape, stride and offset, so that two edges may join the same two layers.
"""

from __future__ import annotations

from typing import Any

from netcompile.analyser import Analysed
from netcompile.analysis.cost import costs
from netcompile.diagnostics.text import shape_text
from netcompile.diagnostics.visible import visible
from netcompile.report.formatting import exact_text, offsets, pair_text, strides
from netcompile.report.offsets import coordinates_of

COLOURS = {  # fill by family, readable in black; the type is written as well
    "convolution": "#cfe2f3",
    "upsampling": "#d9d2e9",
    "pooling": "#d9ead3",
    "crop": "#fce5cd",
    "join": "#fff2cc",
    "input": "#eeeeee",
}


def as_networkx(analysed: Analysed) -> Any:
    """`Graph.to_networkx` with plain attributes: name, type, line of a layer; blob, shape, stride, offset of an edge,
    and what a layer costs."""
    graph = analysed.graph.to_networkx()
    spent = costs(analysed.graph, analysed.shapes)
    for index, (node, cost) in enumerate(zip(analysed.graph.nodes, spent, strict=True)):
        attributes = graph.nodes[f"{index}:{node.name}"]
        attributes.update(parameters=cost.parameters, macs=cost.macs, activation_bytes=cost.activations)
        for bottom, value in enumerate(node.bottoms):
            for _, _, edge in graph.in_edges(f"{index}:{node.name}", data=True):
                if edge["bottom"] == bottom:
                    maps = coordinates_of(analysed, value)
                    edge["shape"] = shape_text(analysed.shapes.get(value))
                    edge["size"] = exact_text(analysed.symbolic.shapes.get(value), analysed.shapes.get(value))
                    edge["stride"] = pair_text(strides(maps))
                    edge["offset"] = pair_text(offsets(maps))
    return graph


def graphml(analysed: Analysed) -> str:
    """GraphML, the same text for the same net."""
    import networkx as nx

    graph = as_networkx(analysed)
    made = nx.MultiDiGraph(name=_legal(str(graph.graph.get("name", ""))))
    for key, attributes in graph.nodes(data=True):
        made.add_node(_legal(key), **{k: _legal(v) for k, v in attributes.items()})
    for tail, head, attributes in graph.edges(data=True):
        made.add_edge(_legal(tail), _legal(head), **{k: _legal(v) for k, v in attributes.items()})
    return "\n".join(nx.generate_graphml(made)) + "\n"


def _legal(value: Any) -> Any:
    """Text without the characters that XML cannot hold."""
    return visible(value) if isinstance(value, str) else value


def dot(analysed: Analysed) -> str:
    """Graphviz's language, the same text for the same net."""
    graph = as_networkx(analysed)
    lines = [
        f"digraph {_quoted(str(graph.graph.get('name', '')))} {{",
        '  node [shape=box, style="rounded,filled", fillcolor=white, fontname="sans-serif"];',
        '  edge [fontname="sans-serif", fontsize=10];',
    ]
    layers = [*(entry.layer for entry in analysed.graph.inputs), *(node.layer for node in analysed.graph.nodes)]
    for (key, attributes), layer in zip(graph.nodes(data=True), layers, strict=True):
        label = _quoted(f"{attributes['name']}\n{attributes['type']}")
        colour = COLOURS.get(layer.family)
        fill = f', fillcolor="{colour}"' if colour else ""
        lines.append(f"  {_quoted(key)} [label={label}{fill}];")
    for tail, head, attributes in graph.edges(data=True):
        grid = f"\nstride {attributes['stride']}, offset {attributes['offset']}" if attributes["stride"] != "-" else ""
        lines.append(f"  {_quoted(tail)} -> {_quoted(head)} [label={_quoted(attributes['size'] + grid)}];")
    return "\n".join(lines) + "\n}\n"


def _quoted(text: str) -> str:
    """A DOT string: backslashes and quotes escaped, line ends as its own \\n."""
    rows = [visible(row).replace("\\", "\\\\").replace('"', '\\"') for row in text.split("\n")]
    return '"' + "\\n".join(rows) + '"'
