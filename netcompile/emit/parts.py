"""The parts of a net that repeat, as a tree: what a drawing of the net folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from netcompile.emit.steps import Body, Called, Chained, Layers, Outlined, Step, calls_of, shared_out


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of layers that is like others, or several alike in a row; `parts` are those within it."""

    name: str
    structure: str  # as in the papers: "Bottleneck"; "" where there is no word
    count: int  # how many in a row
    layers: Layers  # indices of the nodes
    parts: tuple[Part, ...]


def parts_of(outlined: Outlined, name: Callable[[Step, Layers], str], words: Sequence[str]) -> tuple[Part, ...]:
    """The parts of a net in blocks; `name` says what a step is called, `words` what each block's structure is."""

    def within(body: Body, layers: Layers) -> tuple[Part, ...]:
        steps = zip(body.steps, shared_out(body, layers), strict=True)
        return tuple(part(step, step.kind, own) for step, own in steps if isinstance(step.kind, (Called, Chained)))

    def part(step: Step, kind: Called | Chained, layers: Layers) -> Part:
        body, word = outlined.blocks[kind.block].body, words[kind.block]
        if isinstance(kind, Called):
            return Part(name(step, layers), word, 1, layers, within(body, layers))
        once = Step(Called(kind.block), (), step.reads, step.writes, ())
        each = (Part(name(once, own), word, 1, own, within(body, own)) for own in calls_of(step, layers))
        return Part(name(step, layers), word, kind.count, layers, tuple(each))

    return within(outlined.main, tuple(layer for step in outlined.main.steps for layer in step.layers))
