"""Windows of a blob: which of its rows and columns depend on the image, and which ones a consumer needs.

Along one axis a window is the run of pixels lo … hi-1, in the blob's own indices; lo is a number, hi a function of
the input's height or width. With a layer's `Reach` (extent e, stride s, pad p), pixel i of the top sees
s·i - p … s·i - p + e - 1 of the bottom. So

    forward    bottom's [lo, hi) is seen by the top's  [⌈(lo + p - e + 1)/s⌉, ⌊(hi - 1 + p)/s⌋ + 1)
    backward   top's [lo, hi) sees the bottom's        [s·lo - p, s·(hi - 1) - p + e)
    inside     top's pixels that see [lo, hi) alone    [⌈(lo + p)/s⌉, ⌊(hi - e + p)/s⌋ + 1)

and for a Deconvolution forward and backward change places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from netcompile.algebra.nset import SizeTooComplex
from netcompile.algebra.size import Size
from netcompile.algebra.volume import Volume
from netcompile.ir.graph import Node
from netcompile.layers.base import Dim, IntShape
from netcompile.layers.convolution import Convolution, Deconvolution
from netcompile.layers.crop import Crop
from netcompile.layers.pooling import Pooling
from netcompile.layers.traits import Reach
from netcompile.passes.nodes.convolution import FusedConvolution

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Span:
    """Pixels lo … hi - 1 of one axis."""

    lo: int
    hi: Dim

    @property
    def extent(self) -> Dim:
        return self.hi - self.lo

    def at(self, n: int) -> tuple[int, int]:
        """The span for an input extent, as numbers."""
        return self.lo, at(self.hi, n)


Window = tuple[Span, Span]  # (H, W)
Reaches = tuple[Reach, Reach]  # (H, W)


def at(dim: Dim, n: int) -> int:
    """An extent for the input extent n; 0 where it is undefined."""
    return dim if isinstance(dim, int) else (size_of(dim).at(n) or 0)


def size_of(dim: Dim) -> Size:
    """An extent as a function of one axis. Raises SizeTooComplex for one that depends on both."""
    if isinstance(dim, Volume):
        raise SizeTooComplex(f"the extent {dim}")
    return Size.of(dim)


def always(a: Dim, b: Dim) -> bool:
    """Whether a >= b for every input size for which both are defined."""
    if isinstance(a, int) and isinstance(b, int):
        return a >= b
    if a == b:
        return True
    return size_of(a).where_at_most(size_of(b) - 1).is_empty


def smaller(a: Dim, b: Dim) -> Dim:
    """The smaller extent, for every input size."""
    return _number(b if always(a, b) else a if always(b, a) else size_of(a).min_with(size_of(b)))


def larger(a: Dim, b: Dim) -> Dim:
    """The larger extent, for every input size."""
    return _number(a if always(a, b) else b if always(b, a) else size_of(a).max_with(size_of(b)))


def _number(dim: Dim) -> Dim:
    """A constant extent as a number."""
    number = dim if isinstance(dim, int) else size_of(dim).as_int()
    return dim if number is None else number


def hull(a: Span, b: Span) -> Span:
    """The least span that holds both."""
    return Span(min(a.lo, b.lo), larger(a.hi, b.hi))


def common(a: Span, b: Span) -> Span:
    """The pixels that are in both."""
    return Span(max(a.lo, b.lo), smaller(a.hi, b.hi))


def _gather(span: Span, r: Reach) -> Span:
    return Span(-((r.extent - 1 - r.pad - span.lo) // r.stride), (span.hi + (r.pad - 1)) // r.stride + 1)


def _spread(span: Span, r: Reach) -> Span:
    return Span(r.stride * span.lo - r.pad, (span.hi - 1) * r.stride + (r.extent - r.pad))


def forward(span: Span, reach: Reach) -> Span:
    """The top's pixels that see any of the bottom's span; may stick out of the top."""
    return _spread(span, reach) if reach.transposed else _gather(span, reach)


def backward(span: Span, reach: Reach) -> Span:
    """The bottom's pixels that the top's span sees; may stick out of the bottom."""
    return _gather(span, reach) if reach.transposed else _spread(span, reach)


def inside(lo: int, hi: int, r: Reach) -> tuple[int, int]:
    """The top's pixels that see nothing but lo … hi - 1 of the bottom (numbers; not for a Deconvolution)."""
    return -((-lo - r.pad) // r.stride), (hi - r.extent + r.pad) // r.stride + 1


def both(step: Callable[[Span, T], Span], window: Window, other: tuple[T, T]) -> Window:
    """A function of spans for both axes: `forward` or `backward` with two reaches, `hull` or `common` with a window."""
    return step(window[0], other[0]), step(window[1], other[1])


def reaches(node: Node, bottoms: Sequence[IntShape]) -> tuple[Reaches | None, ...] | None:
    """Per bottom how far a pixel of the tops sees, None for a bottom that gives only its size.

    None altogether: the layer is not known to compute a window of its tops from windows of its bottoms alone.
    """
    layer = node.layer
    if not bottoms or any(len(shape) != 4 for shape in bottoms):
        return None
    if layer.pixelwise(*bottoms):
        return ((Reach(), Reach()),) * len(bottoms)
    if isinstance(layer, Crop):
        offsets, first = layer.full(4), layer.first(4)
        if offsets is None or first < 2:
            return None
        h, w = (offsets[axis - first] if axis >= first else 0 for axis in (2, 3))
        return ((Reach(pad=-h), Reach(pad=-w)), None)
    if isinstance(layer, Convolution) and not isinstance(layer, FusedConvolution) and any(layer.pad):
        return None  # its module, the literal net's too, pads
    if isinstance(layer, (Convolution, Deconvolution)):
        found = layer.reach(*bottoms) if len(bottoms) == 1 and layer.axis == 1 else None
        if found is None or found[0] is None or isinstance(layer, Convolution):
            return found
        # A kernel smaller than its stride leaves pixels that no pixel of the bottom tells of.
        return found if all(r.extent >= r.stride for r in found[0]) else None
    if isinstance(layer, Pooling):
        plain = layer.method in ("MAX", "AVE") and not layer.mask and layer.kernel is not None
        return layer.reach(*bottoms) if plain else None
    return None
