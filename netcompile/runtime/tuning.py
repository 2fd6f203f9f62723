"""Which way each convolution of a module of -O2 computes fastest here, found by timing them where they are in the net.

A pass of the net is run with the calls of its convolutions watched. A convolution that has a choice is computed by each
of its ways in turn, on the blob that it gets there, the costliest first as far as the seconds go; the net goes on with
what the rules' way gave. Another way is taken only where it was faster in most rounds, and by more than noise; in the
end the whole net is timed by the rules and by the plan in turn, and a plan that is no faster is dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil, log2, prod
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

SECONDS = 2.0  # of measuring
WAYS = ("onednn", "matrix", "tiles of 2", "tiles of 4")  # all that there are, whatever a layer offers
ROUNDS = 5  # in which each way runs once
LEAST = 3  # rounds to judge by
NOISE = 0.05  # a way that is faster by less is none
HOPELESS = 1.3  # times the fastest way's time: not timed again, after one round where it is three times
LITTLE = 0.01  # of the whole net: a plan that saves less is dropped
COMPARISONS = 9  # of the whole net, at most
PASSES = 13  # after which a frozen net makes the calls that it recorded, in graphs if it can

Size = tuple[int, ...]  # images, height, width of a layer's outputs
Clock = Callable[[], float]


class Plan(dict[Size | None, str]):
    """The ways of one layer by the size of its outputs; a size near one that was measured has its way.

    >>> plan = Plan({(1, 50, 50): "matrix"})
    >>> plan.get((1, 50, 40)), plan.get((1, 50, 25)), plan.get(None)
    ('matrix', None, None)
    """

    def get(self, made: Size | None, default: Any = None) -> Any:
        if made is None or made in self or not self:
            return super().get(made, default)
        pixels = prod(made)
        distance = {known: abs(log2(prod(known) / pixels)) for known in self if known is not None}
        near = min(distance, key=distance.__getitem__, default=None)
        return default if near is None or distance[near] > 0.5 else self[near]


@dataclass(frozen=True, slots=True)
class Choice:
    """What was found of a layer's outputs of one size. `milliseconds`: of each way that was timed, medians."""

    layer: str
    shape: Size
    rule: str
    way: str
    milliseconds: Mapping[str, float]
    calls: int = 1  # in a pass of the net

    @property
    def saves(self) -> float:
        """Milliseconds of a pass that its way takes less than the rules', as far as both were timed."""
        return self.calls * (self.milliseconds[self.rule] - self.milliseconds[self.way]) if self.milliseconds else 0.0


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was measured; milliseconds of the whole net by the rules and by the plan, the same where they are one.

    `choices` are of layers that have more than one way. `faster`: whether the plan is, which is not used otherwise.
    """

    choices: tuple[Choice, ...]
    by_rule: float
    by_plan: float
    faster: bool
    seconds: float


@dataclass(slots=True)
class _Case:
    """Layers that are alike, their outputs of one size: the first of them is timed."""

    calls: dict[str, int]  # of each layer, in a pass
    made: Size
    ways: list[str]  # first that of the rules
    seconds: float = 0.0  # of all calls
    rounds: list[dict[str, float]] = field(default_factory=list)
    warm: set[str] = field(default_factory=set)
    left: list[str] = field(default_factory=list)  # the ways that are still timed

    @property
    def first(self) -> str:
        return next(iter(self.calls))

    def done(self) -> bool:
        return len(self.left) < 2 or len(self.rounds) >= ROUNDS

    @property
    def price(self) -> float:
        """About the seconds that the rounds that lack will take, and those that lay weights out."""
        unknown = sum(way not in self.warm for way in self.left[1:])
        return self.seconds / sum(self.calls.values()) * (2 * unknown + len(self.left) * (ROUNDS - len(self.rounds)))

    def time(self, run: Callable[[str], Tensor | None], clock: Clock) -> Tensor | None:
        """A round; gives what the rules' way gave. Ways that are hopeless are not timed again."""
        for way in self.left[1:]:
            if way not in self.warm and run(way) is None:
                self.left.remove(way)  # it leaves these numbers to nn.Conv2d
            self.warm.add(way)
        ways = self.left if len(self.rounds) % 2 else self.left[::-1]
        found, result = dict[str, float](), None
        for way in ways:
            began = clock()
            y = run(way)
            found[way] = clock() - began
            result = y if way == self.ways[0] else result
        self.rounds.append(found)
        least = {way: min(times[way] for times in self.rounds) for way in self.left}
        most = (HOPELESS if len(self.rounds) > 1 else HOPELESS**4) * min(least.values())
        self.left = [way for way in self.left if way == self.ways[0] or least[way] <= most]
        return result

    @property
    def way(self) -> str:
        """The way that the rounds speak for."""
        rule = found = self.ways[0]
        best = 1 - NOISE
        for way in self.left[1:] if len(self.rounds) >= LEAST else ():
            shares = [times[way] / times[rule] for times in self.rounds if times[rule] > 0]
            faster = sum(share < 1 for share in shares)
            less = median(times[way] for times in self.rounds) < median(times[rule] for times in self.rounds)
            if shares and less and 4 * faster >= 3 * len(shares) and median(shares) < best:
                best, found = median(shares), way
        return found

    def choices(self) -> Iterator[Choice]:
        """The way and its figures, for each of the layers."""
        timed = {way: [times[way] for times in self.rounds if way in times] for way in self.ways}
        figures = {way: round(1e3 * median(times), 4) for way, times in timed.items() if times}
        for name, calls in self.calls.items():
            yield Choice(name, self.made, self.ways[0], self.way, figures, calls)


