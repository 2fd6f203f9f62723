"""Drop layers that do nothing at inference.

Algebra: if ``top = bottom`` for every input (Dropout at test, Split, Power with power 1, scale 1, shift 0), then
every use of the top is a use of the bottom. The blob keeps its name: its final value is now the bottom's. Bitwise.
In a net built for training a Dropout is no identity, and stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from netcompile.ir.graph import Node, Value
from netcompile.passes.base import TRAINED, Pass, Program, Site


def match(program: Program) -> Iterator[Site[None]]:
    train = program.graph.train
    for node in program.graph.nodes:
        if len(node.bottoms) == 1 and (node.layer.is_noop(train) or node.layer.is_noop(False)):
            yield Site(node, None)


def check(program: Program, site: Site[None]) -> str:
    return "" if site.node.layer.is_noop(program.graph.train) else TRAINED


def rewrite(program: Program, sites: Sequence[Site[None]]) -> Program:
    graph, gone = program.graph, {id(site.node) for site in sites}
    alias: dict[Value, Value] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        bottoms = tuple(alias.get(bottom, bottom) for bottom in node.bottoms)
        if id(node) in gone:
            alias.update(dict.fromkeys(node.tops, bottoms[0]))
        else:
            nodes.append(node if bottoms == node.bottoms else replace(node, bottoms=bottoms))
    blobs = {blob: alias.get(value, value) for blob, value in graph.blobs.items()}
    return replace(program, graph=graph.replace(nodes=tuple(nodes), blobs=blobs))


DROP_NOOPS = Pass("drop-noops", 0, match, rewrite, check)
