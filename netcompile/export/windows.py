"""Windows within borders as torch.export can trace them: the borders are constants of the program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from netcompile.export.portable import Portable

Functions = Mapping[str, Callable[..., Any]]
Strips = tuple[Tensor, Tensor, Tensor, Tensor]  # above, below, left and right of a window


def surround(emitted: Functions, x: Tensor, border: Strips, *place: Any) -> Tensor:
    """`x` between the strips of its border; they have been cut for its place."""
    above, below, left, right = (strip.expand(x.shape[0], -1, -1, -1) for strip in border)
    row = _joined(3, left, x, right)
    return _joined(2, above, row, below)


def _joined(axis: int, *parts: Tensor) -> Tensor:
    """The parts side by side, but for empty ones."""
    some = [part for part in parts if part.shape[axis]]
    return torch.cat(some, axis) if len(some) > 1 else some[0]


def as_it_is(emitted: Functions, x: Tensor) -> Tensor:
    """`x` in place of `zeros_between(x)`, which is the same where all numbers are finite."""
    return x


def strips_of(net: Portable, made: nn.Module) -> dict[str, Strips] | None:
    """The borders at the declared size, cut into strips; None where the net has none, or its weights are not finite.

    `made` is an instance of the net's module with its weights.
    """
    if not net.frames:
        return None
    functions = type(made).forward.__globals__
    border = made.border(torch.zeros(1, *net.image[1:]))  # type: ignore[operator]
    if border is None:
        return None
    found = {}
    for frame in net.frames:
        own = border[frame.blob]
        (height, width), (top, left) = frame.inner, frame.start
        whole = functions["surround"](own.new_zeros(1, own.shape[1], height, width), own, top, left, *frame.outer)
        rows = whole[:, :, top : top + height]
        parts = whole[:, :, :top], whole[:, :, top + height :], rows[..., :left], rows[..., left + width :]
        above, below, before, behind = (part.contiguous() for part in parts)
        found[frame.blob] = above, below, before, behind
    made.borders.clear()  # type: ignore[operator, union-attr]
    return found
