"""3 × 3 convolutions by Winograd's algorithm: which ones, and the class that runs them in emitted code.

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
from netcompile.passes.fused import FusedConvolution

MEMORY = 256 << 20  # bytes that the transformed kernels of a net may take
LARGE = 2048  # pixels of a blob from which on m = 4 is worth its memory
CHANNELS = 32  # harmonic sum of input and output channels from which on the products weigh more than the sums


def choose(nodes: Iterable[Node], shapes: Shapes) -> list[Node]:
    """The nodes with `winograd` set where it pays: those with the most pixels for each kernel, while memory lasts."""
    found, left = list(nodes), MEMORY
    pixels = {i: prod(shapes[node.bottoms[0]][2:]) for i, node in enumerate(found) if node.bottoms}
    for index in sorted(pixels, key=lambda i: -pixels[i]):
        layer = found[index].layer
        if not isinstance(layer, FusedConvolution):
            continue
        bottom = shapes[found[index].bottoms[0]]
        tile = 4 if pixels[index] >= LARGE else 2
        needed = 4 * (tile + 2) ** 2 * layer.outputs * layer.channels(bottom)
        if suits(layer, bottom) and needed <= left:
            left -= needed
            found[index] = replace(found[index], layer=replace(layer, winograd=tile))
    return found


def suits(layer: FusedConvolution, bottom: IntShape) -> bool:
    """Whether a layer can run so, and has the channels for it."""
    _, windows = layer.windows(bottom)
    fits = all((k, s, d) == (3, 1, 1) for k, s, _, d in windows) and layer.group == 1
    inputs, outputs = layer.channels(bottom), layer.outputs
    return fits and inputs * outputs >= CHANNELS * (inputs + outputs)
