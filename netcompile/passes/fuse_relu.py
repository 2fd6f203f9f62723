"""Let a batch normalisation or a sum do the ReLU behind it, in the memory of its own result.

Algebra: none; each number is what it was. The ReLU reads what the cache still has, and writes over it, in place of a
new blob: where a convolution reads what was normalised, nothing else takes the ReLU in. Bitwise.
The value in between must have no other use. A net built for training stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from netcompile.ir.graph import Node
from netcompile.layers.activation import ReLU
from netcompile.layers.elementwise import Eltwise
from netcompile.layers.normalisation import BatchNorm
from netcompile.passes.base import TRAINED, Pass, Program, Site, as_kind
from netcompile.passes.nodes.elementwise import RectifiedSum
from netcompile.passes.nodes.normalisation import AffineBatchNorm

Rectified = Site[Node]  # a ReLU, and the layer before it


def match(program: Program) -> Iterator[Rectified]:
    """Every ReLU behind a sum of several blobs, or a BatchNorm of images by running statistics."""
    makers = program.graph.producers() if program.legal else {}
    for node in program.graph.nodes:
        if not isinstance(node.layer, ReLU) or node.layer.slope or node.bottoms[0] not in makers:
            continue
        before = makers[node.bottoms[0]]
        match before.layer:
            case RectifiedSum():
                continue
            case Eltwise() as layer if layer.sums:
                yield Site(node, before)
            case BatchNorm() as layer if layer.use_global_stats is not False and not _has_relu(layer):
                if layer.eps > 0 and len(program.shapes[node.bottoms[0]]) == 4:
                    yield Site(node, before)


def _has_relu(layer: BatchNorm) -> bool:
    return isinstance(layer, AffineBatchNorm) and layer.relu


def check(program: Program, site: Rectified) -> str:
    if program.graph.train:
        return TRAINED
    value = site.node.bottoms[0]
    return f"'{value.blob}' has another use" if program.uses[value] > 1 else ""


def rewrite(program: Program, sites: Sequence[Rectified]) -> Program:
    relus = {id(site.found): site.node for site in sites}
    gone = {id(site.node) for site in sites}
    kept = [node for node in program.graph.nodes if id(node) not in gone]
    return program.with_nodes(_rectified(node, relus[id(node)]) if id(node) in relus else node for node in kept)


def _rectified(node: Node, relu: Node) -> Node:
    layer = node.layer
    if isinstance(layer, Eltwise):
        return replace(node, layer=as_kind(RectifiedSum, layer), tops=relu.tops)
    kind = layer if isinstance(layer, AffineBatchNorm) else as_kind(AffineBatchNorm, layer)
    return replace(node, layer=replace(kind, relu=True), tops=relu.tops)


FUSE_RELU = Pass("fuse-relu", 0, match, rewrite, check)
