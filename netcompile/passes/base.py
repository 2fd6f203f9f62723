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
class Facts:
    """What is known of how the net will run, and of the weights' values by (layer, occurrence), given weights.

    `diagonal`: Deconvolutions in which channel i of the bottom feeds channel i of the top alone. `bilinear`: those
    of them whose every kernel is that of bilinear interpolation, exactly. `float32`: the net is not for another type.
    """

    known: bool = False
    diagonal: frozenset[tuple[str, int]] = frozenset()
    bilinear: frozenset[tuple[str, int]] = frozenset()
    float32: bool = True


NO_FACTS = Facts()
Rewritten = tuple[Graph, tuple[Skipped, ...]]


@dataclass(frozen=True, slots=True)
class Pass:
    """A rewrite ``Graph -> Graph`` and what it promises: "bitwise", or "within(rtol, atol)" of the literal net.

    What must survive is `graph.outputs`; other blobs may vanish from `graph.blobs`.
    """

    name: str
    preserves: str
    rewrite: Callable[[Graph, Facts], Rewritten]

    def run(self, graph: Graph, facts: Facts = NO_FACTS) -> Graph:
        return self.rewrite(graph, facts)[0]

    def explain(self, graph: Graph, facts: Facts = NO_FACTS) -> tuple[Skipped, ...]:
        """Sites where the pass did not apply."""
        return self.rewrite(graph, facts)[1]