def convolutions(net: nn.Module) -> dict[str, Any]:
    """The layers of a module of -O2 that have `ways`, by name."""
    return {
        name: layer
        for name, layer in net.named_modules()
        if isinstance(layer, nn.Conv2d) and all(hasattr(layer, part) for part in ("ways", "by", "plan", "packed"))
    }


def apply(net: nn.Module, choices: Iterable[Choice]) -> None:
    """Give the layers the ways that differ from the rules', and leave all others to the rules."""
    layers = convolutions(net)
    for name, plan in _plans(layers, choices).items():
        layers[name].plan = plan


def _plans(layers: Iterable[str], choices: Iterable[Choice]) -> dict[str, Plan]:
    """What differs from the rules, for each layer."""
    plans = {name: Plan() for name in layers}
    for choice in choices:
        if choice.way != choice.rule:
            plans[choice.layer][choice.shape] = choice.way
    return plans


def tune(net: nn.Module, inputs: Sequence[Tensor], seconds: float = SECONDS, clock: Clock = perf_counter) -> Tuning:
    """Measure, and leave the net with the plan that was found, if it is faster.

    The net is one of -O2, on a CPU and in evaluation mode. Of a slow net more than `seconds` may pass: beside what is
    measured, some passes to begin with, and those that compare the whole.
    """
    began = clock()
    apply(net, ())
    with torch.no_grad():
        with _unrecorded(net):
            net(*inputs)  # lays weights out
            cases, rule = _costs(net, inputs, clock)
            _measure(net, inputs, cases, seconds, rule, clock)
        choices = [choice for case in cases for choice in case.choices()]
        plan, faster = rule, False
        if sum(choice.saves for choice in choices) >= LITTLE * 1e3 * rule:
            rule, plan, faster = _compare(net, inputs, choices, seconds / 2, clock)
    apply(net, choices if faster else ())
    for name, layer in convolutions(net).items():
        _forget(layer, {choice.way if faster else choice.rule for choice in choices if choice.layer == name})
    return Tuning(tuple(choices), 1e3 * rule, 1e3 * plan, faster, clock() - began)


def _recording(net: nn.Module) -> list[Any]:
    """What holds the recorded calls of frozen nets, under "recorded"."""
    held = [vars(module).get("passes") for module in net.modules()]
    return [passes for passes in held if isinstance(passes, dict) and "recorded" in passes]


@contextmanager
def _unrecorded(net: nn.Module) -> Iterator[None]:
    """Within, convolutions are called at every pass: none is recorded, and no recording takes its place."""
    held = [(passes, passes.pop("recorded")) for passes in _recording(net)]
    try:
        yield
    finally:
        for passes, recorded in held:
            passes["recorded"] = recorded


Told = Callable[[str, Size, list[str], Callable[[str], Tensor | None], str], Tensor | None]


@contextmanager
def _watched(net: nn.Module, told: Told) -> Iterator[None]:
    """Within, `told` computes what the net's convolutions are called for.

    It gets the layer's name, the size of what is made, the ways, what computes it by a way, and how the blob lies.
    """

    def watch(name: str, layer: Any) -> None:
        by = layer.by

        def watched(way: str, x: Tensor, weight: Tensor, padding: Size, size: list[int]) -> Tensor | None:
            made = len(x), *size
            lies = f"{padding} {x.stride(1) == 1}"
            ways = layer.ways(made, x.dtype, padding)
            return told(name, made, ways, lambda other: by(other, x, weight, padding, size), lies)

        layer.by = watched

    layers = convolutions(net)
    try:
        for name, layer in layers.items():
            watch(name, layer)
        yield
    finally:
        for layer in layers.values():
            vars(layer).pop("by", None)


