"""What a block is, by its structure, where there is a word for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netcompile.ir.graph import Node, Value
from netcompile.layers.base import IntShape
from netcompile.layers.convolution import Convolution
from netcompile.layers.elementwise import Eltwise
from netcompile.layers.shaping import Concat


def structure(nodes: Sequence[Node], shapes: Mapping[Value, IntShape]) -> str:
    """The name of a block with these layers, as in the papers that brought it, or "" where there is none."""
    convolutions = [node for node in nodes if isinstance(node.layer, Convolution)]
    if not convolutions:
        return ""
    made = {top: node for node in nodes for top in node.tops}
    joined = _last(nodes, Eltwise, shapes)
    if joined is not None and isinstance(joined.layer, Eltwise) and joined.layer.operation == "SUM":
        return _residual(joined, made, shapes)
    if (joined := _last(nodes, Concat, shapes)) is not None:
        return _joining(joined, made, shapes)
    return _chain(nodes, convolutions, shapes)


def _last(nodes: Sequence[Node], kind: type, shapes: Mapping[Value, IntShape]) -> Node | None:
    """The last layer, if it is of this kind, or only layers that work element by element follow it."""
    for node in reversed(nodes):
        if isinstance(node.layer, kind):
            return node
        if len(node.bottoms) != 1 or not node.layer.pixelwise(shapes[node.bottoms[0]]):
            return None
    return None


def _kernel(node: Node, shapes: Mapping[Value, IntShape]) -> int:
    """The largest extent of a convolution's kernel."""
    assert isinstance(node.layer, Convolution)
    return max(node.layer.kernel, default=1)


def _is_depthwise(node: Node, shapes: Mapping[Value, IntShape]) -> bool:
    """Whether a convolution treats each channel by itself."""
    assert isinstance(node.layer, Convolution)
    return node.layer.group == shapes[node.bottoms[0]][1] > 1


def _branch(value: Value, made: Mapping[Value, Node]) -> tuple[list[Node], Value] | None:
    """The convolutions on the way to a value from outside, the first one first, and that; None where ways fork."""
    found = []
    while value in made:
        node = made[value]
        if len(node.bottoms) != 1:
            return None
        if isinstance(node.layer, Convolution):
            found.append(node)
        value = node.bottoms[0]
    return found[::-1], value


def _residual(joined: Node, made: Mapping[Value, Node], shapes: Mapping[Value, IntShape]) -> str:
    """Two ways that are added (He et al. 2015)."""
    ways = [way for bottom in joined.bottoms if (way := _branch(bottom, made)) is not None]
    if len(ways) != 2 or ways[0][1] != ways[1][1] or len(joined.bottoms) > 2:
        return ""
    short, long = sorted((way for way, _ in ways), key=len)
    kernels = [_kernel(node, shapes) for node in long]
    if len(kernels) == 3 and not short and _is_depthwise(long[1], shapes) and kernels[0] == kernels[2] == 1:
        return "InvertedResidual"  # Sandler et al. 2018
    front = "" if not short else "Projected"
    if len(short) > 1:
        return ""
    if len(kernels) == 3 and kernels[0] == kernels[2] == 1 and kernels[1] > 1:
        return f"{front}Bottleneck"
    return f"{front}BasicBlock" if len(kernels) == 2 and min(kernels) > 1 else "Residual"


def _joining(joined: Node, made: Mapping[Value, Node], shapes: Mapping[Value, IntShape]) -> str:
    """Ways whose channels are put side by side."""
    found = [_branch(bottom, made) for bottom in joined.bottoms]
    origins = {way[1] for way in found if way is not None}
    if None in found or len(origins) > 1:
        return ""
    ways = [way[0] for way in found if way is not None]
    lengths = sorted(map(len, ways))
    if len(ways) == 2 and lengths[0] == 0 and lengths[1] and any(bottom not in made for bottom in joined.bottoms):
        return "DenseLayer"  # Huang et al. 2016
    firsts = {id(way[0]) for way in ways if way}
    if lengths == [2, 2] and len(firsts) == 1:
        convolutions = [way for way in ways if way]
        kernels = sorted(_kernel(way[-1], shapes) for way in convolutions)
        if _kernel(convolutions[0][0], shapes) == kernels[0] == 1 < kernels[1]:
            return "Fire"  # Iandola et al. 2016
    if any(bottom not in made for bottom in joined.bottoms):
        return ""
    return "Inception" if len(ways) > 2 and sum(length > 0 for length in lengths) > 2 else ""  # Szegedy et al. 2014


def _chain(nodes: Sequence[Node], convolutions: Sequence[Node], shapes: Mapping[Value, IntShape]) -> str:
    """Layers one behind the other."""
    if any(len(node.bottoms) != 1 or len(node.tops) != 1 for node in nodes):
        return ""
    if len(convolutions) == 2:
        depthwise, pointwise = convolutions
        if nodes[0] is depthwise and _is_depthwise(depthwise, shapes) and _kernel(pointwise, shapes) == 1:
            return "SeparableConv"  # Howard et al. 2017
    families = [node.layer.family for node in nodes]
    if families in (["convolution", "normalisation"], ["convolution", "normalisation", "activation"]):
        return "ConvBN"
    return "ConvReLU" if [node.type for node in nodes] == ["Convolution", "ReLU"] else ""
