"""Which window of each blob is needed, from the outputs back, and which one its layer is to compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from netcompile.ir.graph import Value
from netcompile.ir.prune import needed
from netcompile.layers.convolution import Convolution, Deconvolution
from netcompile.layers.crop import Crop
from netcompile.layers.pooling import Pooling
from netcompile.passes.borders import Borders, least_base
from netcompile.passes.image_net import ImageNet
from netcompile.passes.windows import Window, always, backward, both, common, hull

COPY = 60  # multiplications in the time that it takes to copy a byte


@dataclass(frozen=True, slots=True)
class Plan:
    """Windows of a net's values; `bordered` are those whose border is put around what their layer computes."""

    net: ImageNet
    need: Mapping[Value, Window]
    make: Mapping[Value, Window]
    literal: frozenset[int]  # layers that compute their whole tops
    bordered: frozenset[Value]
    borders: Borders
    base: int


# The window that a layer computes, what it asks of its bottoms for it, and whether a border goes around it.
_Step = tuple[Window, list[Window | None], bool]


def make_plan(net: ImageNet, borders: Borders) -> Plan | str:
    """The windows of all values, or why there are none. Raises SizeTooComplex where sizes cannot be compared."""
    need, make = dict[Value, Window](), dict[Value, Window]()
    literal, bordered = set[int](), set[Value]()

    def require(value: Value, window: Window | None) -> None:
        if window is not None:
            need[value] = both(hull, need[value], window) if value in need else window

    outputs = [net.graph.blobs[blob] for blob in net.graph.outputs]
    alive = needed(net.graph.nodes, outputs)
    for value in outputs:
        require(value, net.whole(value))
    for index, node in reversed(list(enumerate(net.graph.nodes))):
        if alive.isdisjoint(node.tops):
            continue
        step = _step(net, index, need, borders)
        if step is None:
            literal.add(index)
            for value in (*node.tops, *node.bottoms):
                require(value, net.whole(value))
            continue
        make[node.tops[0]], asks, has_border = step
        for bottom, window in zip(node.bottoms, asks, strict=True):
            require(bottom, window)
        if has_border:
            bordered.add(node.tops[0])
    base = least_base(net, borders, {value: need[value] for value in bordered}) if bordered else 0
    if base is None:
        return "the borders have no middle"
    return Plan(net, need, make, frozenset(literal), frozenset(bordered), borders, base)


def _step(net: ImageNet, index: int, need: Mapping[Value, Window], borders: Borders) -> _Step | None:
    """How a layer computes what is needed of its top; None if it computes its whole tops."""
    node, found = net.graph.nodes[index], net.reach.get(index)
    if found is None or len(node.tops) != 1 or node.tops[0] not in need:
        return None
    top, layer = node.tops[0], node.layer
    want, size = need[top], net.whole(top)
    assert size is not None
    make, bordered = want, False
    if _pays(net, index, want, borders):
        inner = both(common, want, net.seen[top])
        if all(always(span.hi, span.lo + 1) for span in inner):
            make, bordered = inner, True
    if make == size and not isinstance(layer, Crop):
        return None
    asks: list[Window | None] = []
    for bottom, reach in zip(node.bottoms, found, strict=True):
        limits = net.whole(bottom)
        assert limits is not None
        if reach is None:
            asks.append(None)
            continue
        raw = both(backward, make, reach)
        kept = both(common, raw, limits)
        if not all(always(span.hi, span.lo + 1) for span in kept):
            return None
        if kept != raw and not isinstance(layer, (Deconvolution, Convolution)):
            return None
        copied = kept != raw and isinstance(layer, Convolution) and bottom != net.image
        if copied and not bordered and 10 * net.area(make) > 9 * net.area(size):
            return None  # zeros would have to be put around a copy, and little is saved
        asks.append(kept)
    return make, asks, bordered


def _pays(net: ImageNet, index: int, want: Window, borders: Borders) -> bool:
    """Whether the border is put around what depends on the image, sooner than computed along with it.

    Behind a pooling always, since that keeps all layers before it to the image's window; elsewhere where the layer
    saves more than it costs to copy its top.
    """
    node = net.graph.nodes[index]
    top = node.tops[0]
    if top not in borders.values:
        return False
    seen = net.seen[top]
    beyond = [s.lo - w.lo for w, s in zip(want, seen, strict=True)]
    beyond += [w.at(n)[1] - s.at(n)[1] for w, s, n in zip(want, seen, net.declared, strict=True)]
    if max(beyond) <= 0:
        return False
    if isinstance(node.layer, Pooling) and max(node.layer.stride) > 1:
        return True
    bottoms, shape = [net.known[b] for b in node.bottoms], net.known[top]
    share = (net.area(want) - net.area(both(common, want, seen))) / prod(shape[2:])
    saved = share * node.layer.macs(bottoms, [shape])
    return saved > COPY * 4 * prod(shape[:2]) * net.area(want)
