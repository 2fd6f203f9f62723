"""Convolutions with large kernels by Winograd's algorithm down their rows.

Algebra. Two rows of pixels, from k rows of weights, are coefficients of a product of polynomials, which its values at
k points and at infinity determine: k + 1 products in place of 2 k. Along the rows nothing changes: that would take as
much memory again for a third of the gain. The values of the kernels are made when the weights are converted, and take
(k + 1) / k of their memory: to make them at each call costs more than it saves, and to keep both would double the
largest weights of a net.
Within 1e-5 in float32. bfloat16 has too few digits: those nets keep the kernels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from netcompile.layers.base import IntShape
from netcompile.passes.base import INFINITE, Pass, Program, as_kind
from netcompile.passes.fuse_convolution import Convolved, convolutions, no_plain_sliding
from netcompile.passes.nodes.convolution import POINTS, LargeKernelConvolution

WEIGHTS = 1 << 24  # numbers from which on a kernel is large


def match(program: Program) -> Iterator[Convolved]:
    """Every convolution with so many weights that to read them takes the most time."""
    for site in convolutions(program):
        layer, bottom = site.found
        shape = layer.outputs, bottom[1], *layer.kernel_at(bottom)
        if is_large(shape) and not isinstance(layer, LargeKernelConvolution):
            yield site


def is_large(kernels: IntShape) -> bool:
    """Whether kernels of this shape, outputs and inputs first, are large: of several rows."""
    return len(kernels) == 4 and kernels[2] > 1 and prod(kernels) >= WEIGHTS


def check(program: Program, site: Convolved) -> str:
    layer, bottom = site.found
    height, _, pad, _ = layer.windows(bottom)[1][0]
    if not program.facts.float32:
        return "the net is not for float32"
    if (site.node.name, site.node.occurrence) in program.facts.infinite:
        return INFINITE
    if why := no_plain_sliding(layer, bottom):
        return why
    if not 4 <= height <= len(POINTS):
        return f"its kernel has {height} rows, not 4 to {len(POINTS)}"
    return "" if bottom[2] + 2 * pad > height else "its top has one row"


def rewrite(program: Program, sites: Sequence[Convolved]) -> Program:
    return program.with_layers((site.node, as_kind(LargeKernelConvolution, site.node.layer)) for site in sites)


LARGE_KERNELS = Pass("large-kernels", 1e-5, match, rewrite, check)
