"""Crop: cut one blob to the size of another (Caffe's CropLayer)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Self

from netcompile.algebra.coords import AxisMap
from netcompile.layers.base import Arity, Axes, Condition, Dim, Emission, Emitted, Layer, Refused, Shape, layer
from netcompile.layers.params import Params
from netcompile.layers.shapes import canonical_axis


@layer("Crop")
@dataclass(frozen=True, slots=True)
class Crop(Layer):
    """bottom[0] cut to the size of bottom[1] from `axis` on, starting at the offsets.

    `declared` tells the three cases apart: offsets in the file; ``crop_param`` without offset, which means 0; and no
    ``crop_param`` at all (None), which the algebra resolves: the forks that wrote such nets aligned by themselves.
    """

    axis: int = 2
    declared: tuple[int, ...] | None = None
    offsets: tuple[int, ...] | None = None  # in use, one per axis from `axis` on; None until resolved
    inside: bool = False  # proved: for every height and width the window lies inside the blob that is cropped

    arity: ClassVar[Arity] = Arity(bottoms=2, tops=1)
    moves: ClassVar[slice | None] = slice(0, 1)
    family: ClassVar[str] = "crop"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("crop_param")
        declared = tuple(int(v) for v in s.all("offset")) if p.has("crop_param") else None
        return cls(int(s.get("axis")), (0,) if declared == () else declared)

    def first(self, rank: int) -> int:
        """The first axis that is cropped, counted from 0."""
        return canonical_axis(self.axis, rank, "crop_param.axis")

    def full(self, rank: int) -> tuple[int, ...] | None:
        """The offsets in use, one for each cropped axis. Raises Refused if their number does not fit."""
        if self.offsets is not None:
            return self.offsets
        if self.declared is None:
            return None
        cropped = rank - self.first(rank)
        if len(self.declared) == 1:
            return self.declared * cropped
        if len(self.declared) != cropped:
            raise Refused(
                f"{len(self.declared)} offsets for {cropped} cropped axes",
                code="crop-offsets",
                at="crop_param.offset",
                why=f"axis {self.first(rank)} of {rank} leaves {cropped} axes to crop",
                remedy=f"give one offset, or {cropped}",
            )
        return self.declared

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        x, reference = bottoms
        first, offsets = self.first(len(x)), self.full(len(x))
        if len(reference) < len(x):
            raise Refused(
                f"the reference has {len(reference)} axes, the blob that is cropped {len(x)}",
                at="bottom[1]",
                why="the size of each cropped axis is that of the reference's axis of the same number",
            )
        found = []
        for position, axis in enumerate(range(first, len(x))):
            offset = offsets[position] if offsets else 0
            refusal = partial(self._outside, position, axis, offset, x[axis], reference[axis])
            found.append(Condition(x[axis], ">=", reference[axis] + offset, refusal))
        return found

    def _outside(self, position: int, axis: int, offset: int, extent: Dim, size: Dim) -> Refused:
        index = position if self.declared and len(self.declared) > 1 else 0
        return Refused(
            f"offset {offset} + size {size} > {extent}",
            code="crop-bounds",
            at=f"crop_param.offset[{index}]",
            why=f"axis {axis}: the window must lie inside the blob that is cropped",
        )

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x, reference = bottoms
        first = self.first(len(x))
        return ((*x[:first], *reference[first : len(x)]),)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        return range(self.first(len(bottoms[0])), len(bottoms[0]))

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        x = bottoms[0]
        offsets = self.full(len(x))
        if len(x) != 4 or offsets is None:
            return None
        first = self.first(4)
        h, w = (offsets[axis - first] if axis >= first else 0 for axis in (2, 3))
        return ((AxisMap.crop(h), AxisMap.crop(w)), None)

    def emit(self, e: Emission) -> Emitted:
        x, reference = e.x
        first, offsets = self.first(len(e.bottoms[0])), self.full(len(e.bottoms[0]))
        assert offsets is not None, "crops are resolved before code is emitted"
        cuts, lines = [":"] * first, list[str]()
        for axis, offset in zip(range(first, len(e.bottoms[0])), offsets, strict=True):
            size = f"{reference}.shape[{axis}]"
            cuts.append(f"{offset} : {offset} + {size}" if offset else f": {size}")
            lines.append(f"{e.y[0]} = {e.y[0] if lines else x}.narrow({axis}, {offset}, {size})")
        # A slice beyond the end is cut short without a word; narrow refuses it, as Caffe does.
        return Emitted((f"{e.y[0]} = {x}[{', '.join(cuts)}]",) if self.inside else tuple(lines))
