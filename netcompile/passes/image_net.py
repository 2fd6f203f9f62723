"""A net of one image, its blobs' sizes as functions of the image's, and what each layer sees of its bottoms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial, reduce

from netcompile.algebra.volume import Volume
from netcompile.analysis.shapes import Shapes
from netcompile.ir.graph import Graph, Value
from netcompile.layers.base import Dim, Shape
from netcompile.passes.base import TRAINED, Program
from netcompile.passes.windows import Reaches, Span, Window, both, common, forward, hull, reaches


@dataclass(frozen=True, slots=True)
class ImageNet:
    """A net of one image; `seen` is the window of each value that depends on the image."""

    graph: Graph
    known: Shapes
    shapes: Mapping[Value, Shape | None]
    declared: tuple[int, int]
    image: Value
    reach: Mapping[int, tuple[Reaches | None, ...]]  # by the layer's index, for each bottom
    seen: Mapping[Value, Window]

    def size(self, value: Value, axis: int) -> Dim:
        """The extent of a value along the height (0) or the width (1), 0 where it is not known."""
        return (self.shapes[value] or (0,) * 4)[2 + axis]

    def whole(self, value: Value) -> Window | None:
        """All pixels of a value; None where it has no height and width that are followed."""
        return _whole(self.shapes.get(value))

    def area(self, window: Window) -> int:
        """Pixels of a window for the declared size of the image."""
        (top, bottom), (left, right) = (span.at(n) for span, n in zip(window, self.declared, strict=True))
        return (bottom - top) * (right - left)


def read_image_net(program: Program) -> ImageNet | str:
    """The net, or why it is none that windows are for. Raises SizeTooComplex where sizes cannot be compared."""
    graph, known = program.graph, program.shapes
    if graph.train:
        return TRAINED
    if not program.legal:
        return "the net is not legal for its declared size"
    if len(graph.inputs) != 1 or len(graph.inputs[0].shape) != 4:
        return "the net has not one input with four axes"
    sym, image = program.symbolic, graph.inputs[0].value
    if image not in sym.spatial or any(value == image for value, _ in sym.pins):
        return "the input has a fixed size"
    reach = {
        index: found
        for index, node in enumerate(graph.nodes)
        if all(sym.shapes.get(v) is not None for v in (*node.bottoms, *node.tops))
        and (found := reaches(node, [known[b] for b in node.bottoms])) is not None
    }
    return ImageNet(graph, known, sym.shapes, sym.declared, image, reach, _seen(graph, image, sym.shapes, reach))


def _whole(shape: Shape | None) -> Window | None:
    if shape is None or len(shape) != 4 or any(isinstance(dim, Volume) for dim in shape[2:]):
        return None
    return Span(0, shape[2]), Span(0, shape[3])


def _seen(
    graph: Graph, image: Value, shapes: Mapping[Value, Shape | None], reach: Mapping[int, tuple[Reaches | None, ...]]
) -> dict[Value, Window]:
    """From the image on: the pixels that see any of it."""
    seen = {image: whole} if (whole := _whole(shapes.get(image))) is not None else {}
    for index, node in enumerate(graph.nodes):
        for top in node.tops:
            size = _whole(shapes.get(top))
            if size is None:
                continue
            pairs = [(b, r) for b, r in zip(node.bottoms, reach.get(index, ()), strict=False) if r is not None]
            if index not in reach or any(bottom not in seen for bottom, _ in pairs):
                seen[top] = size
            else:
                parts = [both(common, both(forward, seen[bottom], r), size) for bottom, r in pairs]
                seen[top] = reduce(partial(both, hull), parts)
    return seen
