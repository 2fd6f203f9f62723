"""The graph in which every layer computes its window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import Dim, Layer
from netcompile.layers.convolution import Convolution, Deconvolution
from netcompile.layers.crop import Crop
from netcompile.layers.pooling import Pooling
from netcompile.passes.base import as_kind
from netcompile.passes.nodes.windows import (
    CutWindow,
    DeconvolutionWindow,
    Surround,
    Windowable,
    WindowedDeconvolution,
)
from netcompile.passes.window_plan import Plan
from netcompile.passes.windows import Reaches, Window, backward, both, common, forward


@dataclass(frozen=True, slots=True)
class _Made:
    """What is there so far."""

    versions: dict[str, int]  # the last of each blob
    have: dict[Value, tuple[Value, Window | None]]  # a value of the net → the one that has this window of it
    cuts: dict[tuple[Value, Window], Value] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    def add(self, node: Node, layer: Layer, bottoms: tuple[Value, ...], blob: str) -> Value:
        """A layer beside `node` whose top is a new value of the blob."""
        self.versions[blob] = self.versions.get(blob, -1) + 1
        top = Value(blob, self.versions[blob])
        self.nodes.append(replace(node, layer=layer, bottoms=bottoms, tops=(top,), params=()))
        return top


def windowed_graph(plan: Plan) -> Graph:
    """The graph of a plan's windows; blobs of which it has no more than a window are gone."""
    net, graph = plan.net, plan.net.graph
    versions: dict[str, int] = {}
    for value in graph.values():
        versions[value.blob] = max(versions.get(value.blob, 0), value.version)
    made = _Made(versions, {net.image: (net.image, net.whole(net.image))})
    for index, node in enumerate(graph.nodes):
        if index in plan.literal:
            bottoms = tuple(_fetch(plan, made, node, bottom, net.whole(bottom)) for bottom in node.bottoms)
            made.nodes.append(replace(node, bottoms=bottoms))
            made.have.update((top, (top, net.whole(top))) for top in node.tops)
        elif node.tops and node.tops[0] in plan.make:
            _add_window(plan, made, index, node)
    blobs = {
        blob: made.have[value][0]
        for blob, value in graph.blobs.items()
        if value in made.have and made.have[value][1] == net.whole(value)
    }
    return graph.replace(nodes=tuple(made.nodes), blobs=blobs)


def _fetch(plan: Plan, made: _Made, node: Node, value: Value, window: Window | None) -> Value:
    """The value's window, which may stick out of the blob: then with zeros there."""
    new, have = made.have[value]
    if window is None or have is None or have == window:
        return new
    key = (value, window)
    if key not in made.cuts:
        layer = CutWindow(_offset(window, have), _extent(window), _extent(have))
        made.cuts[key] = made.add(node, layer, (new, plan.net.image), value.blob)
    return made.cuts[key]


def _add_window(plan: Plan, made: _Made, index: int, node: Node) -> None:
    """A layer that computes the window of its top, its bottoms' windows before it and its border behind it."""
    top, image, layer = node.tops[0], plan.net.image, node.layer
    make, found = plan.make[top], plan.net.reach[index]
    if isinstance(layer, Crop):
        assert found[0] is not None
        made.have[top] = (_fetch(plan, made, node, node.bottoms[0], both(backward, make, found[0])), make)
        return
    bottoms: list[Value] = []
    for bottom, reach in zip(node.bottoms, found, strict=True):
        assert reach is not None
        window = both(backward, make, reach)
        if isinstance(layer, Deconvolution):
            whole = plan.net.whole(bottom)
            assert whole is not None
            window = both(common, window, whole)
            layer = _window_of(layer, window, reach, make)
        bottoms.append(_fetch(plan, made, node, bottom, window))
    if isinstance(layer, Convolution):
        layer = replace(layer, pad=(0,))
    elif isinstance(layer, Pooling):
        layer = replace(layer, pad=(0, 0))
    elif isinstance(layer, DeconvolutionWindow):
        bottoms.append(image)
    made.nodes.append(replace(node, layer=layer, bottoms=tuple(bottoms)))
    made.have[top] = (top, make)
    if top in plan.bordered:
        want = plan.need[top]
        surround = Surround(
            _border_name(top, plan.net.graph.blobs),
            top,
            _offset(make, want),
            _extent(want),
            (want[0].lo, want[1].lo),
            plan.base,
            plan.borders.period,
        )
        made.have[top] = (made.add(node, surround, (top, image), top.blob), want)


def _window_of(layer: Deconvolution, bottom: Window, reach: Reaches, make: Window) -> DeconvolutionWindow:
    covered = both(forward, bottom, reach)
    return DeconvolutionWindow(movable(layer), _offset(make, covered), _extent(make), _extent(covered))


def movable(layer: Deconvolution) -> Deconvolution:
    """The layer as one whose module computes windows too."""
    return layer if isinstance(layer, (WindowedDeconvolution, Windowable)) else as_kind(WindowedDeconvolution, layer)


def _offset(window: Window, origin: Window) -> tuple[int, int]:
    """Where a window begins, counted from where another one does."""
    return window[0].lo - origin[0].lo, window[1].lo - origin[1].lo


def _extent(window: Window) -> tuple[Dim, Dim]:
    """Height and width of a window."""
    return window[0].extent, window[1].extent


def _border_name(value: Value, blobs: Mapping[str, Value]) -> str:
    """The blob's name, which is that of its last value; others have one of their own."""
    if value == blobs.get(value.blob):
        return value.blob
    name = f"{value.blob}:{value.version}"
    while name in blobs:
        name += "'"
    return name