def _costs(net: nn.Module, inputs: Sequence[Tensor], clock: Clock) -> tuple[list[_Case], float]:
    """What convolutions cost by the rules, those that are alike as one, the costliest first; and the whole pass."""
    signatures = {name: signature(layer) for name, layer in convolutions(net).items()}
    cases: dict[object, _Case] = {}
    places: dict[tuple[str, Size], _Case] = {}

    def told(name: str, made: Size, ways: list[str], run: Callable[[str], Tensor | None], lies: str) -> Tensor | None:
        alike = cases.setdefault((signatures[name], made, lies), _Case({}, made, ways))
        case = places.setdefault((name, made), alike)
        began = clock()
        y = run(ways[0])
        case.seconds += clock() - began
        case.calls[name] = case.calls.get(name, 0) + 1
        return y

    with _watched(net, told):
        whole = _time(net, inputs, clock)
    return sorted((case for case in cases.values() if case.calls), key=lambda case: -case.seconds), whole


def signature(layer: Any) -> object:
    """The same for layers that compute alike."""
    facts = [getattr(layer, name, None) for name in ("kernel_size", "stride", "dilation", "groups", "relu", "m")]
    return type(layer).__name__, tuple(layer.weight.shape), layer.bias is None, str(facts)


def _measure(
    net: nn.Module, inputs: Sequence[Tensor], cases: Sequence[_Case], seconds: float, whole: float, clock: Clock
) -> None:
    """Rounds of cases in passes of the net: one at each call, or all in one pass of a net of which few fit."""
    layers, busy = convolutions(net), threading.Lock()
    end = clock() + seconds + whole
    few = whole * ROUNDS > seconds / 2
    asked: dict[tuple[str, Size], _Case] = {}

    def told(name: str, made: Size, ways: list[str], run: Callable[[str], Tensor | None], lies: str) -> Tensor | None:
        case = asked.get((name, made))
        # Where layers are shared out among threads, one measures at a time.
        if case is None or case.done() or clock() > end or not busy.acquire(blocking=False):
            return run(ways[0])
        try:
            y = case.time(run, clock)
            for _ in range(ceil(ROUNDS / case.calls[name]) - 1 if few else 0):
                if case.done() or clock() > end:
                    break
                case.time(run, clock)
            if all(other.done() for other in cases if other.first == name):
                _forget(layers[name], {way for other in cases if other.first == name for way in (ways[0], other.way)})
            return y
        finally:
            busy.release()

    for case in cases:
        case.left = list(case.ways)
    with _watched(net, told):
        while left := [case for case in cases if not case.done()]:
            passes = 1 if few else ROUNDS - min(len(case.rounds) for case in left)
            asked = _affordable(left, end - clock() - whole * passes)
            before = sum(len(case.rounds) for case in cases)
            if asked:
                net(*inputs)
            if before == sum(len(case.rounds) for case in cases):
                break


def _affordable(cases: Iterable[_Case], seconds: float) -> dict[tuple[str, Size], _Case]:
    """The cases that fit in so many seconds, the first ones first, by the layer that is timed."""
    found = {}
    for case in cases:
        if case.price <= seconds:
            seconds -= case.price
            found[case.first, case.made] = case
    return found


def _compare(
    net: nn.Module, inputs: Sequence[Tensor], choices: Sequence[Choice], seconds: float, clock: Clock
) -> tuple[float, float, bool]:
    """Seconds of the whole net by the rules and by a plan, in turn; and whether the plan is faster.

    Each as it is used: with its own recordings, where the net makes any, for which some passes go first.
    """
    layers, recording = convolutions(net), _recording(net)
    plans = {planned: _plans(layers, choices if planned else ()) for planned in (False, True)}
    recorded = {planned: [type(passes["recorded"])() for passes in recording] for planned in plans}

    def turn_to(planned: bool) -> None:
        for name, layer in layers.items():
            layer.plan = plans[planned][name]
        for passes, own in zip(recording, recorded[planned], strict=True):
            passes["recorded"] = own

    for planned in (True, False):
        turn_to(planned)
        end = clock() + seconds / 2
        net(*inputs)  # lays weights out
        for _ in range(PASSES if recording else 0):
            if clock() >= end:
                break
            net(*inputs)
    times: dict[bool, list[float]] = {False: [], True: []}
    end = clock() + seconds
    for number in range(COMPARISONS):
        if number >= 2 and clock() >= end:
            break
        for planned in (False, True) if number % 2 else (True, False):
            turn_to(planned)
            times[planned].append(_time(net, inputs, clock))
    shares = [plan / rule for rule, plan in zip(times[False], times[True], strict=True) if rule > 0]
    faster = bool(shares) and 2 * sum(share < 1 for share in shares) > len(shares) and median(shares) < 1 - LITTLE
    return median(times[False]), median(times[True]), faster


def _time(net: nn.Module, inputs: Sequence[Tensor], clock: Clock) -> float:
    began = clock()
    net(*inputs)
    return clock() - began


def _forget(layer: Any, ways: set[str]) -> None:
    """Only the weights that are laid out for these ways stay."""
    for way in [way for way in layer.packed if way not in ways]:
        del layer.packed[way]
