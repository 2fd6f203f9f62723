"""Stretches of a net that are alike, and what a block for them would save.

A window is described by the kinds of its steps, by what they read (a step of the window and which of its results, or
the first, second … value from outside) and by which of its results are read outside. Windows of one length are grouped
by a digest of that, and grow by a step at a time as long as there are several alike; the best are compared exactly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf

from netcompile.emit.steps import Body, Layers, Number, Ref, call_height, heights, reads_of
from netcompile.emit.template import Hole

LONGEST = 250  # steps of a block
WORK = 40_000  # windows that are looked at in one search
PHASES = 4  # ways to begin that are tried where windows overlap
MOST_PARAMETERS = 8
MOST_VALUES = 4  # that a block reads, or gives

FURTHER, LONGER = 3, 24  # up to so many times a good block's length, and so much more, a better one is looked for
SOME = 24  # uses by whose names and structure a block is valued

DEAREST = 2.1  # the most that a block's lines may be worth
READ, GIVEN = 1.5, 0.5  # lines that each further value costs that a block reads or gives: people draw one and one
LEAST = 2  # lines that a block must save
OVERHEAD = 9  # lines of a class beside its layers: its head, docstring, two heads of methods, empty lines

# Roles of numbers that count channels.
COUNTS = frozenset(["in_channels", "out_channels", "num_features", "in_features", "out_features", "num_parameters"])
COUNTS |= {"channels", "size", "groups"}


@dataclass(frozen=True, slots=True)
class Place:
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


def best_windows(bodies: Sequence[Body], worth: Worth) -> Windows | None:
    """The windows whose block saves the most, by what its lines are `worth`; None where none saves anything.

    `worth` is given the layers of several uses, and whether a use reads one value and gives one.
    """
    best, found = 0.0, None
    scans = [_Scan(body) for body in bodies]
    for windows in _repeated(scans):
        if found is not None and windows.length > FURTHER * found.length + LONGER:
            break
        if _at_most(scans, windows) * DEAREST <= best:
            continue
        windows, value = _valued(scans, windows)
        if value * DEAREST <= best:
            continue
        some = windows.places if len(windows.places) <= SOME else (*windows.places[: SOME - 1], windows.places[-1])
        alone = windows.reads == windows.gives == 1
        value *= worth([scans[place.body].layers(place.start, windows.length) for place in some], alone)
        if value > best:
            best, found = value, windows
    return found and _alike(scans, found)


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
    return _numbers([_Scan(body) for body in bodies], windows)


def _alike(scans: Sequence[_Scan], windows: Windows) -> Windows | None:
    """Those windows that have the first one's description, not its digest alone; None where it is the only one."""
    described = [_description(scans[place.body], place.start, windows.length) for place in windows.places]
    places = tuple(place for place, each in zip(windows.places, described, strict=True) if each == described[0])
    return replace(windows, places=places) if len(places) > 1 else None


def _description(scan: _Scan, start: int, length: int) -> Hashable:
    window = scan.steps[start : start + length]
    names: dict[Ref, Hashable] = {value: index for index, value in enumerate(reads_of(window))}
    names.update({v: (at, place) for at, step in enumerate(window) for place, v in enumerate(step.writes)})
    steps = tuple((step.kind, tuple(names[value] for value in step.reads)) for step in window)
    end = start + length
    return steps, tuple(names[v] for step in window for v in step.writes if scan.last.get(v, -1) >= end)


def _repeated(scans: Sequence[_Scan]) -> Iterable[Windows]:
    """All windows that repeat; those that do not are not made longer."""
    active = [(index, _Window(start)) for index, scan in enumerate(scans) for start in range(len(scan.steps))]
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


def _occurrences(group: Sequence[tuple[int, _Window]], length: int) -> Iterable[Windows]:
    """Those windows of a group that also give the same values, without overlap."""
    alike: defaultdict[int, list[tuple[int, _Window]]] = defaultdict(list)
    for index, window in group:
        if len(window.external) <= MOST_VALUES and 0 < window.alive <= MOST_VALUES:
            alike[window.living].append((index, window))
    for found in alike.values():
        places = [Place(index, window.start) for index, window in found]
        first, one = places[0], found[0][1]
        near = [p for p in places[:PHASES] if p.body == first.body and p.start < first.start + length]
        for begin in range(len(near)):  # in a chain each of them gives other windows
            chosen = _apart(places[begin:], length)
            if len(chosen) > 1:
                yield Windows(tuple(chosen), length, len(one.external), one.alive)


def _apart(places: Sequence[Place], length: int) -> list[Place]:
    """Windows without overlap, from the first on."""
    chosen = [places[0]]
    for place in places[1:]:
        if place.body != chosen[-1].body or place.start >= chosen[-1].start + length:
            chosen.append(place)
    return chosen


class _Scan:
    """What is asked of a body: where values are made and read last, and sums over its beginning."""

    def __init__(self, body: Body) -> None:
        self.steps = body.steps
        self.made: dict[Ref, tuple[int, int]] = {
            value: (index, place) for index, step in enumerate(body.steps) for place, value in enumerate(step.writes)
        }
        self.last = last = {value: index for index, step in enumerate(body.steps) for value in step.reads}
        last.update(dict.fromkeys(body.outputs, len(body.steps)))
        self.tokens = [hash(step.kind) for step in body.steps]
        self.ends: list[list[tuple[int, int]]] = [[] for _ in body.steps]  # of each step: where what it ends is made
        for value, place in self.made.items():
            if (end := last.get(value, place[0])) < len(body.steps):
                self.ends[end].append(place)
        self.heights = heights(body.steps)
        self.numbers = [number for step in body.steps for number in step.numbers]
        self.before = [0]  # how many numbers stand before each step
        for step in body.steps:
            self.before.append(self.before[-1] + len(step.numbers))

    def row(self, start: int, length: int) -> list[Number]:
        """The numbers of a window."""
        return self.numbers[self.before[start] : self.before[start + length]]

    def layers(self, start: int, length: int) -> Layers:
        """The layers of a window."""
        return tuple(layer for step in self.steps[start : start + length] for layer in step.layers)


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
        read: list[tuple[int, int, int]] = []  # without negative numbers: -1 and -2 have one hash
        for value in step.reads:
            maker, place = scan.made.get(value, (-1, 0))
            if maker >= self.start:
                read.append((1, maker - self.start, place))
            else:
                read.append((0, self.external.setdefault(value, len(self.external)), 0))
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


def _at_most(scans: Sequence[_Scan], windows: Windows) -> float:
    """How many lines a block could save, were it called without numbers; calls in a row are written as one."""
    length, places = windows.length, windows.places
    own = [scans[p.body].heights[p.start + length] - scans[p.body].heights[p.start] for p in places]
    rows = 1 + sum(not _follows(before, place, windows) for before, place in pairwise(places))
    return sum(own) - _each(windows) * rows - own[0] - OVERHEAD - LEAST


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
    numbers = _numbers(scans, windows)
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


def _numbers(scans: Sequence[_Scan], windows: Windows) -> Numbers:
    rows = [scans[place.body].row(place.start, windows.length) for place in windows.places]
    first = windows.places[0]
    steps = scans[first.body].steps[first.start : first.start + windows.length]
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
