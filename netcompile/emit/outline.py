"""A net in blocks: its repeated stretches replaced by calls, those that save the most lines first.

The search goes on over what is left and over the blocks' own bodies, so that blocks may contain blocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from netcompile.emit.repeats import Place, Windows, Worth, best_windows, numbers_of
from netcompile.emit.steps import (
    Block,
    Body,
    Called,
    Chained,
    Number,
    Outlined,
    Parameter,
    Ref,
    Step,
    call_height,
    given_by,
    reads_of,
)
from netcompile.emit.template import Hole

ROUNDS = 24  # blocks that are looked for
MOST_STEPS = 12_000  # that are searched in all rounds


def outline(main: Body, worth: Worth = lambda uses, alone: 1.0) -> Outlined:
    """The net with every block that shortens it; a block stands behind those that it uses.

    `worth` says, by the layers of a block's uses, how much the lines that it saves count (see `best_windows`).
    """
    bodies, blocks = [main], list[Block]()
    steps = 0
    for _ in range(ROUNDS):
        steps += sum(len(body.steps) for body in bodies)
        if steps > MOST_STEPS:
            break
        windows = best_windows(bodies, worth)
        if windows is None:
            break
        made, arguments = _block(bodies, windows)
        uses = dict(zip(windows.places, arguments, strict=True))
        bodies = [_replaced(body, index, uses, windows.length, len(blocks), made) for index, body in enumerate(bodies)]
        blocks.append(made)
        bodies = [_chained(body, blocks) for body in [*bodies, made.body]]
    blocks = [replace(block, body=body) for block, body in zip(blocks, bodies[1:], strict=True)]
    return _in_order(_inlined(Outlined(bodies[0], tuple(blocks))))


def _block(bodies: Sequence[Body], windows: Windows) -> tuple[Block, list[tuple[Number, ...]]]:
    """The block of these windows, made of the first, and the numbers that each use gives it."""
    first, length = windows.places[0], windows.length
    window = bodies[first.body].steps[first.start : first.start + length]
    numbers = numbers_of(bodies, windows)
    steps, done = [], 0
    for step in window:
        columns = numbers.columns[done : done + len(step.numbers)]
        values = (own if c < 0 else Parameter(c) for own, c in zip(step.numbers, columns, strict=True))
        steps.append(replace(step, numbers=tuple(values)))
        done += len(step.numbers)
    body = Body(tuple(steps), reads_of(window), given_by(bodies[first.body], first.start, length))
    uses = [tuple(column[i] for column in numbers.values) for i in range(len(windows.places))]
    given = tuple(
        (at, place)
        for at, step in enumerate(window)
        for place, value in enumerate(step.writes)
        if value in body.outputs
    )
    return Block(body, numbers.holes, window, given), uses


def _replaced(
    body: Body, index: int, uses: Mapping[Place, tuple[Number, ...]], length: int, number: int, block: Block
) -> Body:
    """A body with calls of a block in place of the windows that are its."""
    steps: list[Step] = []
    at = 0
    while at < len(body.steps):
        arguments = uses.get(Place(index, at))
        if arguments is None:
            steps.append(body.steps[at])
            at += 1
            continue
        window = body.steps[at : at + length]
        layers = tuple(layer for step in window for layer in step.layers)
        reads = reads_of(window)
        writes = tuple(window[step].writes[place] for step, place in block.given)
        lines = call_height(block.holes, arguments), 1
        steps.append(Step(Called(number), arguments, reads, writes, layers, block.holes, lines=lines, window=window))
        at += length
    return replace(body, steps=tuple(steps))


def _chained(body: Body, blocks: Sequence[Block]) -> Body:
    """A body in which calls of one block, each on what the one before gave, are one step.

    Their numbers are equal, or grow by the same amount from call to call.
    """
    readers = Counter(value for step in body.steps for value in step.reads)
    readers.update(body.outputs)
    steps: list[Step] = []
    run: list[Step] = []

    def end() -> None:
        steps.extend([_chain(run)] if len(run) > 1 and (len(run) > 2 or _constant(run)) else run)
        run.clear()

    for step in body.steps:
        if run and not (_continues(run[-1], step, readers) and _evenly([*run[-2:], step])):
            end()
        if isinstance(step.kind, Called) and len(step.reads) == len(step.writes) == 1:
            run.append(step)
        else:
            steps.append(step)
    end()
    return replace(body, steps=tuple(steps))


def _continues(before: Step, step: Step, readers: Mapping[Ref, int]) -> bool:
    """Whether a call of the same block reads what the one before gave, and nobody else does."""
    return step.kind == before.kind and step.reads == before.writes and readers[before.writes[0]] == 1


def _constant(run: Sequence[Step]) -> bool:
    return all(step.numbers == run[0].numbers for step in run)


def _evenly(run: Sequence[Step]) -> bool:
    """Whether each number of two or three calls is equal, or grows by the same whole number."""
    return all(_growth(column) is not None for column in zip(*(step.numbers for step in run), strict=True))


def _growth(column: Sequence[Number]) -> int | None:
    """By how much a number grows from call to call; None where it does not evenly."""
    if all(number == column[0] for number in column):
        return 0
    if not all(isinstance(number, str) and number.isdecimal() for number in column):
        return None
    values = [int(str(number)) for number in column]
    grown = {after - before for before, after in pairwise(values)}
    return grown.pop() if len(grown) == 1 and min(grown) > 0 else None


def _chain(run: Sequence[Step]) -> Step:
    first = run[0]
    assert isinstance(first.kind, Called)
    grown = tuple(str(_growth(column) or 0) for column in zip(*(step.numbers for step in run), strict=True))
    layers = tuple(layer for step in run for layer in step.layers)
    holes = (*first.holes, *(Hole("growth") for _ in grown))
    kind = Chained(first.kind.block, len(run))
    return Step(kind, (*first.numbers, *grown), first.reads, run[-1].writes, layers, holes, lines=(3, 1))


def _uses(outlined: Outlined) -> Counter[int]:
    """How often each block is called."""
    calls = Counter[int]()
    for body in (outlined.main, *(block.body for block in outlined.blocks)):
        for step in body.steps:
            if isinstance(step.kind, Called):
                calls[step.kind.block] += 1
            elif isinstance(step.kind, Chained):
                calls[step.kind.block] += step.kind.count
    return calls


def _inlined(outlined: Outlined) -> Outlined:
    """Without blocks that are called once: the others that were found later contain the rest of their uses."""
    while True:
        once = next((b for b, n in sorted(_uses(outlined).items()) if n == 1), None)
        if once is None:
            return outlined
        block = outlined.blocks[once]
        bodies = [_with_steps(body, once, block) for body in (outlined.main, *(b.body for b in outlined.blocks))]
        blocks = (replace(b, body=body) for b, body in zip(outlined.blocks, bodies[1:], strict=True))
        outlined = Outlined(bodies[0], tuple(blocks))


def _with_steps(body: Body, number: int, block: Block) -> Body:
    """A body with a block's own steps in place of its call."""
    steps: list[Step] = []
    for step in body.steps:
        if step.kind != Called(number):
            steps.append(step)
            continue
        names = _counterparts(block.window, step.window)
        done = 0
        for own in block.body.steps:
            numbers = tuple(n if isinstance(n, str) else step.numbers[n.index] for n in own.numbers)
            layers = step.layers[done : done + len(own.layers)]
            steps.append(replace(_with_values(own, names), numbers=numbers, layers=layers))
            done += len(own.layers)
    return replace(body, steps=tuple(steps))


