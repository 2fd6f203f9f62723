"""What a pass is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from netcompile.ir.graph import Graph, Node


@dataclass(frozen=True, slots=True)
class Skipped:
    """A site where a pass looked and did not apply, and why."""

    node: Node
    why: str


@dataclass(frozen=True, slots=True)
class Pass:
    """A rewrite ``Graph -> Graph`` and what it promises: "bitwise", or "within(rtol, atol)" of the literal net."""

    name: str
    preserves: str
    rewrite: Callable[[Graph], tuple[Graph, tuple[Skipped, ...]]]

    def run(self, graph: Graph) -> Graph:
        return self.rewrite(graph)[0]

    def explain(self, graph: Graph) -> tuple[Skipped, ...]:
        """Sites where the pass did not apply."""
        return self.rewrite(graph)[1]
