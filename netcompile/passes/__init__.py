"""Rewrites of the graph, in the order in which they run. One file per pass; `PIPELINE` is the whole list."""

from __future__ import annotations

from netcompile.ir.graph import Graph
from netcompile.passes.base import Pass
from netcompile.passes.drop_noops import DROP_NOOPS

PIPELINE: tuple[tuple[int, Pass], ...] = ((1, DROP_NOOPS),)  # (lowest -O level, pass)


def optimise(graph: Graph, level: int) -> Graph:
    """The graph after every pass of the level. Level 0 is the literal net."""
    for least, step in PIPELINE:
        if level >= least:
            graph = step.run(graph)
    return graph
