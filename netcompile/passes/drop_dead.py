"""Drop layers that no output needs.

Algebra: a value that no output is made from, directly or not, changes none of them. Bitwise.
A net built for training keeps everything: its losses are what it is for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netcompile.ir.prune import needed
from netcompile.passes.base import TRAINED, Pass, Program, Site


def match(program: Program) -> Iterator[Site[None]]:
    alive = needed(program.graph.nodes, (program.graph.blobs[blob] for blob in program.graph.outputs))
    return (Site(node, None) for node in program.graph.nodes if alive.isdisjoint(node.tops))


def check(program: Program, site: Site[None]) -> str:
    return TRAINED if program.graph.train else ""


def rewrite(program: Program, sites: Sequence[Site[None]]) -> Program:
    dead = {id(site.node) for site in sites}
    return program.with_nodes(node for node in program.graph.nodes if id(node) not in dead)


DROP_DEAD = Pass("drop-dead", 0, match, rewrite, check)
