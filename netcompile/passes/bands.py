"""Compute the first convolutions, up to a pooling, in bands of rows.

Algebra. Behind convolutions with stride 1 and without padding, rows [a, b) depend on rows [a, b + Σ(kernel - 1)) of
their bottom. Pooling windows that do not overlap divide the rows, so bands whose height is a multiple of the stride
give the pooling's rows one after the other. A band computes Σ(kernel - 1) rows of the first convolution again.
What lies between is never whole in memory: at 500 × 500 pixels, 64 channels are 64 MB, several times what a cache
holds. Small blobs are one band; the emitted code decides, by size.
It is the windowed net that is so computed: there nothing is padded, and another graph declares the parameters.
Within 1e-5, since a smaller blob may be convolved by another algorithm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from netcompile.analysis.shapes import Shapes
from netcompile.ir.graph import Node
from netcompile.layers.base import Layer
from netcompile.layers.pooling import Pooling
from netcompile.passes.base import Pass, Program, Site, with_nodes
from netcompile.passes.nodes.bands import Bands
from netcompile.passes.nodes.convolution import FusedConvolution

Chain = Site[tuple[Node, ...]]  # a pooling, and the convolutions before it, whose tops nothing else reads


def match(program: Program) -> Iterator[Chain]:
    windowed = program.windowed
    if windowed is None:
        return
    inner = Program(windowed)
    makers = windowed.producers()
    for node in windowed.nodes:
        if not isinstance(node.layer, Pooling):
            continue
        chain: tuple[Node, ...] = ()
        before = makers.get(node.bottoms[0])
        while before is not None and inner.uses[before.tops[0]] == 1 and _slides(before.layer):
            chain = (before, *chain)
            before = makers.get(before.bottoms[0])
        yield Site(node, chain)


def _slides(layer: Layer) -> bool:
    """Whether rows of the top come from rows of the bottom that begin where they do."""
    return isinstance(layer, FusedConvolution) and set(layer.pad) == {0} and set(layer.stride) == {1}


def check(program: Program, site: Chain) -> str:
    pooling = site.node.layer
    assert isinstance(pooling, Pooling)
    if not site.found:
        return "no convolution without padding before it"
    if pooling.kernel != pooling.stride or pooling.pad != (0, 0) or pooling.mask:
        return "its windows overlap, or are padded"
    if pooling.method != "MAX" or pooling.round_mode != "CEIL":
        return "its last window may not be whole"
    return ""


def rewrite(program: Program, sites: Sequence[Chain]) -> Program:
    graph = program.windowed
    assert graph is not None
    shapes = Program(graph).shapes
    merged = {id(site.node): _banded(site, shapes) for site in sites}
    gone = {id(node) for site in sites for node in site.found}
    nodes = [merged.get(id(node), node) for node in graph.nodes if id(node) not in gone]
    return replace(program, windowed=with_nodes(graph, nodes))


def _banded(site: Chain, shapes: Shapes) -> Node:
    node, chain = site.node, site.found
    assert isinstance(node.layer, Pooling)
    layers = [(n.layer, shapes[n.bottoms[0]]) for n in chain if isinstance(n.layer, FusedConvolution)]
    bands = Bands(
        (*chain, node),
        sum(layer.kernel_at(bottom)[0] - 1 for layer, bottom in layers),
        node.layer.stride[0],
        max(layer.outputs for layer, _ in layers),
    )
    return Node(node.name, bands, chain[0].bottoms, node.tops, message=node.message)


BANDS = Pass("bands", 1e-5, match, rewrite, check)
