"""Recorded calls, with sums and ReLUs in the calls of the convolutions before them."""

import math
from collections import Counter
from functools import partial
from typing import Any

import torch
from torch import Tensor

from netcompile.prelude.calls import Call, Tape, as_list, made_by, must_be, read_by

LARGEST = 1e37  # what no number may exceed, a tenth of the largest that there is
LARGE = 1e18  # from there on it is better to ask once than at every use; squares exist


def fuse(tape: Tape, kept: set[int]) -> None:
    """Makes fewer calls of a tape's, with the same results.

    oneDNN adds a convolution's result to a blob in that blob's memory, where nothing
    reads that afterwards. Its ReLU makes 0 of NaN, which torch's keeps: it is used
    where no NaN can arise, by how large numbers can get. The places that are `kept`
    hold what somebody else has, or gets.
    """
    convolves, adds = convolutions()
    if convolves is not None:
        put_sums(tape, kept, convolves, adds)
        put_relus(tape, convolves, adds)


def convolutions() -> tuple[Any, Any]:
    """oneDNN's convolution, and the one that adds to a blob."""
    onednn: Any = torch.ops.mkldnn
    try:
        pair = onednn._convolution_pointwise, onednn._convolution_pointwise_
        return pair[0].default, pair[1].binary
    except AttributeError:
        return None, None


def memory_of(tape: Tape) -> list[int]:
    """For each place one that stands for all those of tensors in the same memory."""
    memory = list(range(len(tape.values)))
    for call in tape.calls:
        if shares(call[0]):
            for place in made_by(call):
                memory[place] = memory[call[1][0]]
    return memory


def shares(call: Any) -> bool:
    """Whether what a call makes lies in its first argument's memory."""
    if call is torch.ops.aten._unsafe_view.default:  # which torch does not say of it
        return True
    schema = getattr(call, "_schema", None)
    returns = [] if schema is None else schema.returns
    return any(each.alias_info is not None for each in returns)


