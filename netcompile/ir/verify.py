"""Whether a graph is what a graph must be; for tests of passes and for authors of new ones."""

from __future__ import annotations

from netcompile.ir.graph import Graph, Value


class InvalidGraph(Exception):
    """A pass made a graph that breaks single assignment or order: a bug, never a user's mistake."""


def verify(graph: Graph) -> None:
    """Every value is written once and before it is read; outputs exist. Raises InvalidGraph."""
    known: set[Value] = set()

    def write(value: Value, by: str) -> None:
        if value in known:
            raise InvalidGraph(f"{value} is written again by {by}")
        known.add(value)

    for entry in graph.inputs:
        write(entry.value, "an input")
    for node in graph.nodes:
        for bottom in node.bottoms:
            if bottom not in known:
                raise InvalidGraph(f"layer '{node.name}' reads {bottom} before it is written")
        for top in node.tops:
            write(top, f"layer '{node.name}'")
    for blob, value in graph.blobs.items():
        if value not in known:
            raise InvalidGraph(f"blob '{blob}' is {value}, which nobody writes")
    for blob in graph.outputs:
        if blob not in graph.blobs:
            raise InvalidGraph(f"output '{blob}' is no blob of the net")
