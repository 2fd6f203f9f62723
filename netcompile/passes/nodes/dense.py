"""InnerProduct, with what computes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from netcompile.layers.base import Emission, Emitted
from netcompile.layers.dense import InnerProduct


@dataclass(frozen=True, slots=True)
class FastInnerProduct(InnerProduct):
    """An InnerProduct by the class Linear of the prelude."""

    computed_by: ClassVar[str] = "Linear"

    def emit(self, e: Emission) -> Emitted:
        return replace(InnerProduct.emit(self, e), functions=("linear.Linear",))
