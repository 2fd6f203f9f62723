"""Sums with the ReLU behind them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from netcompile.layers.base import Emission, Emitted
from netcompile.layers.elementwise import Eltwise


@dataclass(frozen=True, slots=True)
class RectifiedSum(Eltwise):
    """max(weighted sum, 0): the ReLU overwrites the sum."""

    def emit(self, e: Emission) -> Emitted:
        made = super(RectifiedSum, self).emit(e)
        *before, last = made.forward
        name, _, value = last.partition(" = ")
        return replace(made, forward=(*before, f"{name} = F.relu({value}, inplace=True)"))
