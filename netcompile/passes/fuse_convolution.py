"""Let a convolution compute what follows it: BatchNorm and Scale become part of its weights, a ReLU part of the call.

Algebra. BatchNorm at test is ``(y - mean) · r`` with ``r = 1/sqrt(variance + eps)``, Scale is ``y · g + b``. Both act
on channels, as a convolution's weights do: behind ``y = W * x + c`` they give ``(g·r·W) * x + (g·r·(c - mean) + b)``.
The convolution's own top must have no other use. Only two-dimensional convolutions whose blobs nobody shares.
Within 1e-5: the new weights are rounded once more. A net built for training stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from netcompile.caffemodel.arithmetic import Add, Multiply, Rsqrt, ScaledByFactor, Subtract
from netcompile.caffemodel.recipe import Constant, Recipe, Reshape, Take
from netcompile.ir.graph import Node, Value
from netcompile.layers.activation import ReLU
from netcompile.layers.base import IntShape
from netcompile.layers.convolution import Convolution
from netcompile.layers.elementwise import Bias, Scale
from netcompile.layers.normalisation import BatchNorm
from netcompile.passes.base import INFINITE, TRAINED, Pass, Program, Site, as_kind
from netcompile.passes.nodes.convolution import FusedConvolution

Fold = Site[tuple[Node, ...]]  # a convolution and the layers behind it that it can compute; the last is the site's node


def match(program: Program) -> Iterator[Fold]:
    """Every convolution, and for each layer that may be folded into one the chain up to it."""
    ends: dict[Value, tuple[Node, ...]] = {}
    for node in program.graph.nodes if program.legal else ():
        if isinstance(node.layer, Convolution):
            chain: tuple[Node, ...] = (node,)
            if not isinstance(node.layer, FusedConvolution):
                yield Site(node, chain)
        elif len(node.bottoms) == len(node.tops) == 1 and node.bottoms[0] in ends:
            chain = (*ends[node.bottoms[0]], node)
            if _has_relu(chain[-2]) or not _foldable(node, program.shapes[node.bottoms[0]]):
                continue
            yield Site(node, chain)
        else:
            continue
        ends[node.tops[0]] = chain


def _has_relu(node: Node) -> bool:
    return isinstance(node.layer, ReLU) or (isinstance(node.layer, FusedConvolution) and node.layer.relu)


def _foldable(node: Node, bottom: IntShape) -> bool:
    match node.layer:
        case ReLU() as layer:
            return not layer.slope
        case BatchNorm() as layer:
            return layer.use_global_stats is not False
        case Scale() | Bias() as layer:
            return layer.span(bottom) == (1, 2)
    return False


def check(program: Program, site: Fold) -> str:
    if program.graph.train:
        return TRAINED
    first, *behind = site.found
    assert isinstance(first.layer, Convolution)
    why = _unfit(first, first.layer, program.shapes[first.bottoms[0]])
    if why:
        return why
    for node in behind:
        value = node.bottoms[0]
        if program.uses[value] > 1:
            return f"'{value.blob}' has another use"
        if any(spec.name for spec in node.params):
            return "its blobs are shared"
        if (node.name, node.occurrence) in program.facts.infinite:
            return INFINITE
    return ""


def _unfit(node: Node, layer: Convolution, bottom: IntShape) -> str:
    axis, windows = layer.windows(bottom)
    if len(node.bottoms) > 1 or axis != 1 or len(windows) != 2:
        return "not one convolution over two axes"
    if any(spec.name for spec in node.params):
        return "its blobs are shared"
    if any(layer.shortfall(bottom[2:], windows)):
        return "its window is larger than the blob"
    return ""


def rewrite(program: Program, sites: Sequence[Fold]) -> Program:
    longest = {id(site.found[0]): site.found for site in sites}  # those of one convolution come shortest first
    gone = {id(node) for chain in longest.values() for node in chain[1:]}
    kept = [node for node in program.graph.nodes if id(node) not in gone]
    return program.with_nodes(_fused(*longest[id(node)]) if id(node) in longest else node for node in kept)


def _fused(node: Node, *behind: Node) -> Node:
    """The convolution with the layers behind it in it."""
    assert isinstance(node.layer, Convolution)
    layer = node.layer
    if not isinstance(layer, FusedConvolution):
        layer = as_kind(FusedConvolution, layer, own_pad=layer.pad)
    for other in behind:
        layer = replace(layer, relu=True) if isinstance(other.layer, ReLU) else _folded(node, layer, other)
    return replace(node, layer=layer, tops=(behind or (node,))[-1].tops, params=())


def _folded(made: Node, conv: FusedConvolution, node: Node) -> FusedConvolution:
    """The convolution with a layer that scales and shifts its channels in its weights."""
    layer, blobs = node.layer, [Take(node.name, index, node.occurrence) for index in range(3)]
    channels = (conv.outputs,)
    weight = Take(made.name, 0, made.occurrence) if conv.weight is None else conv.weight
    shift: Recipe = Constant(0.0, channels)
    if conv.bias:
        shift = Take(made.name, 1, made.occurrence) if conv.shift is None else conv.shift
    if isinstance(layer, Bias):
        return replace(conv, bias=True, weight=weight, shift=Add(shift, blobs[0]))
    factor: Recipe = blobs[0]  # a Scale's
    if isinstance(layer, BatchNorm):
        shift = Subtract(shift, ScaledByFactor(blobs[0], blobs[2]))
        factor = Rsqrt(ScaledByFactor(blobs[1], blobs[2]), layer.eps)
    weight = Multiply(weight, Reshape(factor, (*channels, 1, 1, 1)))
    shift = Multiply(shift, factor)
    if isinstance(layer, Scale) and layer.bias:
        shift = Add(shift, blobs[1])
    return replace(conv, bias=True, weight=weight, shift=shift)


FUSE_CONVOLUTION = Pass("fuse-convolution", 1e-5, match, rewrite, check)


Convolved = Site[tuple[FusedConvolution, IntShape]]  # a convolution that this pass has made, and its bottom's shape


def convolutions(program: Program) -> list[Convolved]:
    """All of them, for passes that choose how they run."""
    fused = [(node, node.layer) for node in program.graph.nodes if isinstance(node.layer, FusedConvolution)]
    return [Site(node, (layer, program.shapes[node.bottoms[0]])) for node, layer in fused]


def no_plain_sliding(layer: FusedConvolution, bottom: IntShape) -> str:
    """Why a convolution does not slide one kernel over neighbouring pixels, as algorithms that share work need it."""
    if not layer.slides(bottom):
        return "its stride or dilation is not 1"
    return "it has groups" if layer.group > 1 else ""
