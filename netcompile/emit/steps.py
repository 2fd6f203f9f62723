"""What `outline` works on: bodies of steps, and the blocks that they call."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from netcompile.emit.template import Hole

DEEPEST, WIDE = 3, 80  # layers in one line, and its characters
START = 36  # characters of a call before its numbers

Ref = int  # a value of a body
Layers = tuple[int, ...]  # indices of layers


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number that a block is given."""

    index: int


Number = str | Parameter


@dataclass(frozen=True, slots=True)
class Step:
    """A layer, a call of a block, or several calls in a row.

    `lines` is how many it has in ``__init__`` and in ``forward``; `follows`: it can be written into the line of the
    step whose only result it reads, where that stays one line: `width` is what it adds. `layers` are the indices of the
    layers that it runs, in a block those of its first use.
    """

    kind: Hashable
    numbers: tuple[Number, ...]
    reads: tuple[Ref, ...]
    writes: tuple[Ref, ...]
    layers: tuple[int, ...]
    holes: tuple[Hole, ...] = ()  # what each number is
    stored: int = 0  # how many of them, the last ones, ``forward`` needs
    lines: tuple[int, int] = (1, 1)
    width: int = 0
    follows: bool = False
    free: bool = True  # may be part of a block
    window: tuple[Step, ...] = ()  # of a call: the steps that it stands for


@dataclass(frozen=True, slots=True)
class Called:
    """The kind of a step that runs a block."""

    block: int


@dataclass(frozen=True, slots=True)
class Chained:
    """The kind of a step that runs a block `count` times, each on what the one before gave.

    The step's numbers are those of the first call, and what is added to them from call to call.
    """

    block: int
    count: int


@dataclass(frozen=True, slots=True)
class Body:
    """Steps, and which of their values are read outside."""

    steps: tuple[Step, ...]
    inputs: tuple[Ref, ...]
    outputs: tuple[Ref, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A body that is used several times: what it takes besides its inputs."""

    body: Body
    holes: tuple[Hole, ...]  # what each of its numbers is
    window: tuple[Step, ...] = ()  # the steps that it was made of
    given: tuple[tuple[int, int], ...] = ()  # which results of which of these steps it gives


@dataclass(frozen=True, slots=True)
class Outlined:
    """A net's main body, and the blocks that it uses, directly or not."""

    main: Body
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a window begins."""

    body: int
    start: int


def reads_of(window: Sequence[Step]) -> tuple[Ref, ...]:
    """The values from outside that a window reads, in order."""
    made = {value for step in window for value in step.writes}
    return tuple(dict.fromkeys(value for step in window for value in step.reads if value not in made))


def given_by(body: Body, start: int, length: int) -> tuple[Ref, ...]:
    """The values of a window that are read outside."""
    outside = {value for step in (*body.steps[:start], *body.steps[start + length :]) for value in step.reads}
    outside.update(body.outputs)
    return tuple(v for step in body.steps[start : start + length] for v in step.writes if v in outside)


def calls_of(step: Step, layers: Layers) -> list[Layers]:
    """The layers of each call of a step that runs a block."""
    count = step.kind.count if isinstance(step.kind, Chained) else 1
    size = len(layers) // count
    return [layers[index * size : (index + 1) * size] for index in range(count)]


def shared_out(body: Body, layers: Layers) -> list[Layers]:
    """The layers of each step of a body that runs these."""
    found, done = [], 0
    for step in body.steps:
        found.append(layers[done : done + len(step.layers)])
        done += len(step.layers)
    return found


def heights(steps: Sequence[Step]) -> list[int]:
    """About how many lines stand before each step, and at the end; one that follows another has its line."""
    found, chain, width = [0], 0, 0
    for index, step in enumerate(steps):
        joined = step.follows and index > 0 and step.reads == steps[index - 1].writes and chain < DEEPEST
        joined = joined and width + step.width <= WIDE
        chain, width = (chain + 1, width + step.width) if joined else (1, step.width)
        found.append(found[-1] + step.lines[0] + (0 if joined else step.lines[1]))
    return found


def call_height(holes: Sequence[Hole], numbers: Sequence[Number]) -> int:
    """About how many lines a call of a block with these numbers has."""
    width = START + sum(2 + (len(number) if isinstance(number, str) else 8) for number in numbers)
    width += sum(1 + len(hole.role) for hole in holes if hole.keyword)
    return 1 if width <= WIDE else 3 if width <= WIDE + START else 2 + len(numbers)
