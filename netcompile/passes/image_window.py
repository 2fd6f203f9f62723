"""Compute of every blob only the window that is needed and that depends on the image.

Algebra. Pixels of a blob that see no pixel of the image (through all layers, `windows.forward` from the image's own
[0, H)) have values that depend on the weights alone: they are the *frame*. FCN's ``pad: 100`` makes half of a first
layer's pixels frame at 500 × 500. From the outputs back, `windows.backward` says which window of each blob is needed.
A layer computes its needed window from its bottoms' windows, without padding, so that no pixel changes; where the need
exceeds the image's window by more than a few pixels, or behind a pooling, only the image's window is computed and the
frame is put around it.

The frame of a blob is the blob for an image of zeros. It is constant along an axis but near the blob's two ends, and
there it is the same for all extents n of the image that agree modulo the period P of all extents (32 for FCN-8s).
So the frame for n is that for the smallest n' ≥ base with n' ≡ n (mod P), its middle pixel repeated. `base` is the
least multiple of P from which on the middle pixel of every frame sees no end of any blob, found by trying all n' of
a period; smaller images take the literal path.

A Crop becomes the window that it asks of its bottom, and a Deconvolution computes the window that is asked of it.
Preserves: within(1e-5), since a smaller blob may be convolved by another algorithm. Not in training: there the frame
has a gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import lcm, prod

from netcompile.algebra.nset import SizeTooComplex
from netcompile.algebra.size import Size
from netcompile.algebra.volume import Volume
from netcompile.analysis.cost import costs
from netcompile.analysis.shapes import Shapes, infer, symbolic
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import Dim, Layer, Reach, Shape
from netcompile.layers.convolution import Convolution, Deconvolution
from netcompile.layers.crop import Crop
from netcompile.layers.pooling import Pooling
from netcompile.passes.base import NO_FACTS, Facts, Pass, Skipped
from netcompile.passes.window_layers import DeconvolutionWindow, Region, Surround
from netcompile.passes.windows import (
    Span,
    Window,
    always,
    at,
    backward,
    clip,
    common,
    forward,
    hull,
    inside,
    reaches,
)

COPY = 60  # multiplications in the time that it takes to copy a byte
GAIN = 0.05  # share of the multiplications that must be saved
PERIOD_LIMIT = 128  # of the input extent, in pixels
FAR = 1 << 40


class _NoWindow(Exception):
    """The pass does not apply to this graph; says why."""


class _Windows:
    """What is needed of each value, what depends on the image, and what each layer is to compute."""

    def __init__(self, graph: Graph, shapes: Shapes, frames: bool) -> None:
        self.graph, self.known, self.frames = graph, shapes, frames
        if len(graph.inputs) != 1 or len(graph.inputs[0].shape) != 4:
            raise _NoWindow("the net has not one input with four axes")
        sym = symbolic(graph, shapes)
        self.image = graph.inputs[0].value
        if self.image not in sym.spatial or any(value == self.image for value, _ in sym.pins):
            raise _NoWindow("the input has a fixed size")
        self.shapes: Mapping[Value, Shape | None] = sym.shapes
        self.declared = sym.declared
        self.reach = {
            index: found
            for index, node in enumerate(graph.nodes)
            if all(self.shapes.get(v) is not None for v in (*node.bottoms, *node.tops))
            and (found := reaches(node, [shapes[b] for b in node.bottoms])) is not None
        }
        self.seen: dict[Value, Window] = {}
        self.sees()
        self.need: dict[Value, Window] = {}
        self.make: dict[Value, Window] = {}
        self.literal: set[int] = set()
        self.pasted: dict[Value, None] = {}
        self.usable = self.frame_values() if frames else (frozenset[Value](), 1)
        self.needs()
        self.base = self.least_base() if self.pasted else 0

    def whole(self, value: Value) -> Window | None:
        shape = self.shapes.get(value)
        if shape is None or len(shape) != 4 or any(isinstance(dim, Volume) for dim in shape[2:]):
            return None
        return Span(0, shape[2]), Span(0, shape[3])

    # forward: what depends on the image ------------------------------------------------------------------------

    def sees(self) -> None:
        if (image := self.whole(self.image)) is not None:
            self.seen[self.image] = image
        for index, node in enumerate(self.graph.nodes):
            for top in node.tops:
                size, found = self.whole(top), self.reach.get(index)
                if size is None:
                    continue
                if found is None or any(
                    r is not None and b not in self.seen for b, r in zip(node.bottoms, found, strict=True)
                ):
                    self.seen[top] = size
                    continue
                parts = [
                    (clip(forward(self.seen[b][0], r[0]), size[0].hi), clip(forward(self.seen[b][1], r[1]), size[1].hi))
                    for b, r in zip(node.bottoms, found, strict=True)
                    if r is not None
                ]
                window = parts[0]
                for part in parts[1:]:
                    window = (hull(window[0], part[0]), hull(window[1], part[1]))
                self.seen[top] = window

    # which frames repeat their middle --------------------------------------------------------------------------

    def frame_values(self) -> tuple[frozenset[Value], int]:
        """The values whose frame can be stretched, and the period of all extents up to them."""
        period, usable = 1, {self.image}
        for index, node in enumerate(self.graph.nodes):
            if index not in self.reach or isinstance(node.layer, (Deconvolution, Crop)):
                continue
            sizes = [d for t in node.tops for d in (self.shapes[t] or ())[2:]]
            if not usable.issuperset(node.bottoms) or not all(isinstance(d, Size) for d in sizes):
                continue
            longer = lcm(period, *(d.pieces[-1][1].period for d in sizes if isinstance(d, Size)))
            if longer <= PERIOD_LIMIT:
                period = longer
                usable.update(node.tops)
        return frozenset(usable), period

    def least_base(self) -> int:
        """The least multiple of the period from which on every frame's middle pixel sees no end of any blob."""
        usable, period = self.usable
        starts = [d.pieces[-1][0] for v in usable for d in (self.shapes[v] or ())[2:] if isinstance(d, Size)]
        for base in range(period, 9 * period, period):
            if base >= max(starts) and all(
                self.middle_is_clean(n, axis) for axis in (0, 1) for n in range(base, base + period)
            ):
                return base
        raise _NoWindow("the frames have no middle")

    def middle_is_clean(self, n: int, axis: int) -> bool:
        clean = self.clean(n, axis, self.usable[0])
        for value in self.pasted:
            lo, hi = self.need[value][axis].at(n)
            if not clean[value][0] <= lo + (hi - lo) // 2 < clean[value][1]:
                return False
        return True

    def clean(self, n: int, axis: int, usable: frozenset[Value]) -> dict[Value, tuple[int, int]]:
        """Pixels of each usable value that see no end of any blob, for the input extent n."""
        # Zeros go on for ever around an image of zeros, as far as the first convolutions are concerned.
        found = {self.image: (-FAR, FAR)}
        for index, node in enumerate(self.graph.nodes):
            if not usable.issuperset(node.tops) or index not in self.reach:
                continue
            lo, hi = -FAR, FAR
            for bottom, reach in zip(node.bottoms, self.reach[index], strict=True):
                if reach is None:
                    continue
                a, b = found[bottom]
                if bottom != self.image or not isinstance(node.layer, Convolution):
                    a, b = max(a, 0), min(b, at((self.shapes[bottom] or (0,) * 4)[2 + axis], n))
                here = inside(a, b, reach[axis])
                lo, hi = max(lo, here[0]), min(hi, here[1])
            for top in node.tops:
                size = at((self.shapes[top] or (0,) * 4)[2 + axis], n)
                found[top] = (max(lo, 0), min(hi, size))
        return found

    # backward: what is needed ----------------------------------------------------------------------------------

    def require(self, value: Value, window: Window | None) -> None:
        if window is None:
            return
        old = self.need.get(value)
        self.need[value] = window if old is None else (hull(old[0], window[0]), hull(old[1], window[1]))

    def needs(self) -> None:
        alive = {self.graph.blobs[blob] for blob in self.graph.outputs}
        for value in alive:
            self.require(value, self.whole(value))
        for index in reversed(range(len(self.graph.nodes))):
            node = self.graph.nodes[index]
            if node.tops and alive.isdisjoint(node.tops):
                continue
            alive.update(node.bottoms)
            if not self.window_of(index, node):
                self.literal.add(index)
                for value in node.tops:
                    self.pasted.pop(value, None)
                    self.require(value, self.whole(value))
                for value in node.bottoms:
                    self.require(value, self.whole(value))

    def window_of(self, index: int, node: Node) -> bool:
        """Ask of the bottoms what a window of the tops needs; False if the layer computes its whole tops."""
        found = self.reach.get(index)
        tops = [top for top in node.tops if top in self.need]
        if found is None or not tops or len(node.tops) > 1:
            return False
        top, layer = tops[0], node.layer
        want, size = self.need[top], self.whole(top)
        assert size is not None
        if self.frames and self.paste(index, top, want):
            seen = self.seen[top]
            make = (common(want[0], seen[0]), common(want[1], seen[1]))
            if all(always(s.hi, s.lo + 1) for s in make):
                self.pasted[top] = None
                want = make
        if want == size and not isinstance(layer, Crop):
            return False
        asked: list[Window | None] = []
        for bottom, reach in zip(node.bottoms, found, strict=True):
            limits = self.whole(bottom)
            assert limits is not None
            if reach is None:
                asked.append(None)
                continue
            raw = (backward(want[0], reach[0]), backward(want[1], reach[1]))
            kept = (clip(raw[0], limits[0].hi), clip(raw[1], limits[1].hi))
            if not all(always(s.hi, s.lo + 1) for s in kept):
                return False
            if kept != raw and not isinstance(layer, (Deconvolution, Convolution)):
                return False
            copied = kept != raw and isinstance(layer, Convolution) and bottom != self.image
            if copied and top not in self.pasted and 10 * self.area(want) > 9 * self.area(size):
                return False  # zeros would have to be put around a copy, and little is saved
            asked.append(kept)
        for bottom, window in zip(node.bottoms, asked, strict=True):
            self.require(bottom, window)
        self.make[top] = want
        return True

    def area(self, window: Window) -> int:
        spans = [span.at(n) for span, n in zip(window, self.declared, strict=True)]
        return (spans[0][1] - spans[0][0]) * (spans[1][1] - spans[1][0])

    def paste(self, index: int, top: Value, want: Window) -> bool:
        """Whether the frame is put around what depends on the image, sooner than computed along with it.

        Behind a pooling always, since that keeps all layers before it to the image's window; elsewhere where the layer
        saves more than it costs to copy its top.
        """
        node = self.graph.nodes[index]
        if top not in self.usable[0]:
            return False
        seen = self.seen[top]
        beyond = [s.lo - w.lo for w, s in zip(want, seen, strict=True)]
        beyond += [w.at(n)[1] - s.at(n)[1] for w, s, n in zip(want, seen, self.declared, strict=True)]
        if max(beyond) <= 0:
            return False
        if isinstance(node.layer, Pooling) and max(node.layer.stride) > 1:
            return True
        bottoms, shape = [self.known[b] for b in node.bottoms], self.known[top]
        share = (self.area(want) - self.area((common(want[0], seen[0]), common(want[1], seen[1])))) / prod(shape[2:])
        saved = share * node.layer.macs(bottoms, [shape])
        return saved > COPY * 4 * prod(shape[:2]) * self.area(want)


