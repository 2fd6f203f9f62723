"""Convolutions with the layers that were folded into them, and the algorithms that they run by."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from netcompile.caffemodel.arithmetic import Combined
from netcompile.caffemodel.recipe import Concat, Recipe, Reshape, Transpose
from netcompile.layers.base import Emission, Emitted, IntShape
from netcompile.layers.convolution import Convolution, Extents
from netcompile.layers.source import call, literal

POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)


@dataclass(frozen=True, slots=True)
class FusedConvolution(Convolution):
    """A two-dimensional convolution, and the ReLU behind it if `relu`.

    `weight` and `shift` are recipes where layers were folded in. `own_pad` is the padding that the layer has in the
    file; `pad` is 0 where it computes a window.
    """

    relu: bool = False
    own_pad: Extents = (0,)
    weight: Recipe | None = None
    shift: Recipe | None = None

    runs: ClassVar[str] = "convolution.Conv2d"  # the class of `netcompile/prelude` that runs it

    def kernel_at(self, bottom: IntShape) -> IntShape:
        """Height and width of the kernel."""
        return tuple(window[0] for window in self.windows(bottom)[1])

    def slides(self, bottom: IntShape) -> bool:
        """Whether each output pixel is one step from the next, along both axes, over pixels side by side."""
        return all((stride, dilation) == (1, 1) for _, stride, _, dilation in self.windows(bottom)[1])

    def options(self, bottom: IntShape) -> dict[str, str | None]:
        """Arguments of the class that runs it, beside those of a convolution."""
        return {}

    def recipe(self, weight: Recipe, bottom: IntShape) -> Recipe:
        """What the module's weight is made of, given the convolution's."""
        return weight

    def emit(self, e: Emission) -> Emitted:
        _, windows = self.windows(e.bottoms[0])
        kernel, stride, _, dilation = (tuple(column) for column in zip(*windows, strict=True))
        own = self.own_pad * 2 if len(self.own_pad) == 1 else self.own_pad
        options = {
            "kernel_size": literal(kernel),
            "stride": literal(stride) if set(stride) != {1} else None,
            "padding": literal(own) if set(own) != {0} else None,
            "dilation": literal(dilation) if set(dilation) != {1} else None,
            "groups": self.group if self.group > 1 else None,
            "bias": None if self.bias else "False",
            "relu": "True" if self.relu else None,
        }
        name = self.runs.rpartition(".")[2]
        make = call(name, self.channels(e.bottoms[0]), self.outputs, **options, **self.options(e.bottoms[0]))
        weight = self.recipe(e.take(0) if self.weight is None else self.weight, e.bottoms[0])
        tensors = [(f"{e.name}.weight", weight)]
        if self.bias:
            tensors.append((f"{e.name}.bias", e.take(1) if self.shift is None else self.shift))
        window = ", padding=0" if set(self.pad) == {0} and set(own) != {0} else ""
        return Emitted(
            (f"{e.y[0]} = self.{e.name}({e.x[0]}{window})",), (f"self.{e.name} = {make}",), (self.runs,), tuple(tensors)
        )


@dataclass(frozen=True, slots=True)
class WinogradConvolution(FusedConvolution):
    """A 3 × 3 convolution that computes tiles of `tile` × `tile` pixels."""

    tile: int = 4

    runs: ClassVar[str] = "winograd.Winograd"

    def options(self, bottom: IntShape) -> dict[str, str | None]:
        return {"m": "2" if self.tile == 2 else None}


@dataclass(frozen=True, slots=True)
class LargeKernelConvolution(FusedConvolution):
    """A convolution with a large kernel, stored as its values at some points: it computes two rows at a time."""

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
