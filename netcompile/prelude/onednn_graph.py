"""Rows of recorded calls as graphs of oneDNN's, which torch runs without Python."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from netcompile.prelude.calls import (
    Call,
    Tape,
    as_list,
    made_by,
    make,
    must_be,
    read_by,
)
from netcompile.prelude.fusing import (
    LARGEST,
    Bounds,
    convolutions,
    is_at_most,
    limit_of,
    memory_of,
)

SETTING = threading.Lock()  # whether torch makes such graphs is one for all threads
# A call, and a function of the same result in a graph; None if there is none.
Step = tuple[Call, Callable[..., Any] | None]


class NoGraph(Exception):
    """This torch makes none, or otherwise than is known."""


def with_graphs(
    tape: Tape, inputs: Sequence[Tensor], results: set[int], least: float = 0
) -> Tape | None:
    """A tape's calls, those in a graph as one; None if there is nothing for a graph, or
    fewer than `least` convolutions.

    A convolution that is called looks up for a tenth of a millisecond what it is to
    compute; one in a graph knows. A graph's ReLU, and its largest number of a window,
    need not keep NaN: both are used where none can arise. What is added, or rectified,
    may be written, read again or not: sums and ReLUs of what is read again are not for
    a graph. Raises NoGraph, and Otherwise where the inputs are not as those recorded.
    """
    steps = Steps(tape, results).steps
    last = {place: i for i, (call, _) in enumerate(steps) for place in read_by(call)}
    last |= dict.fromkeys(results, len(steps))
    found, behind, count = Tape(), 0, 0
    found.values = tape.values.copy()
    values: list[Any] = [*inputs, *tape.values[len(inputs) :]]
    rows = [list(row) for _, row in groupby(steps, lambda step: step[1] is not None)]
    convolved = [sum(call[0] in convolutions() for call, _ in row) for row in rows]
    if sum(n for n, row in zip(convolved, rows) if row[0][1]) < least:
        return None
    for n, row in zip(convolved, rows):
        calls, behind = [call for call, _ in row], behind + len(row)
        if n and row[0][1]:
            made = dict.fromkeys(place for call in calls for place in made_by(call))
            read = [place for place in made if last.get(place, -1) >= behind]
            calls, count = as_graph(row, read, found, values), count + 1
        for call in calls:
            make(call, values)
        found.calls += [(*call[:4], []) for call in calls]
    used = results.union(*map(read_by, found.calls))
    for place in set(range(len(found.values))) - used:
        found.values[place] = None  # the kernels that are in graphs
    return found if count else None


def as_graph(
    row: list[Step], read: list[int], tape: Tape, values: list[Any]
) -> list[Call]:
    """The call of a graph for calls in a row, and the questions that are asked in it.

    `read` are the places of what is read of it; the `values` are those in front of it.
    """
    held, made = dict[int, Any](), set[int]()
    for call, _ in row:
        held |= {place: values[place] for place in read_by(call) if place not in made}
        made |= {*made_by(call)}
    given = [place for place in held if tape.values[place] is None is not held[place]]
    for place, x in held.items():
        held[place] = x.detach() if isinstance(x, Tensor) else x
    limits = [limit for call, _ in row if (limit := limit_of(call)) is not None]

    def run(*arguments: Tensor) -> tuple[Tensor, ...]:
        at, norms = {**held, **dict(zip(given, arguments))}, []
        for call, meaning in row:
            _, places, named, where, _ = call
            by_name = {name: at[place] for name, place in named}
            found = (meaning or call[0])(*[at[place] for place in places], **by_name)
            if limit_of(call) is not None:
                norms.append(found)
            else:
                at |= zip(where, found) if isinstance(where, tuple) else {where: found}
        return (*[at[place] for place in read], *norms)

    function = compiled(run, tuple(values[place] for place in given))
    lengths = [tape.add(None) for _ in limits]
    calls: list[Call] = [(function, tuple(given), (), (*read, *lengths), [])]
    for limit, place in zip(limits, lengths):
        asked = partial(must_be, True, partial(is_at_most, limit))
        calls.append((asked, (place,), (), tape.add(None), []))
    values += [None] * (len(tape.values) - len(values))
    return calls


def compiled(run: Callable[..., Any], inputs: tuple[Tensor, ...]) -> Any:
    """A function of tensors, by graphs of oneDNN's for what these have.

    Tracing by torch.jit would keep the function, and weights, as long as the process.
    Raises NoGraph.
    """
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        raise NoGraph  # nobody has tried them there
    try:
        graph, _ = torch._C._create_graph_by_tracing(run, inputs, nameless, True, False)
        function = torch._C._create_function_from_graph("row", graph)
        with onednn_graphs():
            for _ in range(2):  # the first one sees what there is, the second compiles
                function(*inputs)
    except (AttributeError, RuntimeError, TypeError) as error:
        raise NoGraph from error
    return function


def nameless(x: Tensor) -> str:
    return ""


@contextmanager
def onednn_graphs() -> Iterator[None]:
    """Within, what torch compiles gets graphs of oneDNN's."""
    is_enabled: Callable[[], bool] = torch.jit.onednn_fusion_enabled
    with SETTING:
        before = is_enabled()
        torch.jit.enable_onednn_fusion(True)
        try:
            yield
        finally:
            torch.jit.enable_onednn_fusion(before)


