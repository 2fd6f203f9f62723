"""The borders of blobs: pixels that see no pixel of the image, so that their values depend on the weights alone.

The border of a blob is that of the blob for an image of zeros. It is constant along an axis but near the blob's two
ends, and there it is the same for all extents n of the image that agree modulo the period P of all extents (32 for
FCN-8s). So the border for n is that for the smallest n' ≥ base with n' ≡ n (mod P), its middle pixel repeated. `base`
is the least multiple of P from which on the middle pixel of every border sees no end of any blob, found by trying all
n' of a period; smaller images take the literal path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import lcm

from netcompile.algebra.size import Size
from netcompile.ir.graph import Value
from netcompile.layers.convolution import Convolution, Deconvolution
from netcompile.layers.crop import Crop
from netcompile.passes.image_net import ImageNet
from netcompile.passes.windows import Window, at, inside

PERIOD_LIMIT = 128  # of the input extent, in pixels
FAR = 1 << 40


@dataclass(frozen=True, slots=True)
class Borders:
    """The values whose border can be stretched, and the period of all extents up to them."""

    values: frozenset[Value]
    period: int


NO_BORDERS = Borders(frozenset(), 1)


def find_borders(net: ImageNet) -> Borders:
    period, usable = 1, {net.image}
    for index, node in enumerate(net.graph.nodes):
        if index not in net.reach or isinstance(node.layer, (Deconvolution, Crop)):
            continue
        sizes = [d for t in node.tops for d in (net.shapes[t] or ())[2:]]
        if not usable.issuperset(node.bottoms) or not all(isinstance(d, Size) for d in sizes):
            continue
        longer = lcm(period, *(d.pieces[-1][1].period for d in sizes if isinstance(d, Size)))
        if longer <= PERIOD_LIMIT:
            period = longer
            usable.update(node.tops)
    return Borders(frozenset(usable), period)


def least_base(net: ImageNet, borders: Borders, windows: Mapping[Value, Window]) -> int | None:
    """The least multiple of the period from which on the middle of every window's border sees no end of any blob."""
    starts = [d.pieces[-1][0] for v in borders.values for d in (net.shapes[v] or ())[2:] if isinstance(d, Size)]
    period = borders.period
    for base in range(period, 9 * period, period):
        if base >= max(starts) and all(
            _middles_are_clean(net, borders, windows, n, axis) for axis in (0, 1) for n in range(base, base + period)
        ):
            return base
    return None


def _middles_are_clean(net: ImageNet, borders: Borders, windows: Mapping[Value, Window], n: int, axis: int) -> bool:
    clean = _clean(net, borders, n, axis)
    for value, window in windows.items():
        lo, hi = window[axis].at(n)
        if not clean[value][0] <= lo + (hi - lo) // 2 < clean[value][1]:
            return False
    return True


def _clean(net: ImageNet, borders: Borders, n: int, axis: int) -> dict[Value, tuple[int, int]]:
    """Pixels of each value with a border that see no end of any blob, for the input extent n."""
    # Zeros go on for ever around an image of zeros, as far as the first convolutions are concerned.
    found = {net.image: (-FAR, FAR)}
    for index, node in enumerate(net.graph.nodes):
        if not borders.values.issuperset(node.tops) or index not in net.reach:
            continue
        lo, hi = -FAR, FAR
        for bottom, reach in zip(node.bottoms, net.reach[index], strict=True):
            if reach is None:
                continue
            a, b = found[bottom]
            if bottom != net.image or not isinstance(node.layer, Convolution):
                a, b = max(a, 0), min(b, at(net.size(bottom, axis), n))
            here = inside(a, b, reach[axis])
            lo, hi = max(lo, here[0]), min(hi, here[1])
        for top in node.tops:
            found[top] = (max(lo, 0), min(hi, at(net.size(top, axis), n)))
    return found
