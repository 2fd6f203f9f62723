"""Let a convolution compute what follows it: BatchNorm and Scale become part of its weights, a ReLU part of the call.

Algebra. BatchNorm at test is ``(y - mean) · r`` with ``r = 1/sqrt(variance + eps)``, Scale is ``y · g + b``. Both act
on channels, as a convolution's weights do: behind ``y = W * x + c`` they give ``(g·r·W) * x + (g·r·(c - mean) + b)``.
3 × 3 convolutions over many channels may run by Winograd's algorithm, which takes sums in another order.
The convolution's own top must have no other use. Only two-dimensional convolutions whose blobs nobody shares.
Preserves: within(1e-5); the new weights are rounded once more. A net built for training stays as it is.
"""

from __future__ import annotations

from dataclasses import replace

from netcompile.analysis.shapes import infer
from netcompile.caffemodel.recipe import Add, Constant, Multiply, Recipe, Reshape, Rsqrt, ScaledByFactor, Subtract, Take
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.activation import ReLU
from netcompile.layers.base import IntShape
from netcompile.layers.convolution import Convolution
from netcompile.layers.elementwise import Bias, Scale
from netcompile.layers.normalisation import BatchNorm
from netcompile.passes.base import Facts, Pass, Rewritten, Skipped
from netcompile.passes.fused import FusedConvolution
from netcompile.passes.winograd import choose


def rewrite(graph: Graph, facts: Facts) -> Rewritten:
    if graph.train or not graph.nodes:
        return graph, tuple(Skipped(n, "the net is built for phase TRAIN") for n in graph.nodes[:1])
    shapes, problems = infer(graph)
    if problems:
        return graph, ()
    users: dict[Value, int] = {}
    for node in graph.nodes:
        for bottom in node.bottoms:
            users[bottom] = users.get(bottom, 0) + 1
    for blob in graph.outputs:
        users[graph.blobs[blob]] = users.get(graph.blobs[blob], 0) + 1
    nodes: list[Node] = []
    makers: dict[Value, int] = {}  # value → index of the fused convolution that makes it
    skipped: list[Skipped] = []
    changed = False
    for node in graph.nodes:
        layer = node.layer
        at = makers.get(node.bottoms[0]) if len(node.bottoms) == 1 and len(node.tops) == 1 else None
        if at is not None:
            why = ""
            before = nodes[at]
            assert isinstance(before.layer, FusedConvolution)
            merged = _merge(before, before.layer, node, shapes[node.bottoms[0]])
            if merged is not None and users.get(node.bottoms[0], 0) > 1:
                why, merged = f"'{node.bottoms[0].blob}' has another use", None
            if merged is not None:
                nodes[at] = replace(before, layer=merged, tops=node.tops)
                del makers[node.bottoms[0]]
                makers[node.tops[0]] = at
                changed = True
                continue
            if why:
                skipped.append(Skipped(node, why))
        if isinstance(layer, Convolution):
            why = _unfit(node, layer, shapes[node.bottoms[0]])
            if why:
                skipped.append(Skipped(node, why))
            else:
                changed = changed or not isinstance(layer, FusedConvolution)
                node = replace(node, layer=FusedConvolution.of(layer), params=())
                makers[node.tops[0]] = len(nodes)
        nodes.append(node)
    if not changed:
        return graph, tuple(skipped)
    nodes = choose(nodes, shapes, facts.float32)
    alive = {value for entry in graph.inputs for value in [entry.value]} | {t for n in nodes for t in n.tops}
    blobs = {blob: value for blob, value in graph.blobs.items() if value in alive}
    return graph.replace(nodes=tuple(nodes), blobs=blobs), tuple(skipped)


def _unfit(node: Node, layer: Convolution, bottom: IntShape) -> str:
    axis, windows = layer.windows(bottom)
    if len(node.bottoms) > 1 or axis != 1 or len(windows) != 2:
        return "not one convolution over two axes"
    if any(spec.name for spec in node.params):
        return "its blobs are shared"
    if any(layer.shortfall(bottom[2:], windows)):
        return "its window is larger than the blob"
    return ""


def _merge(made: Node, conv: FusedConvolution, node: Node, shape: IntShape) -> FusedConvolution | None:
    """The convolution with the layer behind it in it; None if the layer is no such layer."""
    layer = node.layer
    if conv.relu or any(spec.name for spec in node.params):
        return None
    if isinstance(layer, ReLU):
        return None if layer.slope else replace(conv, relu=True)
    blobs = [Take(node.name, index, node.occurrence) for index in range(3)]
    channels = (conv.outputs,)
    if isinstance(layer, BatchNorm) and layer.use_global_stats is not False:
        mean, variance = ScaledByFactor(blobs[0], blobs[2]), ScaledByFactor(blobs[1], blobs[2])
        factor: Recipe | None = Rsqrt(variance, layer.eps)
        before, after = mean, None
    elif isinstance(layer, Scale) and layer.span(shape) == (1, 2):
        factor, before, after = blobs[0], None, blobs[1] if layer.bias else None
    elif isinstance(layer, Bias) and layer.span(shape) == (1, 2):
        factor, before, after = None, None, blobs[0]
    else:
        return None
    weight = Take(made.name, 0, made.occurrence) if conv.weight is None else conv.weight
    shift: Recipe = Constant(0.0, channels)
    if conv.bias:
        shift = Take(made.name, 1, made.occurrence) if conv.shift is None else conv.shift
    if before is not None:
        shift = Subtract(shift, before)
    if factor is not None:
        weight = Multiply(weight, Reshape(factor, (*channels, 1, 1, 1)))
        shift = Multiply(shift, factor)
    if after is not None:
        shift = Add(shift, after)
    return replace(conv, bias=True, weight=weight, shift=shift)


FUSE_CONVOLUTION = Pass("fuse-convolution", "within(0, 1e-5)", rewrite)