class Steps:
    """A tape's calls, and for each of those that can be in a graph what is there."""

    def __init__(self, tape: Tape, results: set[int]) -> None:
        self.tape, self.bounds = tape, Bounds(tape)
        self.steps: list[Step] = []
        memory = memory_of(tape)
        shared = Counter(memory)
        made = {place for call in tape.calls for place in made_by(call)}
        self.alone = {place for place in made if shared[memory[place]] == 1}
        self.reads = Counter(place for call in tape.calls for place in read_by(call))
        self.reads.update(results)
        for call, following in zip(tape.calls, [*tape.calls[1:], None]):
            meaning = self.meaning(call, following) if self.is_common(call) else None
            self.steps.append((call, meaning))
            self.bounds.note(call)

    def is_common(self, call: Call) -> bool:
        """Whether a call is a question, or makes float32 blobs, each of others."""
        if call[0] is as_list:
            return len(set(call[1])) == len(call[1])
        size, *_ = self.tape.seen.get(made_by(call)[0], ((),))
        return len(size) == 4 or limit_of(call) is not None

    def meaning(self, call: Call, following: Call | None) -> Any:
        operator, places, named, made, _ = call
        aten, (convolves, adds) = torch.ops.aten, convolutions()
        if limit_of(call) is not None:
            return torch.linalg.vector_norm
        if operator is convolves and places[1] in self.tape.kernels:
            return partial(convolution, self.tape.kernels[places[1]].detach())
        if operator is adds and places[2] in self.tape.kernels:
            return partial(convolution_and_sum, self.tape.kernels[places[2]].detach())
        if operator is as_list:  # right before what it is for
            joined = following is not None and following[0] is aten.cat.default
            return operator if joined else None
        if operator in (
            aten.cat.default,
            aten.addcmul.default,
            aten.clone.default,
            aten.slice.Tensor,
        ):
            return operator
        if operator is aten.add.Tensor and not named:
            seen = [self.tape.seen.get(place, (place,))[0] for place in places]
            once = all(self.reads[place] == 1 for place in places)
            return operator if seen[0] == seen[1] and once else None
        if operator is aten.avg_pool2d.default:
            ceil_mode, _, divisor = self.rest(call, 4, (False, True, None))
            return None if ceil_mode or divisor or named else mean_of_windows
        if operator is aten.max_pool2d_with_indices.default:
            known = not self.reads[made[1]] and self.has_whole_windows(call)
            return largest_of_windows if known and self.is_bounded(places[0]) else None
        if operator is aten.relu.default or (
            operator in (aten.relu_.default, aten.clamp_min_.default)
            and self.tape.values[places[-1]] in (None, 0)
            and places[0] in self.alone
        ):
            once = self.reads[places[0]] == 1 or made in places
            return rectified if once and self.is_bounded(places[0]) else clamped
        return None

    def rest(self, call: Call, first: int, default: tuple[Any, ...]) -> tuple[Any, ...]:
        """A call's arguments from the first of some on that have defaults."""
        given = [self.tape.values[place] for place in call[1][first:]]
        return *given, *default[len(given) :]

    def has_whole_windows(self, call: Call) -> bool:
        """Whether a pool for the largest number leaves none out at the end.

        torch leaves out a window that begins behind the blob.
        """
        none: list[int] = []
        window = self.rest(call, 1, (none, none, [0, 0], [1, 1], False))
        kernel, stride, padding, dilation, ceil_mode = window
        seen = [self.tape.seen.get(place) for place in (call[1][0], call[3][0])]
        if call[2] or None in seen:
            return False
        sizes = [each[0][-2:] for each in seen if each is not None]
        along = zip(*sizes, kernel, stride or kernel, padding, dilation)
        return not ceil_mode or all(
            made == -((d * (k - 1) + 1 - n - 2 * p) // s) + 1
            for n, made, k, s, p, d in along
        )

    def is_bounded(self, place: int) -> bool:
        """Whether a tensor has no NaN, asked of its numbers if need be."""
        if self.bounds.of(place) > LARGEST:
            asked = self.bounds.ask(place)
            self.steps += [(call, torch.linalg.vector_norm) for call in asked]
        return self.bounds.of(place) <= LARGEST


def convolution(
    weight: Tensor, x: Tensor, packed: Tensor, bias: Tensor | None, *more: Any
) -> Tensor:
    padding, stride, dilation, groups, behind, *_ = more
    y = F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    return F.relu(y) if behind == "relu" else y


def convolution_and_sum(
    weight: Tensor, other: Tensor, x: Tensor, packed: Tensor, *more: Any
) -> Tensor:
    bias, padding, stride, dilation, groups, _, _, behind, *_ = more
    y = F.conv2d(x, weight, bias, stride, padding, dilation, groups) + other
    return F.relu(y) if behind == "relu" else y


def rectified(x: Tensor, least: int = 0) -> Tensor:
    return F.relu(x)


def clamped(x: Tensor, least: int = 0) -> Tensor:
    """A ReLU that is not for a graph."""
    return x.clamp_min(0)


def largest_of_windows(
    x: Tensor, kernel: list[int], stride: list[int] | None = None, *more: Any
) -> tuple[Tensor, None]:
    return F.max_pool2d(x, kernel, stride or kernel, *more), None


def mean_of_windows(
    x: Tensor, kernel: list[int], stride: list[int] | None = None, *more: Any
) -> Tensor:
    return F.avg_pool2d(x, kernel, stride or kernel, *more)
