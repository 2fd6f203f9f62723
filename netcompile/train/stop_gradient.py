"""No gradient goes to a bottom that its layer declares ``propagate_down: false``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from netcompile.layers.base import NO_AXES, Arity, Emission, Emitted, Layer, Shape
from netcompile.passes.base import Pass, Program, Site
from netcompile.train.labels import CheckedLabels


@dataclass(frozen=True, slots=True)
class StopGradient(Layer):
    """Passes its bottom on and no gradient back: what ``propagate_down: false`` says of a bottom."""

    type: ClassVar[str] = "StopGradient"
    arity: ClassVar[Arity] = Arity(bottoms=1, tops=1)
    moves: ClassVar[slice | None] = slice(None)
    mixed: ClassVar[frozenset[int] | None] = NO_AXES

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (bottoms[0],)

    def emit(self, e: Emission) -> Emitted:
        return Emitted((f"{e.y[0]} = {e.x[0]}.detach()",))


def match(program: Program) -> Iterator[Site[int]]:
    """Every layer with a bottom, told by its place, that gets no gradient."""
    nodes = program.graph.nodes
    done = {id(node.message) for node in nodes if isinstance(node.layer, StopGradient)}
    for node in nodes:
        if isinstance(node.layer, CheckedLabels) or id(node.message) in done:
            continue
        for index, passes in enumerate(node.message.all("propagate_down")):
            if not passes and index < len(node.bottoms):
                yield Site(node, index)


def rewrite(program: Program, sites: Sequence[Site[int]]) -> Program:
    return program.with_layers_before(
        (s.node, s.found, StopGradient(), f"no gradient to {s.node.name} {s.found}") for s in sites
    )


STOP_GRADIENT = Pass("stop-gradient", 0, match, rewrite)
