"""The windows that kernels cover, one form for convolution, pooling and their transposes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netcompile.analysis.follow import Unfollowed, follow
from netcompile.ir.graph import Node, Value
from netcompile.layers.base import IntShape
from netcompile.layers.convolution import Convolution, Deconvolution
from netcompile.layers.pooling import Pooling


@dataclass(frozen=True, slots=True)
class KernelWindow:
    """Along one axis. A transposed window (Deconvolution) is that of the convolution it is the transpose of."""

    kernel: int
    stride: int
    pad: int
    dilation: int = 1
    transposed: bool = False

    @property
    def extent(self) -> int:
        """From the first to the last element: K of the size rules."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def down(self) -> int:
        """By how much a blob shrinks: the stride, or 1 where it grows."""
        return 1 if self.transposed else self.stride


KernelWindows = tuple[KernelWindow, KernelWindow]  # (H, W)


def windows(node: Node, shapes: Mapping[Value, IntShape]) -> KernelWindows | None:
    """A layer's windows over height and width; None for a layer that has none, or that works on other axes."""
    layer = node.layer
    if isinstance(layer, Pooling):
        if layer.kernel is None:
            return None
        h, w = (KernelWindow(*column) for column in zip(layer.kernel, layer.stride, layer.pad, strict=True))
        return h, w
    if not isinstance(layer, Convolution | Deconvolution) or not node.bottoms:
        return None
    shape = shapes.get(node.bottoms[0])
    if shape is None or len(shape) != 4:
        return None
    made = follow(lambda: layer.windows(shape))
    if isinstance(made, Unfollowed):  # reported with the shapes
        return None
    axis, found = made
    if axis != 1 or len(found) != 2:
        return None
    transposed = isinstance(layer, Deconvolution)
    h, w = (KernelWindow(k, s, p, d, transposed) for k, s, p, d in found)
    return h, w
