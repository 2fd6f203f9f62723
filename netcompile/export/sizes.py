"""Which heights and widths an exported net takes: the proof's legal sizes, as torch.export can say them.

No torch here: the answers are plain numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, takewhile

from netcompile.algebra.nset import NSet
from netcompile.algebra.size import Size
from netcompile.analyser import Analysed
from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.diagnostics.source import Span
from netcompile.emit.module import EmittedModule
from netcompile.ir.graph import Value
from netcompile.layers.convolution import Convolution


def refused(net: Analysed, what: str, why: str = "", remedy: str = "") -> NetError:
    """Why a net cannot be exported."""
    return NetError([Diagnostic("export", f"{net.name} {what}", place(net), why=why, remedy=remedy)])


def place(net: Analysed) -> Span | None:
    """Where the file says what the net takes: the place of what no single layer is the reason of."""
    return net.graph.inputs[0].message.span if net.graph.inputs else None


def refuse_training(net: Analysed) -> None:
    """Raises NetError for a net built for training: what is exported is for evaluation."""
    if net.graph.train:
        raise refused(net, "cannot be exported for training", remedy="--phase test")


@dataclass(frozen=True, slots=True)
class Axis:
    """The legal extents of one input axis, and the arithmetic progression that covers them.

    The progression is least, least + step, …, up to `most` (None: without end); `whole` says that every member of
    it is legal. Where it is not, the program has to refuse the others when it runs.
    """

    name: str  # "H" or "W"
    legal: NSet
    least: int
    most: int | None
    step: int
    whole: bool

    def first(self, count: int) -> tuple[int, ...]:
        """The `count` smallest legal extents, or fewer."""
        return tuple(islice(self.legal, count))

    def beyond(self, least: int) -> int:
        """The smallest legal extent from `least` on; the largest there is if all are smaller."""
        last = self.legal.last()
        if last is not None and last <= least:
            return last
        return next(n for n in self.legal if n >= least)

    def describe(self) -> str:
        return self.legal.describe(self.name)


def axis(name: str, legal: NSet) -> Axis | None:
    """The progression that covers `legal`; None for an empty set."""
    least = legal.first()
    if least is None:
        return None
    most, step = legal.last(), 1
    residues = legal.residues()
    if len(residues) == 1 and legal.period > 1:
        step = legal.period
        # Members before the periodic part that the progression misses would be lost.
        start = next(n for n in range(legal.start, legal.start + step) if n in legal)
        early = takewhile(lambda n: n < start, legal)
        if any((n - least) % step for n in early) or (start - least) % step:
            step = 1
    if most is not None:
        covered = NSet.between(least, most)
    else:
        covered = NSet.between(least) & NSet.congruent(least, step)
    return Axis(name, legal, least, most, step, covered == legal)


@dataclass(frozen=True, slots=True)
class Signature:
    """The shapes that an exported net takes, input by input."""

    shapes: Mapping[Value, tuple[int, ...]]  # declared, in the order of the module's arguments
    spatial: frozenset[Value]  # inputs of height H and width W
    batched: frozenset[Value]  # inputs of N images
    axes: tuple[Axis, ...]  # of H and W; none for a net that takes no plane of free size
    declared: tuple[int, int]  # height and width, 0 without axes
    rows: frozenset[Value] = frozenset()  # inputs of regions
    many: bool = False  # any number of regions: R

    @property
    def regions(self) -> frozenset[Value]:
        """Inputs of R regions."""
        return self.rows if self.many else frozenset()

    def shape(self, value: Value, batch: int, height: int, width: int) -> tuple[int, ...]:
        """The shape of an input for a batch and a size."""
        shape = self.shapes[value]
        if value in self.batched:
            shape = (batch, *shape[1:])
        elif value in self.regions:
            shape = (3 + 2 * batch, *shape[1:])
        return (*shape[:2], height, width) if value in self.spatial else shape

    def example(self) -> tuple[int, int, int]:
        """Batch, height and width to trace with: legal, different, and not so small that extents coincide."""
        if not self.axes:
            return 2, 0, 0
        height = self.axes[0].beyond(max(self.declared[0], 64))
        width = self.axes[1].beyond(max(self.declared[1], 65))
        return 2, height, self.axes[1].beyond(height + 1) if width == height else width

    def sizes(self, count: int) -> Iterator[tuple[int, int, int]]:
        """Up to `count` legal (batch, height, width), the smallest first; H and W run through all residues apart."""
        if not self.axes:
            yield from ((batch, 0, 0) for batch in (1, 2, 3)[:count])
            return
        heights, widths = (one.first(count) for one in self.axes)
        for index in range(min(count, max(len(heights), len(widths)))):
            other = index and index * 7 + 3
            yield 1 + index % 2, heights[index % len(heights)], widths[other % len(widths)]

    def declared_size(self) -> tuple[int, int, int]:
        """The (batch, height, width) that the file declares."""
        images = next((self.shapes[value][0] for value in self.shapes if value in self.batched), 1)
        return (images, *self.declared)

    def five_sizes(self) -> tuple[tuple[int, int, int], ...]:
        """Legal (batch, height, width) to compare results at: the smallest, odd ones, none square but the first.

        Fewer where there is one size.
        """
        if not self.axes:
            return tuple((batch, 0, 0) for batch in (1, 2, 3, 4, 5))
        heights, widths = (one.first(48) for one in self.axes)
        if len(heights) == len(widths) == 1:
            return (1, heights[0], widths[0]), (2, heights[0], widths[0])
        places = ((1, 0, 0), (2, 1, 6), (1, 12, 3), (3, 23, 17), (1, 40, 33))
        return tuple((n, heights[i % len(heights)], widths[j % len(widths)]) for n, i, j in places)


def signature(net: Analysed, module: EmittedModule, batch: bool, fixed: bool = False) -> Signature:
    """What the module's inputs may be; with `batch` any number of images and of regions, else the declared one.

    Inputs with as many images as the first vary together; with `fixed` height and width are the declared ones. Raises
    NetError for a net that is legal for no size.
    """
    shapes = {value: net.shapes[value] for value in module.inputs}
    regions = regions_of(net, shapes)
    images = next((shape[0] for value, shape in shapes.items() if shape and value not in regions), None)
    batched = frozenset(v for v, shape in shapes.items() if batch and shape and shape[0] == images) - regions
    if not net.symbolic.spatial:
        return Signature(shapes, frozenset(), batched, (), (0, 0), regions, batch)
    height, width = net.shapes[net.symbolic.spatial[0]][2:]
    legal = (NSet.of([height]), NSet.of([width])) if fixed else exported_sizes(net)
    h, w = (axis(name, sizes) for name, sizes in zip("HW", legal, strict=True))
    if h is None or w is None:
        raise refused(net, "is legal for no input size")
    return Signature(shapes, frozenset(net.symbolic.spatial), batched, (h, w), (height, width), regions, batch)


def regions_of(net: Analysed, values: Iterable[Value]) -> frozenset[Value]:
    """Those of these values that some layer takes regions from, and no layer takes for anything else."""
    found: set[Value] = set()
    others: set[Value] = set()
    for node in net.graph.nodes:
        for index, bottom in enumerate(node.bottoms):
            (found if index == node.layer.regions else others).add(bottom)
    return frozenset(values) & (found - others)


def exported_sizes(net: Analysed) -> tuple[NSet, NSet]:
    """Heights and widths for which the emitted module computes what Caffe does.

    The proof's sizes, less those few at which Caffe convolves a plane that is smaller than the kernel (its division
    rounds towards zero, so one window is left): PyTorch refuses them. A net whose declared size is such a one is
    emitted for that size alone.
    """
    sets = list(net.valid)
    for node in net.graph.nodes:
        if not isinstance(node.layer, Convolution):
            continue
        for bottom in node.bottoms:
            shape, declared = net.symbolic.shapes.get(bottom), net.shapes[bottom]
            if shape is None:
                continue
            first, windows = node.layer.windows(declared)
            for dim, own, (kernel, _, pad, dilation) in zip(
                shape[first + 1 :], declared[first + 1 :], windows, strict=False
            ):
                least = dilation * (kernel - 1) + 1 - 2 * pad
                if not isinstance(dim, Size) or dim.name not in ("H", "W"):
                    continue
                index = "HW".index(dim.name)
                sets[index] &= dim.fibre(own) if own < least else dim.where_at_least(least)
    return sets[0], sets[1]
