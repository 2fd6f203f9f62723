"""Where a pixel of a blob lies in the input: the coordinate map of every value, for height and width.

Every value has a *coordinate frame*: a root, and the map from the value's indices to coordinates of the root. A root is
an input, or the top of a layer whose pixels correspond to none of its bottom's (InnerProduct). Where a layer joins
several bottoms, bottoms of one root must have equal maps, and are compared; bottoms of two roots give the map from one
root to the other. So all paths to a common ancestor are compared; Caffe's own coord_map.py follows one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from netcompile.algebra.coords import AxisMap
from netcompile.analysis import follow
from netcompile.analysis.follow import Unfollowed
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import IDENTITY, Axes, IntShape
from netcompile.layers.crop import Crop

Way = list[tuple[Value, Axes]]  # values on the way down, each with its map to the value before it


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two bottoms of a layer lie differently over their common ancestor; maps are from the bottoms to the root."""

    node: Node
    bottoms: tuple[int, int]
    maps: tuple[Axes, Axes]


@dataclass(frozen=True, slots=True)
class CropNeed:
    """What alignment asks of a crop: offsets for height and width (that of the first pixels where the strides
    differ), None where there are none, and why."""

    offsets: tuple[Fraction, Fraction] | None
    why: str = ""
    strides_agree: bool = True


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Per value its root and its map to it; the joins that disagree; what each crop would need."""

    frames: Mapping[Value, tuple[Value, Axes]]
    conflicts: tuple[Conflict, ...]
    crops: Mapping[int, CropNeed]  # by node index
    local: Mapping[Value, tuple[Value, Axes]]  # per value: the bottom that it follows, and the map to that bottom
    depth: Mapping[Value, int]  # how many steps of `local` lie above a value; 0 is left out

    def path(self, value: Value) -> Way:
        """From the root down to `value`: each value with its map to the value before it."""
        chain = []
        while value in self.local:
            parent, axes = self.local[value]
            chain.append((value, axes))
            value = parent
        chain.reverse()
        return chain

    def ways(self, a: Value, b: Value) -> tuple[Value, Way, Way]:
        """The nearest value above both, and the ways from there down to `a` and to `b`, each as `path` tells it.

        Where two inputs are tied to each other, the first one that has a way down stands for the ancestor.
        """
        up_a: Way = []
        up_b: Way = []
        above, deep = self.depth.get(a, 0), self.depth.get(b, 0)
        while a != b and (above or deep):
            left, right = above >= deep, deep >= above
            if left:
                up_a.append((a, self.local[a][1]))
                a, above = self.local[a][0], above - 1
            if right:
                up_b.append((b, self.local[b][1]))
                b, deep = self.local[b][0], deep - 1
        up_a.reverse()
        up_b.reverse()
        return (b if up_b and not up_a else a), up_a, up_b


def compose(outer: Axes, inner: Axes) -> Axes:
    """First `inner` (from a value to its bottom), then `outer` (from that bottom on)."""
    high = outer[0].compose(inner[0])
    if outer[0] is outer[1] and inner[0] is inner[1]:  # most nets are square
        return (high, high)
    return (high, outer[1].compose(inner[1]))


def inverse(axes: Axes) -> Axes:
    return (axes[0].inverse(), axes[1].inverse())


class _Frames:
    """Union-find over roots. Each link holds the map from the child root's coordinates to the parent's."""

    def __init__(self) -> None:
        self.of: dict[Value, tuple[Value, Axes]] = {}
        self.link: dict[Value, tuple[Value, Axes]] = {}

    def root(self, root: Value) -> tuple[Value, Axes]:
        axes = IDENTITY
        while root in self.link:
            root, step = self.link[root]
            axes = compose(step, axes)
        return root, axes

    def find(self, value: Value) -> tuple[Value, Axes]:
        root, axes = self.of[value]
        if root not in self.link:
            return root, axes
        top, step = self.root(root)
        found = (top, compose(step, axes))
        self.of[value] = found
        return found

    def tie(self, child: Value, axes: Axes, parent: Value) -> None:
        self.link[child] = (parent, axes)


def coordinates(graph: Graph, shapes: Mapping[Value, IntShape]) -> Coordinates:
    """The frame of every value of the graph, in one pass over the layers."""
    frames = _Frames()
    order = {entry.value: index for index, entry in enumerate(graph.inputs)}
    for value in order:
        frames.of[value] = (value, IDENTITY)
    conflicts: list[Conflict] = []
    crops: dict[int, CropNeed] = {}
    local: dict[Value, tuple[Value, Axes]] = {}
    depth: dict[Value, int] = {}
    for index, node in enumerate(graph.nodes):
        if any(b not in shapes for b in node.bottoms) or any(b not in frames.of for b in node.bottoms):
            for top in node.tops:
                frames.of[top] = (top, IDENTITY)
            continue
        bottoms = tuple(shapes[b] for b in node.bottoms)
        if isinstance(node.layer, Crop):
            found = _crop_need(frames, node, bottoms)
            crops[index] = found
            if found.offsets is not None and found.strides_agree:
                # Downstream, the crop counts as aligned: a wrong offset is reported once, where it stands.
                need = (AxisMap.crop(found.offsets[0]), AxisMap.crop(found.offsets[1]))
                local[node.tops[0]] = (node.bottoms[0], need)
                depth[node.tops[0]] = depth.get(node.bottoms[0], 0) + 1
                frames.of[node.tops[0]] = frames.find(node.bottoms[1])
                continue
        refused = any(top not in shapes for top in node.tops)
        maps = () if refused else follow.coords(node, bottoms)
        if isinstance(maps, Unfollowed):
            maps = ()
        chosen: tuple[Value, Axes] | None = None
        first = 0
        for position, axes in enumerate(maps or ()):
            if axes is None:
                continue
            root, step = frames.find(node.bottoms[position])
            here = compose(step, axes)
            if chosen is None:
                chosen, first = (root, here), position
                for top in node.tops:
                    local[top] = (node.bottoms[position], axes)
                    depth[top] = depth.get(node.bottoms[position], 0) + 1
            elif root == chosen[0]:
                if here != chosen[1]:
                    conflicts.append(Conflict(node, (first, position), (chosen[1], here)))
            elif order.get(root, len(order)) < order.get(chosen[0], len(order)):
                frames.tie(chosen[0], compose(here, inverse(chosen[1])), root)
                chosen = (root, here)
            else:
                frames.tie(root, compose(chosen[1], inverse(here)), chosen[0])
        for top in node.tops:
            frames.of[top] = chosen if chosen is not None else (top, IDENTITY)
    resolved = {value: frames.find(value) for value in frames.of}
    return Coordinates(resolved, tuple(conflicts), crops, local, depth)


def _crop_need(frames: _Frames, node: Node, bottoms: tuple[IntShape, ...]) -> CropNeed:
    if any(len(shape) != 4 for shape in bottoms):
        return CropNeed(None, "alignment is defined for blobs with height and width only")
    (root_a, a), (root_b, b) = frames.find(node.bottoms[0]), frames.find(node.bottoms[1])
    if root_a != root_b:
        return CropNeed(
            None,
            f"'{node.bottoms[0].blob}' and '{node.bottoms[1].blob}' have no common ancestor "
            "whose pixels both can be traced to",
        )
    high, wide = ((b[i].offset - a[i].offset) / a[i].stride for i in (0, 1))
    for axis, name in enumerate(("height", "width")):
        if a[axis].stride != b[axis].stride:
            why = (
                f"strides differ in {name}: '{node.bottoms[0].blob}' has {a[axis].stride}, "
                f"'{node.bottoms[1].blob}' has {b[axis].stride}, so at most their first pixels can be aligned"
            )
            return CropNeed((high, wide), why, strides_agree=False)
    return CropNeed((high, wide))
