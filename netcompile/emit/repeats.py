"""Stretches of a net that are alike, and what a block for them would save.

A window is described by the kinds of its steps, by what they read (how far back in the window it is made, or else
where the window has read it before) and by which of its results are read outside. Windows of one length that are alike
are a group; a group's windows grow by a step at a time, and part where that step differs, as long as there are several.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from math import inf
from typing import NamedTuple

from netcompile.emit.steps import Body, Layers, Number, Ref, Step, call_height, heights
from netcompile.emit.template import Hole

LONGEST = 250  # steps of a block
WORK = 40_000  # windows that are looked at in one search
PHASES = 4  # ways to begin that are tried where windows overlap
MOST_PARAMETERS = 8
MOST_VALUES = 4  # that a block reads, or gives

NEVER = -1  # the number of steps that may be in no block

FURTHER, LONGER = 3, 24  # up to so many times a good block's length, and so much more, a better one is looked for
SOME = 24  # uses by whose names and structure a block is valued

DEAREST = 2.1  # the most that a block's lines may be worth
READ, GIVEN = 1.5, 0.5  # lines that each further value costs that a block reads or gives: people draw one and one
LEAST = 2  # lines that a block must save
OVERHEAD = 9  # lines of a class beside its layers: its head, docstring, two heads of methods, empty lines

# Roles of numbers that count channels.
COUNTS = frozenset(["in_channels", "out_channels", "num_features", "in_features", "out_features", "num_parameters"])
COUNTS |= {"channels", "size", "groups"}


class Place(NamedTuple):
    """Where a window begins."""

    body: int
    start: int


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows that are alike and do not overlap: how many values from outside each reads, and how many it gives."""

    places: tuple[Place, ...]
    length: int
    reads: int
    gives: int


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers in which windows differ."""

    values: tuple[tuple[Number, ...], ...]  # of each parameter: its value in every window
    holes: tuple[Hole, ...]  # what it is
    columns: tuple[int, ...]  # of each number of a window: its parameter, or -1
    stored: int  # how many of the parameters ``forward`` needs


Worth = Callable[[Sequence[Layers], bool], float]
Alive = tuple[tuple[int, int], ...]  # values, each by how many steps ago it was made, and which result it is


class _Read(NamedTuple):
    """A value that a step reads: the step that makes it and which result it is, the step that read it before and which
    of that step's values it was; the steps are -1 where there are none.
    """

    maker: int
    place: int
    step: int
    which: int


def best_windows(bodies: Sequence[Body], worth: Worth) -> Windows | None:
    """The windows whose block saves the most, by what its lines are `worth`; None where none saves anything.

    `worth` is given the layers of several uses, and whether a use reads one value and gives one.
    """
    best, found = 0.0, None
    known: dict[Hashable, int] = {}
    scans = [_Scan(body, known) for body in bodies]
    for windows in _repeated(scans):
        if found is not None and windows.length > FURTHER * found.length + LONGER:
            break
        if _at_most(scans, windows, best / DEAREST) * DEAREST <= best:
            continue
        windows, value = _valued(scans, windows)
        if value * DEAREST <= best:
            continue
        some = windows.places if len(windows.places) <= SOME else (*windows.places[: SOME - 1], windows.places[-1])
        alone = windows.reads == windows.gives == 1
        value *= worth([scans[place.body].layers(place.start, windows.length) for place in some], alone)
        if value > best:
            best, found = value, windows
    return found


def _valued(scans: Sequence[_Scan], windows: Windows) -> tuple[Windows, float]:
    """Windows, or where they differ in too many numbers the best of those that have one's numbers; what they save."""
    value = _at_most(scans, windows) - _costs(scans, windows)
    if value > -inf:
        return windows, value
    alike: defaultdict[tuple[Number, ...], list[Place]] = defaultdict(list)
    for place in windows.places:
        alike[tuple(scans[place.body].row(place.start, windows.length))].append(place)
    found = [replace(windows, places=tuple(places)) for places in alike.values() if len(places) > 1]
    valued = [(each, _at_most(scans, each) - _costs(scans, each)) for each in found]
    return max(valued, key=lambda each: each[1], default=(windows, value))


def numbers_of(bodies: Sequence[Body], windows: Windows) -> Numbers:
    """The parameters of the windows' block. Numbers that are equal in every window are one, if they count alike."""
    return _numbers([body.steps for body in bodies], windows)


