"""Deconvolutions that are something cheaper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from netcompile.caffemodel.arithmetic import Diagonal
from netcompile.layers import source
from netcompile.layers.base import BlobSpec, Dim, Emission, Emitted, IntShape, Shape
from netcompile.layers.convolution import Deconvolution
from netcompile.passes.nodes.windows import Windowable, WindowedDeconvolution

TRACED = {"zeros_between": "netcompile.export.windows.as_it_is"}


@dataclass(frozen=True)
class DepthwiseDeconvolution(WindowedDeconvolution):
    """A Deconvolution with weights on the diagonal alone: one group for each channel."""

    diagonal: ClassVar[bool] = True

    def emit(self, e: Emission) -> Emitted:
        made = super().emit(e)
        (key, recipe), *rest = made.tensors
        return replace(made, tensors=((key, Diagonal(recipe)), *rest))

    def traced(self) -> Mapping[str, str]:
        return TRACED


@dataclass(frozen=True, slots=True)
class BilinearDeconvolution(Deconvolution, Windowable):
    """A Deconvolution that is bilinear interpolation: it has no weights left."""

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        return ()

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        return 4 * sum(top[0] * top[1] * top[2] * top[3] for top in tops)

    def emit(self, e: Emission) -> Emitted:
        x, factor, (top, left) = e.x[0], self.factor, (self.pad * 2)[:2]
        # For whatever size: the top is f(n - 1) + 2f - 2p long.
        sizes = [f"{factor} * {x}.shape[{axis}] + {factor - 2 * p}" for axis, p in ((2, top), (3, left))]
        return self.interpolated(e, (top, left), sizes)

    def emit_window(self, e: Emission, start: tuple[int, int], extent: tuple[Dim, Dim]) -> Emitted:
        return self.interpolated(e, start, [source.extent(d) for d in extent])

    def interpolated(self, e: Emission, start: tuple[int, int], sizes: Sequence[str]) -> Emitted:
        begin = ", ".join(str(s + self.factor // 2) for s in start)
        alone = self.group == self.outputs
        x = e.x[0] if alone else f"zeros_between({e.x[0]})"
        line = f"{e.y[0]} = bilinear({x}, {self.factor}, {begin}, {', '.join(sizes)})"
        return Emitted((line,), functions=("upsampling.bilinear", *([] if alone else ["upsampling.zeros_between"])))

    def traced(self) -> Mapping[str, str]:
        return {} if self.group == self.outputs else TRACED

    @property
    def factor(self) -> int:
        return self.stride[0]
