"""Axes in another order without a copy."""

from __future__ import annotations

from dataclasses import dataclass

from netcompile.layers.base import Emission, Emitted
from netcompile.layers.shaping_variants import Permute


@dataclass(frozen=True, slots=True)
class PermutedView(Permute):
    """A Permute whose top stays where the bottom lies."""

    def emit(self, e: Emission) -> Emitted:
        return e.assign(f"{e.x[0]}.permute({', '.join(map(str, self.axes(e.bottoms[0])))})")
