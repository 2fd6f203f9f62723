"""Convolutions by Winograd's algorithm: which ones. Large kernels are a matter of their own: `large_kernels`.

Algebra. m pixels of a convolution with 3 weights are coefficients of a product of polynomials, which its values at
m + 1 points and at infinity determine: m + 2 products along an axis where 3 m were, and sums before and after. Sums
cost as much as there are channels, products their square, so the layers with many channels gain. m = 4 leaves a quarter
of the products and takes four times the weights' memory; m = 2 leaves four of nine, takes less than twice the memory,
and has less to cut off at the ends of small blobs. bfloat16 has too few digits for m = 4.
Preserves: within(1e-5) in float32; the emitted layer decides at run time, by the number of pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import prod

from netcompile.analysis.shapes import Shapes
from netcompile.ir.graph import Node
from netcompile.layers.base import IntShape
from netcompile.passes import large_kernels
from netcompile.passes.fused import FusedConvolution

MEMORY = 176 << 20  # bytes that the transformed kernels of a net may take
LARGE = 2048  # pixels of a blob from which on m = 4 is worth its memory
CHANNELS = 32  # harmonic sum of input and output channels from which on the products weigh more than the sums


def choose(nodes: Iterable[Node], shapes: Shapes, float32: bool = True) -> list[Node]:
    """The nodes with `winograd` or `large` set where it pays.

    Of 3 × 3 convolutions, those with the most pixels for each kernel come first: all with m = 2, then with m = 4,
    while memory lasts.
    """
    found, left = list(nodes), MEMORY
    bottoms = {i: shapes[node.bottoms[0]] for i, node in enumerate(found) if isinstance(node.layer, FusedConvolution)}
    for tile, least in ((2, 0), (4, LARGE)):
        for index, bottom in sorted(bottoms.items(), key=lambda item: -prod(item[1][2:])):
            layer = found[index].layer
            assert isinstance(layer, FusedConvolution)
            if float32 and is_large(layer, bottom):
                found[index] = replace(found[index], layer=replace(layer, large=True))
                continue
            kernels = 4 * layer.outputs * layer.channels(bottom)
            more = kernels * ((tile + 2) ** 2 - (layer.winograd + 2) ** 2 * bool(layer.winograd))
            if suits(layer, bottom) and prod(bottom[2:]) >= least and more <= left:
                left -= more
                found[index] = replace(found[index], layer=replace(layer, winograd=tile))
    return found


def is_large(layer: FusedConvolution, bottom: IntShape) -> bool:
    """Whether a layer has a large kernel that `large_kernels` is for."""
    kernel, strides, pads, dilations = zip(*layer.windows(bottom)[1], strict=True)
    return large_kernels.suits(kernel, {*strides, *dilations}, layer.group, layer.outputs, bottom, pads[0])


def suits(layer: FusedConvolution, bottom: IntShape) -> bool:
    """Whether a layer can run so, and has the channels for it."""
    _, windows = layer.windows(bottom)
    fits = all((k, s, d) == (3, 1, 1) for k, s, _, d in windows) and layer.group == 1
    inputs, outputs = layer.channels(bottom), layer.outputs
    return fits and inputs * outputs >= CHANNELS * (inputs + outputs)