def _counterparts(made: Sequence[Step], stands: Sequence[Step]) -> dict[Ref, Ref]:
    """For each value of the steps that a block was made of the one in those that a call stands for."""
    found: dict[Ref, Ref] = {}
    for one, other in zip(made, stands, strict=True):
        found.update(zip((*one.reads, *one.writes), (*other.reads, *other.writes), strict=True))
        found |= _counterparts(one.window, other.window)
    return found


def _with_values(step: Step, names: Mapping[Ref, Ref]) -> Step:
    """A step, and those that it stands for, with these values in place of its own."""
    reads, writes = (tuple(names[value] for value in each) for each in (step.reads, step.writes))
    return replace(step, reads=reads, writes=writes, window=tuple(_with_values(each, names) for each in step.window))


def _in_order(outlined: Outlined) -> Outlined:
    """With the blocks that are used alone, each behind those that it uses."""
    order: dict[int, int] = {}

    def visit(body: Body) -> None:
        for step in body.steps:
            if isinstance(step.kind, (Called, Chained)) and step.kind.block not in order:
                visit(outlined.blocks[step.kind.block].body)
                order.setdefault(step.kind.block, len(order))

    visit(outlined.main)

    def renumbered(body: Body) -> Body:
        steps = []
        for step in body.steps:
            if isinstance(step.kind, (Called, Chained)):
                step = replace(step, kind=replace(step.kind, block=order[step.kind.block]))
            steps.append(step)
        return replace(body, steps=tuple(steps))

    blocks = [outlined.blocks[number] for number in order]
    return Outlined(renumbered(outlined.main), tuple(replace(b, body=renumbered(b.body)) for b in blocks))
