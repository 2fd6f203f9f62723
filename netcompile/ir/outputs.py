"""What comes out of a net: the blobs that no layer takes (Caffe's), or else what only its last layers take."""

from __future__ import annotations

from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.diagnostics.source import Span
from netcompile.ir.graph import Graph
from netcompile.layers.base import AUTOMATIC


def with_outputs(graph: Graph, place: Span) -> Graph:
    """The graph with outputs where Caffe names none: what a loss without a top makes, or what only layers without tops
    (Silence, HDF5Output) take. Raises NetError for a net of which nothing comes out, at `place` if no layer is left.
    """
    if graph.outputs:
        return graph
    consumers = graph.consumers()
    made = {top for node in graph.nodes for top in node.tops}
    ends = [blob for blob, value in graph.blobs.items() if value in made]
    automatic = [blob for blob in ends if blob == AUTOMATIC]
    found = automatic or [blob for blob in ends if all(not node.tops for node in consumers.get(graph.blobs[blob], ()))]
    if found:
        return graph.replace(outputs=tuple(found))
    last = graph.nodes[-1].message if graph.nodes else graph.inputs[-1].message if graph.inputs else None
    raise NetError(
        Diagnostic(
            "no-outputs",
            "nothing comes out of this net",
            place if last is None else last.span_of("type"),
            why="no layer makes a blob that another one does not take",
            remedy="give the last layer a top; or --phase train, --stage, if that is where the layers are",
        ),
        graph,
    )
