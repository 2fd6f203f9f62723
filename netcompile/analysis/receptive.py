"""Receptive fields: which pixels of the input one pixel of a blob can see, exactly, along all paths.

Along one axis, pixel i of a blob sees the input's pixels lo(i) … hi(i). A window of extent e, stride s and pad p makes

    top pixel i  sees bottom pixels  s·i - p  …  s·i - p + e - 1,

its transpose (Deconvolution) the pixels j whose windows cover i:

    top pixel i  sees bottom pixels  ⌈(i + p - e + 1)/s⌉  …  ⌊(i + p)/s⌋.

Both ends never fall as i rises, so a window's field runs from lo of its first pixel to hi of its last, and fields that
meet (Eltwise, Concat) join to the least lo and the greatest hi. After an upsampling by s, pixels come in s kinds: lo
and hi are kept for one period of pixels, and ``lo(i + period) = lo(i) + shift``. Padding is seen like any pixel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

from netcompile.analysis import follow
from netcompile.analysis.follow import Unfollowed
from netcompile.analysis.shapes import Shapes
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.traits import Reach

PERIOD_LIMIT = 1024  # kinds of pixels; no net that upsamples to its own size comes near


@dataclass(frozen=True, slots=True)
class AxisField:
    """The receptive field of a blob's pixels along one axis: (first, last) pixel of the input, for pixels 0 … period-1.

    Pixel i + period sees what pixel i sees, `shift` pixels further on.
    """

    ends: tuple[tuple[int, int], ...]
    shift: int

    def lo(self, pixel: int) -> int:
        """The first pixel of the input that a pixel sees."""
        turns, kind = divmod(pixel, len(self.ends))
        return self.ends[kind][0] + turns * self.shift

    def hi(self, pixel: int) -> int:
        """The last pixel of the input that a pixel sees."""
        turns, kind = divmod(pixel, len(self.ends))
        return self.ends[kind][1] + turns * self.shift

    @property
    def size(self) -> int:
        """The widest window, in pixels of the input."""
        return max(hi - lo + 1 for lo, hi in self.ends)

    @property
    def stride(self) -> Fraction:
        return Fraction(self.shift, len(self.ends))

    @property
    def centre(self) -> Fraction:
        """Where pixel 0's window is centred, on average over the kinds of pixels: of (lo + hi)/2 - stride·i."""
        kinds = len(self.ends)
        return Fraction(sum(lo + hi for lo, hi in self.ends) - self.shift * (kinds - 1), 2 * kinds)


ONE = AxisField(((0, 0),), 1)


def through(field: AxisField, reach: Reach) -> AxisField | None:
    """The field of a layer's top, given that of its bottom; None if that has too many kinds of pixels."""
    extent, stride, pad = reach.extent, reach.stride, reach.pad
    old = len(field.ends)
    if reach.transposed:
        period, shift = old * stride, field.shift
        if period > PERIOD_LIMIT:
            return None
        spans = [(-((extent - 1 - pad - i) // stride), (i + pad) // stride) for i in range(period)]
    else:
        period = old // gcd(old, stride)
        shift = field.shift * (period * stride // old)
        spans = [(stride * i - pad, stride * i - pad + extent - 1) for i in range(period)]
    return _least(tuple((field.lo(first), field.hi(last)) for first, last in spans), shift)


def join(a: AxisField, b: AxisField) -> AxisField | None:
    """The field that covers both; None where their strides differ."""
    period = lcm(len(a.ends), len(b.ends))
    shift = a.shift * (period // len(a.ends))
    if shift != b.shift * (period // len(b.ends)) or period > PERIOD_LIMIT:
        return None
    return _least(tuple((min(a.lo(i), b.lo(i)), max(a.hi(i), b.hi(i))) for i in range(period)), shift)


def _least(ends: tuple[tuple[int, int], ...], shift: int) -> AxisField:
    """The same with the shortest period."""
    whole = AxisField(ends, shift)
    if len(ends) == 1:
        return whole
    for period in range(1, len(ends)):
        if len(ends) % period or shift * period % len(ends):
            continue
        part = AxisField(ends[:period], shift * period // len(ends))
        if all((part.lo(i), part.hi(i)) == end for i, end in enumerate(ends)):
            return part
    return whole


Fields = tuple[AxisField, AxisField]


def receptive_fields(graph: Graph, shapes: Shapes) -> Mapping[Value, Fields]:
    """The receptive fields (H, W) of every value in the net's first input; absent where that is not defined."""
    found: dict[Value, Fields] = {}
    if graph.inputs and len(graph.inputs[0].shape) == 4:
        found[graph.inputs[0].value] = (ONE, ONE)
    for node in graph.nodes:
        fields = _node(node, found, shapes)
        if fields is not None:
            found.update(dict.fromkeys(node.tops, fields))
    return found


def _node(node: Node, found: Mapping[Value, Fields], shapes: Shapes) -> Fields | None:
    """Joined over the bottoms that see the input; what comes from elsewhere adds nothing."""
    if not any(b in found for b in node.bottoms) or any(v not in shapes for v in (*node.bottoms, *node.tops)):
        return None
    reaches = follow.reach(node, [shapes[b] for b in node.bottoms])
    if reaches is None or isinstance(reaches, Unfollowed):
        return None
    pairs = [(found[b], reach) for b, reach in zip(node.bottoms, reaches, strict=False) if reach and b in found]
    high = wide = _joined([through(field[0], reach[0]) for field, reach in pairs])
    if any(field[0] is not field[1] or reach[0] != reach[1] for field, reach in pairs):  # most nets are square
        wide = _joined([through(field[1], reach[1]) for field, reach in pairs])
    return None if high is None or wide is None else (high, wide)


def _joined(fields: Sequence[AxisField | None]) -> AxisField | None:
    """The field that covers all of them; None where there are none, or one is not known."""
    total = fields[0] if fields else None
    for field in fields[1:]:
        total = None if total is None or field is None else join(total, field)
    return total
