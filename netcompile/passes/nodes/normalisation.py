"""Batch normalisation with the layers behind it that scale and shift its channels."""

from __future__ import annotations

from dataclasses import dataclass

from netcompile.caffemodel.recipe import Constant, Recipe
from netcompile.layers.base import Emission, Emitted
from netcompile.layers.normalisation import BatchNorm


@dataclass(frozen=True)
class AffineBatchNorm(BatchNorm):
    """A BatchNorm by running statistics, times `weight` and plus `bias`: blobs of other layers, or nothing.

    With the ReLU behind it if `relu`, for images alone.
    """

    weight: Recipe | None = None
    bias: Recipe | None = None
    relu: bool = False

    def emit(self, e: Emission) -> Emitted:
        if self.weight is None and self.bias is None:
            return self.running(e, {}, self.relu)
        channels = (e.bottoms[0][1],)
        weight = self.weight or Constant(1.0, channels)
        return self.running(e, {"weight": weight, "bias": self.bias or Constant(0.0, channels)}, self.relu)
