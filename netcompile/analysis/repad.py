"""The least padding for which every crop of a net stays legal, and what a change of padding does to its values.

FCNs pad their first convolution by 100 on each side, so that the smallest image survives five poolings and a 7×7
window. How much it takes depends on the sizes that have to go through. A pad shifts every grid behind it, so crop
offsets follow; where the shift is no multiple of the coarsest stride, poolings group other pixels than before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from netcompile.algebra.nset import NSet
from netcompile.analysis import follow
from netcompile.analysis.coordinates import Coordinates
from netcompile.analysis.crops import resolve
from netcompile.analysis.follow import Unfollowed
from netcompile.analysis.proof import resized
from netcompile.analysis.receptive import receptive_fields
from netcompile.analysis.shapes import Shapes, each_refusal, infer, input_problems
from netcompile.analysis.symbolic import Symbolic, legal, symbolic
from netcompile.analysis.windows import windows
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import IntShape
from netcompile.layers.convolution import Convolution
from netcompile.layers.crop import Crop
from netcompile.layers.pooling import Pooling

LIMIT = 512  # no search goes on beyond this pad, or twice the present one
WORK = 10_000  # layers times pads that are tried at most, but `FEWEST` pads
FEWEST = 32

Goal = tuple[NSet, NSet]  # heights and widths that must be legal


def padded_layers(graph: Graph, shapes: Shapes) -> tuple[Node, ...]:
    """The layers whose pad is more than half their window; if there are none, the first window behind each input."""
    found: list[Node] = []
    first: list[Node] = []
    behind = {entry.value for entry in graph.inputs}
    for node in graph.nodes:
        pair = windows(node, shapes) if isinstance(node.layer, Convolution | Pooling) else None
        if pair is None:
            if any(b in behind for b in node.bottoms) and not isinstance(node.layer, Crop):
                behind.update(node.tops)
            continue
        if max(2 * w.pad - w.extent for w in pair) > 0:
            found.append(node)
        if any(b in behind for b in node.bottoms):
            first.append(node)
    return tuple(found or first)


def with_pad(graph: Graph, chosen: Sequence[Node], pad: int) -> Graph:
    """The graph with another pad in the chosen layers, and crops as if they declared nothing."""
    names = {(node.name, node.occurrence) for node in chosen}
    nodes = []
    for node in graph.nodes:
        layer = node.layer
        if isinstance(layer, Crop):
            node = replace(node, layer=replace(layer, offsets=None))
        elif (node.name, node.occurrence) in names and isinstance(layer, Convolution):
            node = replace(node, layer=replace(layer, pad=(pad,)))
        elif (node.name, node.occurrence) in names and isinstance(layer, Pooling):
            node = replace(node, layer=replace(layer, pad=(pad, pad)))
        nodes.append(node)
    return graph.replace(nodes=tuple(nodes))


def least_pad(
    graph: Graph, sym: Symbolic, chosen: Sequence[Node], goal: Goal, step: int = 1, present: int = 0
) -> int | None:
    """The least pad of the chosen layers, of those that differ from `present` by multiples of `step`, for which
    every crop has a whole offset, the net is legal for every extent of the goal, and all weights keep their shapes;
    None where there is none."""
    weights = _weights(graph, infer(graph)[0])
    smallest = {axis: n for axis in (0, 1) if (n := goal[axis].first()) is not None}
    for pad in tried(graph, chosen, step, present):
        changed = with_pad(graph, chosen, pad)
        # The smallest size fails first, and numbers are quick.
        small = _aligned(resized(changed, sym, smallest))
        if small is None or _weights(*small) != weights:
            continue
        found = _aligned(changed)
        if found is not None and _weights(*found) == weights and _legal(*found, goal):
            return pad
    return None


def tried(graph: Graph, chosen: Sequence[Node], step: int, present: int) -> list[int]:
    """The pads that `least_pad` looks at."""
    most = max(WORK // max(1, len(graph.nodes)), FEWEST) * step
    pads = range(present % step, min(max(LIMIT, 2 * present) + 1, most), step)
    pooled = [node.layer for node in chosen if isinstance(node.layer, Pooling)]
    return [pad for pad in pads if all(layer.may_pad(pad) for layer in pooled)]


def _weights(graph: Graph, shapes: Shapes) -> list[tuple[int, ...]]:
    """The shapes of all learned blobs."""
    known = [node for node in graph.nodes if all(value in shapes for value in (*node.bottoms, *node.tops))]
    made = [follow.blobs(node, [shapes[b] for b in node.bottoms]) for node in known]
    return [blob.shape for blobs in made if not isinstance(blobs, Unfollowed) for blob in blobs]


def _aligned(graph: Graph) -> tuple[Graph, Shapes] | None:
    """The graph with its crops resolved by alignment alone, if that leaves nothing to refuse, and its shapes."""
    shapes: dict[Value, IntShape] = {}
    refused = (problem for _, problem in each_refusal(graph, shapes))
    if input_problems(graph) or any(not problem.code.startswith("crop-") for problem in refused):
        return None
    crops = resolve(graph, shapes, "inferred")
    if crops.problems():
        return None
    resolved, problems = infer(crops.graph)
    return None if problems else (crops.graph, resolved)


def _legal(graph: Graph, shapes: Shapes, goal: Goal) -> bool:
    allowed = legal(graph, symbolic(graph, shapes), shapes).sets
    inside = follow.follow(lambda: all(wanted <= these for wanted, these in zip(goal, allowed, strict=True)))
    return inside is True


@dataclass(frozen=True, slots=True)
class Border:
    """What another pad does to values.

    `stride` is the coarsest compound stride behind the input; `aligned`: the pads differ by a multiple of it, so that
    all windows lie on the same pixels as before. Then only output pixels within `reach` input pixels of a border
    can change (None: not known); otherwise all can.
    """

    stride: int
    aligned: bool
    reach: int | None


def border(graph: Graph, shapes: Shapes, coordinates: Coordinates, old: int, new: int) -> Border:
    """For a graph that has the new pad already."""
    stride = coarsest(coordinates)
    fields = receptive_fields(graph, shapes)
    reaches = []
    for name in graph.outputs:
        pair = fields.get(graph.blobs[name])
        if pair is None or any(field.stride != 1 for field in pair):
            return Border(stride, (new - old) % stride == 0, None)
        for field in pair:
            before = max(pixel - field.lo(pixel) for pixel in range(len(field.ends)))
            behind = max(field.hi(pixel) - pixel for pixel in range(len(field.ends)))
            reaches.append(max(before, behind) - min(old, new))
    return Border(stride, (new - old) % stride == 0, max(0, *reaches) if reaches else None)


def coarsest(coordinates: Coordinates) -> int:
    """The coarsest compound stride of any blob, in pixels of the input; 1 where none is known."""
    strides = [axes[axis].stride for _, axes in coordinates.frames.values() for axis in (0, 1)]
    return max((int(s) for s in strides if s.denominator == 1), default=1)
