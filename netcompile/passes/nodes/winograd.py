"""A convolution that runs by Winograd's algorithm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from netcompile.layers.base import IntShape
from netcompile.passes.nodes.fused_convolution import FusedConvolution


@dataclass(frozen=True, slots=True)
class WinogradConvolution(FusedConvolution):
    """A 3 × 3 convolution that computes tiles of `tile` × `tile` pixels."""

    tile: int = 4

    runs: ClassVar[str] = "winograd.Winograd"

    def options(self, bottom: IntShape) -> dict[str, str | None]:
        return {"m": "2" if self.tile == 2 else None}
