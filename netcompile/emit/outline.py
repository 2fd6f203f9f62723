"""Repeated stretches of a net, by what they compute and how they are wired, whatever their names and numbers are.

A body is a list of steps in the order of execution. A window of it is described by the kinds of its steps, by what they
read (a step of the window and which of its results, or the first, second … value from outside) and by which of its
results are read outside. Windows with one description are occurrences of one block: those that save the most lines
are replaced by calls, and the search goes on over the rest and over the blocks' own bodies.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from netcompile.emit.template import Hole

LONGEST = 250  # steps of a block
WORK = 400_000  # windows that are looked at in one search
ROUNDS = 24  # blocks that are looked for
MOST_PARAMETERS = 8
MOST_VALUES = 4  # that a block reads, or gives

DEAREST = 2.5  # the most that `worth` may say
ODD = 1.5  # lines that each further value costs that a block reads or gives: people draw blocks of one and one
OVERHEAD = 9  # lines of a class beside its layers: its head, docstring, two heads of methods, empty lines

Ref = Hashable  # a value of a body
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
    step whose only result it reads. `layers` are the indices of the layers that it runs, in a block those of its first
    use.
    """

    kind: Hashable
    numbers: tuple[Number, ...]
    reads: tuple[Ref, ...]
    writes: tuple[Ref, ...]
    layers: tuple[int, ...]
    holes: tuple[Hole, ...] = ()  # what each number is
    stored: int = 0  # how many of them, the last ones, ``forward`` needs
    lines: tuple[int, int] = (1, 1)
    follows: bool = False
    free: bool = True  # may be part of a block


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


def outline(main: Body, worth: Callable[[Sequence[Layers]], float] = lambda uses: 1.0) -> Outlined:
    """The net with every block that shortens it; a block stands behind those that it uses.

    `worth` says, by the layers of a block's uses, how much the lines that it saves count, up to `DEAREST`.
    """
    bodies, blocks = [main], list[Block]()
    for _ in range(ROUNDS):
        best = _best(bodies, worth)
        if best is None:
            break
        places, length = best
        made, arguments = _block(bodies, places, length)
        uses = dict(zip(places, arguments, strict=True))
        bodies = [_replaced(body, index, uses, length, len(blocks), made) for index, body in enumerate(bodies)]
        blocks.append(made)
        bodies = [_chained(body, blocks) for body in [*bodies, made.body]]
    blocks = [replace(block, body=body) for block, body in zip(blocks, bodies[1:], strict=True)]
    return _in_order(_inlined(Outlined(bodies[0], tuple(blocks))))


def _best(bodies: Sequence[Body], worth: Callable[[Sequence[Layers]], float]) -> tuple[list[_Place], int] | None:
    """Occurrences and length of the block that saves the most, None where none saves anything."""
    best, found = 0.0, None
    for places, length in _repeated(bodies):
        value = _saved(bodies, places, length)
        if value * DEAREST <= best:
            continue
        windows = (bodies[place.body].steps[place.start : place.start + length] for place in places)
        value *= worth([tuple(layer for step in window for layer in step.layers) for window in windows])
        if value > best:
            best, found = value, (places, length)
    return found


def _repeated(bodies: Sequence[Body]) -> Iterable[tuple[list[_Place], int]]:
    """Windows of one description, without overlap, for every length; those that do not repeat are not made longer."""
    scans = [_Scan(body) for body in bodies]
    active: list[tuple[int, _Window]] = [
        (index, _Window(start)) for index, body in enumerate(bodies) for start in range(len(body.steps))
    ]
    work = 0
    for length in range(1, LONGEST + 1):
        groups: defaultdict[int, list[tuple[int, _Window]]] = defaultdict(list)
        for index, window in active:
            if window.extend(scans[index]):
                groups[window.digest].append((index, window))
        work += len(active)
        active = [each for group in groups.values() if len(group) > 1 for each in group]
        if length > 1:
            for group in groups.values():
                if len(group) > 1:
                    yield from _occurrences(group, length)
        if not active or work + len(active) > WORK:
            return


