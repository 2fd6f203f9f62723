"""3 × 3 convolutions over many channels by Winograd's algorithm.

Algebra. m pixels of a convolution with 3 weights are coefficients of a product of polynomials, which its values at
m + 1 points and at infinity determine: m + 2 products along an axis where 3 m were, and sums before and after. Sums
cost as much as there are channels, products their square, so the layers with many channels gain. m = 4 leaves a quarter
of the products and takes four times the weights' memory; m = 2 leaves four of nine, takes less than twice the memory,
and has less to cut off at the ends of small blobs. bfloat16 has too few digits for m = 4.
Within 1e-5 in float32; the emitted layer decides at run time, by the number of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from netcompile.layers.base import IntShape
from netcompile.passes.base import Pass, Program, Site, as_kind
from netcompile.passes.fuse_convolution import convolutions, no_plain_sliding
from netcompile.passes.nodes.convolution import FusedConvolution, WinogradConvolution

MEMORY = 176 << 20  # bytes that the transformed kernels of a net may take
LARGE = 256  # pixels of a blob from which on m = 4 is worth its memory
CHANNELS = 32  # harmonic sum of input and output channels from which on the products weigh more than the sums


Tiled = Site[tuple[FusedConvolution, IntShape, int]]  # with the width of its tiles, 0 where there is no memory for any


def match(program: Program) -> list[Tiled]:
    """Every 3 × 3 convolution.

    Those with the most pixels for each kernel come first: all with m = 2, then with m = 4, while memory lasts.
    """
    found = [site for site in convolutions(program) if site.found[0].kernel_at(site.found[1]) == (3, 3)]
    found.sort(key=lambda site: -prod(site.found[1][2:]))
    done = {id(site.node): site.found[0].tile for site in found if isinstance(site.found[0], WinogradConvolution)}
    tiles = {id(site.node): done.get(id(site.node), 0) for site in found}
    left = MEMORY - sum(_memory(*site.found, tiles[id(site.node)]) for site in found)
    new = [site for site in found if id(site.node) not in done]
    for tile, least in ((2, 0), (4, LARGE)):
        for site in new:
            layer, bottom = site.found
            more = _memory(layer, bottom, tile) - _memory(layer, bottom, tiles[id(site.node)])
            if not _unfit(layer, bottom) and prod(bottom[2:]) >= least and more <= left:
                left -= more
                tiles[id(site.node)] = tile
    return [Site(site.node, (*site.found, tiles[id(site.node)])) for site in new]


def _memory(layer: FusedConvolution, bottom: IntShape, tile: int) -> int:
    """Bytes of the transformed kernels."""
    return 4 * layer.outputs * layer.channels(bottom) * (tile + 2) ** 2 if tile else 0


def _unfit(layer: FusedConvolution, bottom: IntShape) -> str:
    inputs, outputs = layer.channels(bottom), layer.outputs
    few = inputs * outputs < CHANNELS * (inputs + outputs)
    return no_plain_sliding(layer, bottom) or (
        f"{inputs} and {outputs} channels are too few for it to pay" if few else ""
    )


def check(program: Program, site: Tiled) -> str:
    layer, bottom, tile = site.found
    return _unfit(layer, bottom) or (
        "" if tile else "the kernels of other layers take all the memory that there is for them"
    )


def rewrite(program: Program, sites: Sequence[Tiled]) -> Program:
    return program.with_layers((s.node, as_kind(WinogradConvolution, s.node.layer, tile=s.found[2])) for s in sites)


WINOGRAD = Pass("winograd", 1e-5, match, rewrite, check)
