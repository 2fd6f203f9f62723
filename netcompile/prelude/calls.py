"""Calls of torch in a row, and what they are made on."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# A call of torch: the operator, where its arguments stand, by name too, where what it
# makes is put, and what is not needed any more behind it.
Call = tuple[Any, tuple[int, ...], tuple[tuple[str, int], ...], Any, list[int]]


class Tape:
    """Calls, and the values on which they are made, by their places.

    The inputs come first among the values; what calls make is None until it is made.
    `seen` has a float32 tensor's shape, strides and largest number, up or down, which
    is not looked for where it does not lie in one piece. `kernels` has the weights of
    those that are laid out for oneDNN, and `copies` what forgets these.
    """

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.calls: list[Call] = []
        self.seen: dict[int, tuple[Any, ...]] = {}
        self.kernels: dict[int, Tensor] = {}
        self.copies: list[Callable[[], Any]] = []

    def add(self, x: Any) -> int:
        self.values.append(x)
        return len(self.values) - 1

    def see(self, place: int, x: Tensor) -> None:
        if x.dtype is not torch.float32 or not x.numel() or x.is_mkldnn:
            return
        largest = math.inf
        channels_last = x.dim() == 4 and x.permute(0, 2, 3, 1).is_contiguous()
        if x.is_contiguous() or channels_last:  # others would be copied for this
            low, high = torch.aminmax(x)
            largest = max(-float(low), float(high))
        self.seen[place] = x.shape, x.stride(), largest

    def release(self, kept: set[int]) -> None:
        """Writes behind each call what nothing reads any more, but what is `kept`."""
        last: dict[int, list[int]] = {}
        for call in self.calls:
            call[4].clear()
            last |= dict.fromkeys([*read_by(call), *made_by(call)], call[4])
        for place, done in last.items():
            if place not in kept and self.values[place] is None:
                done.append(place)


def read_by(call: Call) -> list[int]:
    """The places of a call's arguments."""
    return [*call[1], *(place for _, place in call[2])]


def made_by(call: Call) -> tuple[int, ...]:
    """The places of what a call makes."""
    made = call[3]
    return (made,) if isinstance(made, int) else made


def make(call: Call, values: list[Any]) -> None:
    """Makes a call, and puts what it makes among the values."""
    operator, places, named, made, done = call
    at = values.__getitem__
    found = operator(*map(at, places), **{name: at(place) for name, place in named})
    if type(made) is int:
        values[made] = found
    else:
        for place, x in zip(made, found):
            values[place] = x
    for place in done:
        values[place] = None


class Otherwise(Exception):
    """A question was answered otherwise than in the pass that was recorded."""


def must_be(answer: bool, question: Callable[[Tensor], bool], x: Tensor) -> None:
    if question(x) is not answer:
        raise Otherwise


def as_list(*values: Any) -> list[Any]:
    """The list of the arguments, which some calls of torch take."""
    return list(values)