def writes(call: Any) -> bool:
    schema = getattr(call, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def put_sums(tape: Tape, kept: set[int], convolves: Any, adds: Any) -> None:
    """Convolutions whose result is only added to a blob, put where the sum was made."""
    more = list(map(tape.add, ("add", 1.0, None, [], None)))
    memory, calls = memory_of(tape), tape.calls
    uses = Counter(place for call in calls for place in read_by(call))
    last = {memory[place]: i for i, call in enumerate(calls) for place in read_by(call)}
    convolved = {call[3]: i for i, call in enumerate(calls) if call[0] is convolves}
    held, gone = {memory[place] for place in kept}, set[int]()
    for at, (call, places, named, made, done) in enumerate(calls):
        if call is not torch.ops.aten.add.Tensor or named:
            continue
        for own, other in (places, places[::-1]):
            i = convolved.get(own, at)
            x = calls[i][1][0]
            changed = [each for each in calls[i + 1 : at] if writes(each[0])]
            touched = {memory[place] for each in changed for place in read_by(each)}
            seen = [tape.seen.get(place, (place,))[:2] for place in (own, other)]
            free = memory[other] not in held and last[memory[other]] == at
            stays = memory[x] not in touched and memory[x] != memory[other]
            if i < at and uses[own] == 1 and free and stays and seen[0] == seen[1]:
                calls[at] = adds, (other, *calls[i][1][:7], *more), (), made, done
                gone.add(i)
                break
    tape.calls = [call for i, call in enumerate(calls) if i not in gone]


def put_relus(tape: Tape, convolves: Any, adds: Any) -> None:
    """ReLUs right behind convolutions put into these, where no NaN can arise."""
    bounds, found = Bounds(tape), list[Call]()
    relus = [is_relu(tape, *pair) for pair in zip(tape.calls[1:], tape.calls)]
    inside = False
    for call, rectified in zip(tape.calls, [*relus, False]):
        if inside:
            inside = False
            continue
        if call[0] is convolves or call[0] is adds:
            blobs = call[1][: 2 if call[0] is adds else 1]
            bound = bounds.of_convolution(call, blobs)
            if rectified and bound > LARGEST:
                before = bounds.known.copy()
                large = [place for place in blobs if bounds.of(place) > LARGE] or blobs
                asked = [each for place in large for each in bounds.ask(place)]
                bound = bounds.of_convolution(call, blobs)
                if bound <= LARGEST:
                    found += asked
                else:
                    bounds.known = before
            bounds.note(call)
            inside = rectified and bound <= LARGEST
            if inside:
                places = (*call[1][:-3], tape.add("relu"), *call[1][-2:])
                call = call[0], places, *call[2:]
            found.append(call)
        else:
            bounds.note(call)
            found.append(call)
            joined = call[0] is torch.ops.aten.cat.default  # many read it
            if joined and LARGE < bounds.of(call[3]) < math.inf:
                found += bounds.ask(call[3])
    tape.calls = found


def is_relu(tape: Tape, call: Call, before: Call) -> bool:
    """Whether a call is the ReLU of what the one before made, in its memory."""
    operator, places = call[:2]
    if operator is torch.ops.aten.relu_.default:
        return places == (before[3],)
    clamps = operator is torch.ops.aten.clamp_min_.default
    return clamps and places[0] == before[3] and tape.values[places[1]] == 0


class Bounds:
    """What the numbers of tensors do not exceed, up or down, by their places.

    They follow from limits on a few tensors, which the calls are made to ask for. What
    has no bound may be anything.
    """

    def __init__(self, tape: Tape) -> None:
        self.tape, self.memory = tape, memory_of(tape)
        self.known: dict[int, float] = {}
        self.sums: dict[int, float] = {}  # the largest of a kernel's numbers
        aten = torch.ops.aten
        self.keeps = {  # calls of which no number is larger than their argument's
            aten.clamp_min_.default, aten.relu_.default, aten.relu.default,
            aten.permute.default, aten.view.default, aten.clone.default,
            aten.slice.Tensor, aten.max_pool2d_with_indices.default,
        }  # fmt: skip

    def of(self, place: int) -> float:
        return self.known.get(place, math.inf)

    def ask(self, place: int) -> list[Call]:
        """A call that asks for a limit, a million times what was seen."""
        seen = self.tape.seen.get(place)
        limit = 1e6 * max(seen[2], 1.0) if seen else math.inf
        if not limit < min(self.of(place), LARGE):
            return []
        self.known[place] = limit
        asked = partial(must_be, True, partial(is_below, limit))
        return [(asked, (place,), (), self.tape.add(None), [])]

    def of_convolution(self, call: Call, blobs: tuple[int, ...]) -> float:
        """By the largest sum of a kernel's numbers, and the largest bias."""
        *others, x = blobs
        weights = call[1][len(blobs) : len(blobs) + 2]
        kernels, bias = (self.tape.values[place] for place in weights)
        if kernels is None:
            return math.inf
        if weights[0] not in self.sums:  # of a copy, which may go
            sums = kernels.to_dense().abs_().flatten(1).sum(1)
            self.sums[weights[0]] = float(sums.max())
        shift = 0.0 if bias is None else self.largest(weights[1])
        most = self.sums[weights[0]] * self.of(x)
        return most + shift + sum(map(self.of, others))

    def note(self, call: Call) -> None:
        """What is known of the tensors that a call makes."""
        operator, places, named, made, _ = call
        bounds = [self.of(place) for place in places]
        clamps = operator is torch.ops.aten.clamp_min_.default
        limit, (convolves, adds) = limit_of(call), convolutions()
        if limit is not None:
            self.known[places[0]] = min(bounds[0], limit)
        elif operator is convolves or operator is adds:
            bound = self.of_convolution(call, places[: 2 if operator is adds else 1])
            self.forget(call)
            self.known[made] = bound
        elif operator in self.keeps and not (clamps and self.tape.values[places[1]]):
            self.known[made if isinstance(made, int) else made[0]] = bounds[0]
        elif operator is torch.ops.aten.avg_pool2d.default:
            divides = len(places) > 6 and self.tape.values[places[6]] is not None
            self.known[made] = math.inf if divides else bounds[0]
        elif operator is as_list:
            self.known[made] = max(bounds)
        elif operator is torch.ops.aten.cat.default:
            self.known[made] = bounds[0]
        elif operator is torch.ops.aten.add.Tensor and not named:
            self.known[made] = sum(bounds)
        elif operator is torch.ops.aten.addcmul.default and not named:
            shift, scale = (self.largest(places[at]) for at in (0, 2))
            self.known[made] = shift + scale * bounds[1]
        else:
            self.forget(call)

    def largest(self, place: int) -> float:
        """The largest number of a tensor of the net's own, up or down."""
        x = self.tape.values[place]
        return math.inf if x is None else float(x.abs().max())

    def forget(self, call: Call) -> None:
        """Bounds of what a call writes to."""
        if writes(call[0]):
            memory = {self.memory[place] for place in read_by(call)}
            for place in [p for p in self.known if self.memory[p] in memory]:
                del self.known[place]


def is_below(limit: float, x: Tensor) -> bool:
    """Whether no number of a tensor is larger, up or down, or NaN, as its length says.

    The square root of the sum of the squares is at least as large as each.
    """
    return is_at_most(limit, torch.linalg.vector_norm(x))


def is_at_most(limit: float, x: Tensor) -> bool:
    return float(x) <= limit


def limit_of(call: Call) -> float | None:
    """The limit for a tensor that a call asks for, if that is what it does."""
    asked = call[0]
    question = asked.args[1] if getattr(asked, "func", None) is must_be else None
    found = getattr(question, "func", None) is is_below
    return float(question.args[0]) if question is not None and found else None