def _occurrences(group: Sequence[tuple[int, _Window]], length: int) -> Iterable[tuple[list[_Place], int]]:
    """Those windows of a group that also give the same values, without overlap."""
    alike: defaultdict[int, list[_Place]] = defaultdict(list)
    ends: dict[tuple[int, int], int] = {}
    for index, window in group:
        if len(window.external) > MOST_VALUES or not 0 < window.alive <= MOST_VALUES:
            continue
        key = (window.living, index)
        if window.start >= ends.get(key, 0):
            ends[key] = window.start + length
            alike[window.living].append(_Place(index, window.start))
    for places in alike.values():
        if len(places) > 1:
            yield places, length


class _Scan:
    """What windows ask of a body: where each value is made, and which are read for the last time by each step."""

    def __init__(self, body: Body) -> None:
        self.steps = body.steps
        self.made: dict[Ref, tuple[int, int]] = {
            value: (index, place) for index, step in enumerate(body.steps) for place, value in enumerate(step.writes)
        }
        last = {value: index for index, step in enumerate(body.steps) for value in step.reads}
        last.update(dict.fromkeys(body.outputs, len(body.steps)))
        self.tokens = [hash(step.kind) for step in body.steps]
        self.ends: list[list[tuple[int, int]]] = [[] for _ in body.steps]  # of each step: where what it ends is made
        for value, place in self.made.items():
            if (end := last.get(value, place[0])) < len(body.steps):
                self.ends[end].append(place)


class _Window:
    """A window that grows by one step at a time; its digests describe what it computes."""

    __slots__ = ("alive", "digest", "external", "length", "living", "start")

    def __init__(self, start: int) -> None:
        self.start, self.length, self.digest, self.living, self.alive = start, 0, 0, 0, 0
        self.external: dict[Ref, int] = {}

    def extend(self, scan: _Scan) -> bool:
        """Take one more step; False where there is none that may be in a block."""
        at = self.start + self.length
        if at >= len(scan.steps) or not scan.steps[at].free:
            return False
        step = scan.steps[at]
        read: list[tuple[int, int]] = []
        for value in step.reads:
            maker, place = scan.made.get(value, (-1, 0))
            if maker >= self.start:
                read.append((maker - self.start, place))
            else:
                read.append((-1 - self.external.setdefault(value, len(self.external)), 0))
        self.digest = hash((self.digest, scan.tokens[at], tuple(read)))
        for place in range(len(step.writes)):
            self.living += hash((self.length, place))
            self.alive += 1
        for maker, place in scan.ends[at]:
            if maker >= self.start:
                self.living -= hash((maker - self.start, place))
                self.alive -= 1
        self.length += 1
        return True


def lines_of(steps: Sequence[Step]) -> int:
    """About how many lines steps have; one that follows another has its line."""
    count = 0
    before: Step | None = None
    chain = 0
    for step in steps:
        init, forward = step.lines
        joined = step.follows and before is not None and step.reads == before.writes and chain < 3
        chain = chain + 1 if joined else 1
        count += init + (0 if joined else forward)
        before = step
    return count


def _saved(bodies: Sequence[Body], places: Sequence[_Place], length: int) -> float:
    """How many lines a block saves; less for blocks that nobody would draw so: of many inputs, outputs, numbers."""
    windows = [bodies[place.body].steps[place.start : place.start + length] for place in places]
    lines = lines_of(windows[0])
    if len(places) * (lines - 2) <= lines + OVERHEAD:
        return 0.0
    numbers = _numbers(windows)
    if len(numbers.values) > MOST_PARAMETERS:
        return 0.0
    body, start = bodies[places[0].body], places[0].start
    reads, gives = _reads(windows[0]), _gives(body, start, length)
    after = body.steps[start + length : start + length + 1]
    torn = windows[0][0].follows + sum(step.follows and step.reads == gives for step in after)
    each = 2 + ODD * (len(reads) - 1 + len(gives) - 1) + 0.1 * len(numbers.values) + 0.5 * torn
    return sum(lines_of(window) - each for window in windows) - lines - OVERHEAD - numbers.stored


def _reads(window: Sequence[Step]) -> tuple[Ref, ...]:
    """The values from outside that a window reads, in order."""
    made = {value for step in window for value in step.writes}
    return tuple(dict.fromkeys(value for step in window for value in step.reads if value not in made))


