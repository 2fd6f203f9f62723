"""Rewrites of the graph, in the order in which they run. One file per pass; `PIPELINE` is the whole list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netcompile.ir.graph import Graph
from netcompile.passes.bands import BANDS
from netcompile.passes.base import NO_FACTS, Facts, Pass, Skipped
from netcompile.passes.drop_dead import DROP_DEAD
from netcompile.passes.drop_noops import DROP_NOOPS
from netcompile.passes.fuse_convolution import FUSE_CONVOLUTION
from netcompile.passes.image_window import IMAGE_WINDOW
from netcompile.passes.upsampling import UPSAMPLING
from netcompile.passes.window_layers import Surround

PIPELINE: tuple[tuple[int, Pass], ...] = (  # (lowest -O level, pass)
    (1, DROP_NOOPS),
    (2, DROP_DEAD),
    (2, FUSE_CONVOLUTION),
    (2, UPSAMPLING),
    (2, IMAGE_WINDOW),
)


@dataclass(frozen=True, slots=True)
class Optimised:
    """A graph after its passes.

    `windowed`, where there is one, runs in its place when no gradient is wanted: it takes frames that `graph` makes.
    """

    graph: Graph
    windowed: Graph | None = None
    skipped: tuple[tuple[str, Skipped], ...] = ()  # (pass, site)


def optimise(graph: Graph, level: int, facts: Facts = NO_FACTS, outputs: Sequence[str] | None = None) -> Optimised:
    """The graph after every pass of the level. Level 0 is the literal net.

    `outputs` are the blobs that must survive, by default the net's own; from level 2 on others may vanish.
    """
    if level >= 2 and outputs is not None:
        graph = graph.replace(outputs=tuple(outputs))
    skipped: list[tuple[str, Skipped]] = []
    for least, step in PIPELINE:
        if level < least:
            continue
        before = graph
        graph, sites = step.rewrite(graph, facts)
        skipped += [(step.name, site) for site in sites]
        if any(isinstance(node.layer, Surround) for node in graph.nodes):
            windowed, sites = BANDS.rewrite(graph, facts)
            skipped += [(BANDS.name, site) for site in sites]
            return Optimised(before, windowed, tuple(skipped))
    return Optimised(graph, None, tuple(skipped))
