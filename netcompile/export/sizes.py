"""Which heights and widths an exported net takes: the proof's legal sizes, as torch.export can say them.

No torch here: the answers are plain numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from netcompile.algebra.nset import NSet
from netcompile.algebra.size import Size
from netcompile.layers.convolution import Convolution

if TYPE_CHECKING:
    from netcompile.pipeline import Analysed


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

    def members(self) -> Iterator[int]:
        """The legal extents, smallest first."""
        return iter(self.legal)

    def first(self, count: int) -> tuple[int, ...]:
        """The `count` smallest legal extents, or fewer."""
        return tuple(islice(self.members(), count))

    def beyond(self, least: int) -> int:
        """The smallest legal extent from `least` on; the largest there is if all are smaller."""
        last = self.legal.last()
        if last is not None and last <= least:
            return last
        return next(n for n in self.members() if n >= least)

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
                shape[first + 1 :], declared[first + 1 :], windows, strict=True
            ):
                least = dilation * (kernel - 1) + 1 - 2 * pad
                if not isinstance(dim, Size) or dim.name not in ("H", "W"):
                    continue
                index = "HW".index(dim.name)
                sets[index] &= dim.fibre(own) if own < least else dim.where_at_least(least)
    return sets[0], sets[1]