def _gives(body: Body, start: int, length: int) -> tuple[Ref, ...]:
    """The values of a window that are read outside."""
    outside = {value for step in (*body.steps[:start], *body.steps[start + length :]) for value in step.reads}
    outside.update(body.outputs)
    return tuple(v for step in body.steps[start : start + length] for v in step.writes if v in outside)


COUNTS = frozenset(["in_channels", "out_channels", "num_features", "in_features", "out_features", "groups"])


@dataclass(frozen=True, slots=True)
class _Numbers:
    """The numbers in which windows differ: one column for each."""

    values: tuple[tuple[Number, ...], ...]  # of each parameter: its value in every window
    holes: tuple[Hole, ...]  # what it is
    columns: tuple[int, ...]  # of each number of a window: its parameter, or -1
    stored: int  # how many of the parameters ``forward`` needs


def _numbers(windows: Sequence[Sequence[Step]]) -> _Numbers:
    """Numbers that are equal in every window are one parameter, if they count the same thing."""
    rows = [[number for step in window for number in step.numbers] for window in windows]
    holes = [hole for step in windows[0] for hole in step.holes]
    late = [i >= len(step.numbers) - step.stored for step in windows[0] for i in range(len(step.numbers))]
    found: dict[tuple[str, tuple[Number, ...]], int] = {}
    columns, roles, stored = [], list[Hole](), set[int]()
    for hole, stays, values in zip(holes, late, zip(*rows, strict=True), strict=True):
        if isinstance(values[0], str) and len(set(values)) == 1:
            columns.append(-1)
            continue
        key = ("count" if hole.role in COUNTS else hole.role, values)
        column = found.setdefault(key, len(found))
        if column == len(roles):
            roles.append(hole)
        if stays:
            stored.add(column)
        columns.append(column)
    return _Numbers(tuple(values for _, values in found), tuple(roles), tuple(columns), len(stored))


def _block(
    bodies: Sequence[Body], places: Sequence[_Place], length: int
) -> tuple[Block, list[tuple[Number, ...]]]:  # fmt: skip
    """The block of these windows, made of the first, and the numbers that each use gives it."""
    windows = [bodies[place.body].steps[place.start : place.start + length] for place in places]
    numbers = _numbers(windows)
    steps, done = [], 0
    for step in windows[0]:
        columns = numbers.columns[done : done + len(step.numbers)]
        given = (own if c < 0 else Parameter(c) for own, c in zip(step.numbers, columns, strict=True))
        steps.append(replace(step, numbers=tuple(given)))
        done += len(step.numbers)
    first = places[0]
    body = Body(tuple(steps), _reads(windows[0]), _gives(bodies[first.body], first.start, length))
    return Block(body, numbers.holes), [tuple(column[i] for column in numbers.values) for i in range(len(places))]


def _replaced(
    body: Body, index: int, uses: Mapping[_Place, tuple[Number, ...]], length: int, number: int, block: Block
) -> Body:
    """A body with calls of a block in place of the windows that are its."""
    steps: list[Step] = []
    at = 0
    while at < len(body.steps):
        arguments = uses.get(_Place(index, at))
        if arguments is None:
            steps.append(body.steps[at])
            at += 1
            continue
        window = body.steps[at : at + length]
        layers = tuple(layer for step in window for layer in step.layers)
        reads, writes = _reads(window), _gives(body, at, length)
        steps.append(Step(Called(number), arguments, reads, writes, layers, block.holes))
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
        names: dict[Ref, Ref] = dict(zip(block.body.inputs, step.reads, strict=True))
        names.update(zip(block.body.outputs, step.writes, strict=True))
        done = 0
        for own in block.body.steps:
            numbers = tuple(n if isinstance(n, str) else step.numbers[n.index] for n in own.numbers)
            reads, writes = (tuple(names.setdefault(v, (number, v)) for v in each) for each in (own.reads, own.writes))
            layers = step.layers[done : done + len(own.layers)]
            steps.append(replace(own, numbers=numbers, reads=reads, writes=writes, layers=layers))
            done += len(own.layers)
    return replace(body, steps=tuple(steps))


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