class _Rewriter:
    """Builds the graph in which every layer computes its window."""

    def __init__(self, plan: _Windows) -> None:
        self.plan, self.graph = plan, plan.graph
        self.have: dict[Value, tuple[Value, Window | None]] = {plan.image: (plan.image, plan.whole(plan.image))}
        self.cuts: dict[tuple[Value, Window], Value] = {}
        self.versions: dict[str, int] = {}
        for value in self.graph.values():
            self.versions[value.blob] = max(self.versions.get(value.blob, 0), value.version)
        self.nodes: list[Node] = []

    def fresh(self, blob: str) -> Value:
        self.versions[blob] = self.versions.get(blob, -1) + 1
        return Value(blob, self.versions[blob])

    def add(self, node: Node, layer: object, bottoms: tuple[Value, ...], top: Value) -> Value:

        assert isinstance(layer, Layer)
        self.nodes.append(replace(node, layer=layer, bottoms=bottoms, tops=(top,), params=()))
        return top

    def fetch(self, node: Node, value: Value, window: Window | None, why: str = "") -> Value:
        """The value's window, which may stick out of the blob: then with zeros there."""
        new, have = self.have[value]
        if window is None or have is None or have == window:
            return new
        key = (value, window)
        if key not in self.cuts:
            h, w = window
            layer = Region(
                (h.lo - have[0].lo, w.lo - have[1].lo),
                (h.extent, w.extent),
                (have[0].extent, have[1].extent),
                why,
            )
            self.cuts[key] = self.add(node, layer, (new, self.plan.image), self.fresh(value.blob))
        return self.cuts[key]

    def rewrite(self) -> Graph:
        plan = self.plan
        for index, node in enumerate(self.graph.nodes):
            if index in plan.literal:
                bottoms = tuple(self.fetch(node, b, plan.whole(b)) for b in node.bottoms)
                self.nodes.append(replace(node, bottoms=bottoms))
                self.have.update((top, (top, plan.whole(top))) for top in node.tops)
            elif node.tops and node.tops[0] in plan.make:
                self.window(index, node)
        blobs = {
            blob: self.have[value][0]
            for blob, value in self.graph.blobs.items()
            if value in self.have and self.have[value][1] == plan.whole(value)
        }
        return self.graph.replace(nodes=tuple(self.nodes), blobs=blobs)

    def window(self, index: int, node: Node) -> None:
        plan, layer, top = self.plan, node.layer, node.tops[0]
        make, found = plan.make[top], plan.reach[index]
        if isinstance(layer, Crop):
            reach = found[0]
            assert reach is not None
            raw = (backward(make[0], reach[0]), backward(make[1], reach[1]))
            self.have[top] = (self.fetch(node, node.bottoms[0], raw), make)
            return
        bottoms = []
        for bottom, reach in zip(node.bottoms, found, strict=True):
            assert reach is not None
            raw = (backward(make[0], reach[0]), backward(make[1], reach[1]))
            if isinstance(layer, Deconvolution):
                limits = plan.whole(bottom)
                assert limits is not None
                raw = (clip(raw[0], limits[0].hi), clip(raw[1], limits[1].hi))
            bottoms.append(self.fetch(node, bottom, raw))
        if isinstance(layer, Deconvolution):
            assert reach is not None
            made = self.deconvolution(node, layer, raw, reach, make, bottoms[0])
        else:
            if isinstance(layer, Convolution):
                layer = replace(layer, pad=(0,))
            elif isinstance(layer, Pooling):
                layer = replace(layer, pad=(0, 0))
            made = top
            self.nodes.append(replace(node, layer=layer, bottoms=tuple(bottoms), tops=(made,)))
        self.have[top] = (made, make)
        if top in plan.pasted:
            want = plan.need[top]
            surround = Surround(
                self.frame_name(top),
                top,
                (make[0].lo - want[0].lo, make[1].lo - want[1].lo),
                (want[0].extent, want[1].extent),
                (want[0].lo, want[1].lo),
                plan.base,
                plan.usable[1],
            )
            self.have[top] = (self.add(node, surround, (made, plan.image), self.fresh(top.blob)), want)

    def frame_name(self, value: Value) -> str:
        """The blob's name, which is that of its last value; others have one of their own."""
        if value == self.graph.blobs.get(value.blob):
            return value.blob
        name = f"{value.blob}:{value.version}"
        while name in self.graph.blobs:
            name += "'"
        return name

    def deconvolution(
        self, node: Node, layer: Deconvolution, raw: Window, reach: tuple[Reach, Reach], make: Window, x: Value
    ) -> Value:
        covered = tuple(forward(span, r) for span, r in zip(raw, reach, strict=True))
        start = (make[0].lo - covered[0].lo, make[1].lo - covered[1].lo)
        full: tuple[Dim, Dim] = (covered[0].extent, covered[1].extent)
        window = DeconvolutionWindow(layer, start, (make[0].extent, make[1].extent), full)
        self.nodes.append(replace(node, layer=window, bottoms=(x, self.plan.image)))
        return node.tops[0]


