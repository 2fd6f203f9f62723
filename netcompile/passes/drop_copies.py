"""Leave out the copy behind a Permute where a Flatten makes one anyway.

Algebra: axes in another order are a view; to flatten all axes that moved puts the elements into a new order, and copies
them unless they lie in it. What comes out is the same, at the same places in memory. Bitwise.
The value in between must have no other use: whoever else reads it may compute in the order that memory has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netcompile.ir.graph import Node
from netcompile.layers.reshaping import Flatten
from netcompile.layers.shaping_variants import Permute
from netcompile.passes.base import Pass, Program, Site, as_kind
from netcompile.passes.nodes.permute import PermutedView

Copy = Site[Node]  # a Flatten, and the Permute before it


def match(program: Program) -> Iterator[Copy]:
    """Every Flatten of all that a Permute before it has moved."""
    made = {node.tops[0]: node for node in program.graph.nodes if type(node.layer) is Permute}
    for node in program.graph.nodes if made and program.legal else ():
        if isinstance(node.layer, Flatten) and node.bottoms[0] in made:
            before = made[node.bottoms[0]]
            bottom = program.shapes[before.bottoms[0]]
            start, end = node.layer.span(len(bottom))
            if end == len(bottom) and all(axis >= start for axis in before.layer.mixes(False, bottom) or ()):
                yield Site(node, before)


def check(program: Program, site: Copy) -> str:
    value = site.node.bottoms[0]
    return f"'{value.blob}' has another use" if program.uses[value] > 1 else ""


def rewrite(program: Program, sites: Sequence[Copy]) -> Program:
    return program.with_layers((site.found, as_kind(PermutedView, site.found.layer)) for site in sites)


DROP_COPIES = Pass("drop-copies", 0, match, rewrite, check)
