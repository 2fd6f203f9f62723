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
from dataclasses import dataclass
from math import prod

from netcompile.passes.base import Pass, Program
from netcompile.passes.fuse_convolution import ConvolutionSite, convolutions
from netcompile.passes.nodes import as_kind
from netcompile.passes.nodes.winograd import WinogradConvolution

MEMORY = 176 << 20  # bytes that the transformed kernels of a net may take
LARGE = 2048  # pixels of a blob from which on m = 4 is worth its memory
CHANNELS = 32  # harmonic sum of input and output channels from which on the products weigh more than the sums


@dataclass(frozen=True, slots=True)
class Tiled(ConvolutionSite):
    """A 3 × 3 convolution, and the width of its tiles: 0 where there is no memory for any."""

    tile: int = 0


def match(program: Program) -> list[Tiled]:
    """Every 3 × 3 convolution.

    Those with the most pixels for each kernel come first: all with m = 2, then with m = 4, while memory lasts.
    """
    found = [site for site in convolutions(program) if site.layer.kernel_at(site.bottom) == (3, 3)]
    found.sort(key=lambda site: -prod(site.bottom[2:]))
    tiles = {id(site.node): site.layer.tile for site in found if isinstance(site.layer, WinogradConvolution)}
    new = [site for site in found if id(site.node) not in tiles]
    left = MEMORY - sum(_memory(site, tiles.get(id(site.node), 0)) for site in found)
    for tile, least in ((2, 0), (4, LARGE)):
        for site in new:
            more = _memory(site, tile) - _memory(site, tiles.get(id(site.node), 0))
            if not _unfit(site) and prod(site.bottom[2:]) >= least and more <= left:
                left -= more
                tiles[id(site.node)] = tile
    return [Tiled(site.node, site.layer, site.bottom, tiles.get(id(site.node), 0)) for site in new]


def _memory(site: ConvolutionSite, tile: int) -> int:
    """Bytes of the transformed kernels."""
    return 4 * site.layer.outputs * site.layer.channels(site.bottom) * (tile + 2) ** 2 if tile else 0


def _unfit(site: ConvolutionSite) -> str:
    inputs, outputs = site.layer.channels(site.bottom), site.layer.outputs
    if not site.layer.slides(site.bottom):
        return "its stride or dilation is not 1"
    if site.layer.group > 1:
        return "it has groups"
    if inputs * outputs < CHANNELS * (inputs + outputs):
        return f"{inputs} and {outputs} channels are too few for it to pay"
    return ""


def check(program: Program, site: Tiled) -> str:
    return _unfit(site) or (
        "" if site.tile else "the kernels of other layers take all the memory that there is for them"
    )


def rewrite(program: Program, sites: Sequence[Tiled]) -> Program:
    return program.with_layers((s.node, as_kind(WinogradConvolution, s.layer, tile=s.tile)) for s in sites)


WINOGRAD = Pass("winograd", 1e-5, match, rewrite, check)
