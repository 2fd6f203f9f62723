"""Calls of torch in a row, and what they are made on."""

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
    `seen` has a tensor's shape, strides and largest number, up or down, if its type is
    float32 and it lies in one piece.
    """

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.calls: list[Call] = []
        self.seen: dict[int, tuple[Any, ...]] = {}

    def add(self, x: Any) -> int:
        self.values.append(x)
        return len(self.values) - 1

    def see(self, place: int, x: Tensor) -> None:
        if x.dtype is not torch.float32 or not x.numel() or x.is_mkldnn:
            return
        channels_last = x.dim() == 4 and x.permute(0, 2, 3, 1).is_contiguous()
        if x.is_contiguous() or channels_last:  # others would be copied for this
            low, high = torch.aminmax(x)
            self.seen[place] = x.shape, x.stride(), max(-float(low), float(high))


class Otherwise(Exception):
    """A question was answered otherwise than in the pass that was recorded."""


def must_be(answer: bool, question: Callable[[Tensor], bool], x: Tensor) -> None:
    if question(x) is not answer:
        raise Otherwise


def as_list(*values: Any) -> list[Any]:
    """The list of the arguments, which some calls of torch take."""
    return list(values)
