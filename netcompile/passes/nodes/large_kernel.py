"""A convolution whose weights are stored as the values of its kernels at some points."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from netcompile.caffemodel.recipe import Combined, Concat, Recipe, Reshape, Transpose
from netcompile.layers.base import IntShape
from netcompile.passes.nodes.fused_convolution import FusedConvolution

POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)


@dataclass(frozen=True, slots=True)
class LargeKernelConvolution(FusedConvolution):
    """A convolution with a large kernel that computes two rows at a time."""

    runs: ClassVar[str] = "large_kernel.LargeKernel"

    def options(self, bottom: IntShape) -> dict[str, str | None]:
        return {"points": str(POINTS[: self.kernel_at(bottom)[0]])}

    def recipe(self, weight: Recipe, bottom: IntShape) -> Recipe:
        return kernel_values(weight, self.outputs, self.channels(bottom), self.kernel_at(bottom))


def kernel_values(weight: Recipe, outputs: int, inputs: int, kernel: IntShape) -> Recipe:
    """The kernels' values at each point, one after the other: as ((k + 1) · outputs, width · inputs)."""
    parts = [Transpose(Combined(weight, 2, tuple(row)), (0, 2, 1)) for row in _table(kernel[0])]
    return Concat(tuple(Reshape(part, (outputs, kernel[1] * inputs)) for part in parts), 0)


def _table(k: int) -> list[list[float]]:
    """What k weights are multiplied with for their value at each point, scaled, and at infinity."""
    points = POINTS[:k]
    table = [[at**i / prod(at - other for other in points if other != at) + 0.0 for i in range(k)] for at in points]
    return [*table, [0.0] * (k - 1) + [1.0]]