def rewrite(graph: Graph, facts: Facts = NO_FACTS) -> tuple[Graph, tuple[Skipped, ...]]:
    if not graph.nodes:
        return graph, ()
    if graph.train:
        return graph, (Skipped(graph.nodes[0], "the net is built for phase TRAIN"),)
    if any(isinstance(node.layer, (Region, Surround, DeconvolutionWindow)) for node in graph.nodes):
        return graph, ()
    shapes, problems = infer(graph)
    if problems:
        return graph, (Skipped(graph.nodes[0], "the net is not legal for its declared size"),)
    skipped: list[Skipped] = []
    before = _macs(graph, shapes)
    for frames in (True, False):
        try:
            plan = _Windows(graph, shapes, frames)
        except SizeTooComplex as reason:
            skipped.append(Skipped(graph.nodes[0], f"the windows are not followed: {reason}"))
            continue
        except _NoWindow as reason:
            skipped.append(Skipped(graph.nodes[0], str(reason)))
            continue
        if frames and not plan.pasted:
            skipped.append(Skipped(graph.nodes[0], "no blob has pixels that see nothing of the image"))
            continue
        changed = _Rewriter(plan).rewrite()
        after = _macs(changed, infer(changed)[0])
        if before and before - after >= (GAIN if frames else 0.001) * before:
            return changed, ()
        what = "its windows save" if frames else "what no output needs is"
        skipped.append(Skipped(graph.nodes[0], f"{what} {1 - after / max(before, 1):.1%} of the multiplications"))
    return graph, tuple(skipped)


def _macs(graph: Graph, shapes: Shapes) -> int:
    return sum(cost.macs for cost in costs(graph, shapes))


IMAGE_WINDOW = Pass("image-window", "within(0, 1e-5)", rewrite)
