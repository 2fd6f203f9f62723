"""Deconvolutions whose weights, by their values, are something cheaper.

Algebra. Where channel i of the top sees channel i of the bottom alone (weights zero off the diagonal) it is a
deconvolution for each channel, with 1/C of the multiplications. If moreover each kernel is that of bilinear
interpolation by a power of two f (size 2f, stride f, weights 1 - |t - f + 1/2| / f along each axis), it is that
interpolation of the bottom with one row of zeros around it: pixel o of the top lies where pixel o + f/2 of the
interpolation does.
Both are found from the weights' values, never from names; without weights nothing is known and nothing is changed.
Within 1e-5: only zeros are left out, but sums are taken in another order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netcompile.layers.convolution import Deconvolution
from netcompile.passes.base import TRAINED, Pass, Program, Site, as_kind
from netcompile.passes.nodes.upsampling import BilinearDeconvolution, DepthwiseDeconvolution


def bilinear_factor(layer: Deconvolution) -> int:
    """The factor of interpolation that the kernel's size and stride would fit; 0 if none."""
    f = layer.stride[0]
    fits = {*layer.stride} == {f} and {*layer.kernel} == {2 * f} and {*layer.dilation} == {1}
    return f if fits and f > 1 and f & (f - 1) == 0 and not layer.bias else 0


Upsampling = Site[Deconvolution]  # the layer that the weights allow: the same if none


def match(program: Program) -> Iterator[Upsampling]:
    facts = program.facts
    for node in program.graph.nodes:
        layer, key = node.layer, (node.name, node.occurrence)
        if not isinstance(layer, Deconvolution) or type(layer) is not Deconvolution:
            continue
        cheaper: Deconvolution = layer
        if key in facts.bilinear and bilinear_factor(layer) and len(node.bottoms) == 1:
            cheaper = as_kind(BilinearDeconvolution, layer)
        elif key in facts.diagonal and layer.group == 1:
            cheaper = as_kind(DepthwiseDeconvolution, layer, group=layer.outputs)
        yield Site(node, cheaper)


def check(program: Program, site: Upsampling) -> str:
    if program.graph.train:
        return TRAINED
    if not program.facts.known:
        return "the weights are not given"
    if any(spec.name for spec in site.node.params):
        return "its blobs are shared"
    if (site.node.name, site.node.occurrence) not in program.facts.diagonal:
        return "its weights are not diagonal"
    return "" if site.found is not site.node.layer else "it has a group for each channel, and does not interpolate"


def rewrite(program: Program, sites: Sequence[Upsampling]) -> Program:
    return program.with_layers((site.node, site.found) for site in sites)


UPSAMPLING = Pass("upsampling", 1e-5, match, rewrite, check)