def _repeated(scans: Sequence[_Scan]) -> Iterable[Windows]:
    """All windows that repeat; those that do not are not made longer."""
    every = [Place(index, start) for index, scan in enumerate(scans) for start in range(len(scan.steps))]
    groups = [(0, every)]  # how many values from outside the windows of a group read, and where these begin
    work, count = 0, len(every)
    for length in range(1, LONGEST + 1):
        groups = [longer for reads, places in groups for longer in _longer(scans, reads, places, length)]
        work += count
        if length > 1:
            for reads, places in groups:
                yield from _occurrences(scans, reads, places, length)
        count = sum(len(places) for _, places in groups)
        if not groups or work + count > WORK:
            return


def _longer(scans: Sequence[_Scan], reads: int, places: Sequence[Place], length: int) -> list[tuple[int, list[Place]]]:
    """The groups that a group's windows make with one more step, to be of this length."""
    alike: defaultdict[int, list[Place]] = defaultdict(list)
    for place in places:
        body, start = place
        scan, at = scans[body], start + length - 1
        code = scan.codes[at] if scan.first[at] >= start else scan.code(start, at)
        alike[code].append(place)
    alike.pop(NEVER, None)
    found = [group for group in alike.values() if len(group) > 1]
    return [(reads + scans[g[0].body].fresh(g[0].start, g[0].start + length - 1), g) for g in found]


def _occurrences(scans: Sequence[_Scan], reads: int, group: Sequence[Place], length: int) -> Iterable[Windows]:
    """Those windows of a group that also give the same values, without overlap."""
    if reads > MOST_VALUES:
        return
    alike: defaultdict[Alive, list[Place]] = defaultdict(list)
    for place in group:
        body, start = place
        alive = scans[body].alive[start + length]
        if alive and alive[-1][0] > length:
            alive = tuple(value for value in alive if value[0] <= length)
        alike[alive].append(place)
    for alive, places in alike.items():
        if len(places) < 2 or not 0 < len(alive) <= MOST_VALUES:
            continue
        first = places[0]
        near = [p for p in places[:PHASES] if p.body == first.body and p.start < first.start + length]
        for begin in range(len(near)):  # in a chain each of them gives other windows
            chosen = _apart(places[begin:], length)
            if len(chosen) > 1:
                yield Windows(tuple(chosen), length, reads, len(alive))


def _apart(places: Sequence[Place], length: int) -> list[Place]:
    """Windows without overlap, from the first on."""
    chosen = [places[0]]
    for place in places[1:]:
        if place.body != chosen[-1].body or place.start >= chosen[-1].start + length:
            chosen.append(place)
    return chosen


class _Scan:
    """What is asked of a body: what each step is to a window that it is in, which values are alive, sums over its
    beginning. `known` numbers what steps are; bodies whose windows are compared share it.
    """

    def __init__(self, body: Body, known: dict[Hashable, int]) -> None:
        self.steps, self.known = body.steps, known
        self.reads: list[list[_Read]] = []  # of each step
        self.alive: list[Alive] = []  # before each step, and at the end
        self._follow(body)
        self.first: list[int] = []  # of each step: the first step that makes what it reads; -1 for an input
        self.codes: list[int] = []  # what it is to a window that has all of these
        for at, (step, reads) in enumerate(zip(body.steps, self.reads, strict=True)):
            self.first.append(min((read.maker for read in reads), default=at) if step.free else at)
            self.codes.append(self.code(self.first[at], at) if step.free else NEVER)
        self.first.append(len(body.steps))
        self.codes.append(NEVER)
        self.heights = heights(body.steps)
        self.numbers = [number for step in body.steps for number in step.numbers]
        self.before = [0]  # how many numbers stand before each step
        for step in body.steps:
            self.before.append(self.before[-1] + len(step.numbers))

    def _follow(self, body: Body) -> None:
        """Where each step's values are made and were read before, and which values are read later."""
        last = {value: index for index, step in enumerate(body.steps) for value in step.reads}
        last.update(dict.fromkeys(body.outputs, len(body.steps)))
        made: dict[Ref, tuple[int, int]] = {}
        read: dict[Ref, tuple[int, int]] = {}
        now: dict[Ref, tuple[int, int]] = {}  # those of `made` that are alive, the newest at the end
        for at, step in enumerate(body.steps):
            self.alive.append(_newest(now, at))
            reads = []
            for index, value in enumerate(step.reads):
                reads.append(_Read(*made.get(value, (-1, 0)), *read.get(value, (-1, 0))))
                read[value] = at, index
            self.reads.append(reads)
            made.update({value: (at, place) for place, value in enumerate(step.writes)})
            now.update({value: made[value] for value in step.writes if last.get(value, at) > at})
            for value in step.reads:
                if last[value] == at:
                    now.pop(value, None)
        self.alive.append(_newest(now, len(body.steps)))

    def code(self, start: int, at: int) -> int:
        """A number for what a step is to a window that begins at `start`."""
        reads: list[tuple[int, ...]] = []
        for maker, place, step, which in self.reads[at]:
            if maker >= start:
                reads.append((at - maker, place))
            else:
                reads.append((at - step, which, 0) if step >= start else ())
        return self.known.setdefault((self.steps[at].kind, tuple(reads)), len(self.known))

    def fresh(self, start: int, at: int) -> int:
        """How many values a step reads from outside a window that begins at `start` and has not read them before."""
        if self.first[at] >= start:
            return 0
        return sum(read.maker < start and read.step < start for read in self.reads[at])

    def row(self, start: int, length: int) -> list[Number]:
        """The numbers of a window."""
        return self.numbers[self.before[start] : self.before[start + length]]

    def layers(self, start: int, length: int) -> Layers:
        """The layers of a window."""
        return tuple(layer for step in self.steps[start : start + length] for layer in step.layers)


def _newest(alive: dict[Ref, tuple[int, int]], at: int) -> Alive:
    """The newest of these values, seen from a step: one more than a block may give."""
    newest = islice(reversed(alive.values()), MOST_VALUES + 1)
    return tuple((at - maker, place) for maker, place in newest)


def _at_most(scans: Sequence[_Scan], windows: Windows, wanted: float = -inf) -> float:
    """How many lines a block could save, were it called without numbers; calls in a row are written as one.

    Where it is less than `wanted`, so may be what is said.
    """
    length, places = windows.length, windows.places
    own = [scans[body].heights[start + length] - scans[body].heights[start] for body, start in places]
    saved = sum(own) - own[0] - OVERHEAD - LEAST
    if saved - _each(windows) <= wanted:
        return saved - _each(windows)
    rows = 1 + sum(not _follows(before, place, windows) for before, place in pairwise(places))
    return saved - _each(windows) * rows


def _each(windows: Windows) -> float:
    """How many lines a call costs."""
    return 2 + READ * (windows.reads - 1) + GIVEN * (windows.gives - 1)


def _follows(before: Place, place: Place, windows: Windows) -> bool:
    """Whether a window is next to another, so that it may go on with what that one gives."""
    alone = windows.reads == windows.gives == 1
    return alone and before.body == place.body and before.start + windows.length == place.start


def _costs(scans: Sequence[_Scan], windows: Windows) -> float:
    """What numbers cost of that, and lines that a block would tear apart."""
    first, length, count = windows.places[0], windows.length, len(windows.places)
    numbers = _numbers([scan.steps for scan in scans], windows)
    if len(numbers.values) > MOST_PARAMETERS:
        return inf
    steps = scans[first.body].steps
    after = steps[first.start + length : first.start + length + 1]
    last = steps[first.start + length - 1]
    torn = steps[first.start].follows + sum(step.follows and step.reads == last.writes for step in after)
    alone = heights(steps[first.start : first.start + length])[-1]
    context = scans[first.body].heights[first.start + length] - scans[first.body].heights[first.start]
    rows = list(zip(*numbers.values, strict=True)) or [()] * count
    calls = 0.0
    for at, (place, row) in enumerate(zip(windows.places, rows, strict=True)):
        beside = at > 0 and _follows(windows.places[at - 1], place, windows)
        if beside and row == rows[at - 1]:
            continue
        calls += call_height(numbers.holes, row) - 1 + (_each(windows) if beside else 0)
    head = call_height((), ["parameter: int"] * len(numbers.values)) - 1
    each = 0.1 * len(numbers.values) + 0.5 * torn
    return each * count + calls + head + numbers.stored + alone - context


def _numbers(bodies: Sequence[Sequence[Step]], windows: Windows) -> Numbers:
    uses = [bodies[place.body][place.start : place.start + windows.length] for place in windows.places]
    rows = [[number for step in use for number in step.numbers] for use in uses]
    steps = uses[0]
    holes = [hole for step in steps for hole in step.holes]
    late = [at >= len(step.numbers) - step.stored for step in steps for at in range(len(step.numbers))]
    found: dict[tuple[str, tuple[Number, ...]], int] = {}
    columns, roles, stored = [], list[Hole](), set[int]()
    for hole, stays, values in zip(holes, late, zip(*rows, strict=True), strict=True):
        one = values[0]
        if isinstance(one, str) and values.count(one) == len(values):
            columns.append(-1)
            continue
        key = ("count" if hole.role in COUNTS else hole.role, values)
        column = found.setdefault(key, len(found))
        if column == len(roles):
            roles.append(hole)
        if stays:
            stored.add(column)
        columns.append(column)
    return Numbers(tuple(values for _, values in found), tuple(roles), tuple(columns), len(stored))
