"""SSD's prior boxes: PriorBox, and PriorBoxClustered with sizes of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, sqrt
from typing import ClassVar, Self

from netcompile.layers.base import Arity, Emission, Emitted, Layer, Shape, layer
from netcompile.layers.params import Params, Section
from netcompile.layers.shapes import planes, volume
from netcompile.layers.source import call, literal
from netcompile.prototxt.schema import float32

USUAL = "(0.1, 0.1, 0.2, 0.2)"  # variances
Sizes = tuple[tuple[float, float], ...]  # (width, height) in pixels


def _pair(s: Section, one: str, high: str, wide: str) -> tuple[float, float] | None:
    """`one` for both axes, or `high` and `wide`; None where the file has neither."""
    if s.has(high) or s.has(wide):
        if s.has(one):
            s.refuse(one, f"{one} and {high}/{wide} together", code="param-conflict", remedy=f"keep {one}")
        names = (high, wide)
    elif s.has(one):
        names = (one, one)
    else:
        return None
    for name in names:
        if not s.has(name):
            s.refuse("", f"{name} missing", code="param-missing", why=f"{high} and {wide} belong together")
            return None
        if not s.get(name) > 0:
            s.refuse(name, f"{name} must be larger than 0", code="param-range")
            return None
    return (s.get(names[0]), s.get(names[1]))


def _variance(s: Section) -> tuple[float, ...]:
    variance = tuple(float(v) for v in s.all("variance")) or (float32(0.1),)
    if len(variance) not in (1, 4):
        s.refuse("variance", f"{len(variance)} variances", code="param-count", why="SSD wants none, 1 or 4")
        variance = (0.1,)
    if any(v <= 0 for v in variance):
        s.refuse("variance", "variance must be positive", code="param-range")
    return variance


@dataclass(frozen=True, slots=True)
class Priors(Layer):
    """Default boxes of every cell of bottom[0] on the image bottom[1]: 1 × 2 × (cells · boxes · 4).

    Channel 0 holds xmin, ymin, xmax, ymax as parts of the image, channel 1 the variances.
    """

    boxes: Sizes = ((1.0, 1.0),)  # in the order of a cell's boxes
    image: tuple[float, float] | None = None  # (height, width)
    step: tuple[float, float] | None = None
    offset: float = 0.5
    clip: bool = False
    variance: tuple[float, ...] = (0.1,)

    arity: ClassVar[Arity] = Arity(bottoms=2, tops=1)

    @classmethod
    def of(cls, s: Section, boxes: Sizes) -> Self:
        """The layer with these boxes in a cell, and what else the section says."""
        return cls(
            boxes or ((1.0, 1.0),),
            _pair(s, "img_size", "img_h", "img_w"),
            _pair(s, "step", "step_h", "step_w"),
            s.get("offset"),
            bool(s.get("clip")),
            _variance(s),
        )

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        planes(bottoms[1], self.type, "bottom[1]")
        return ((1, 2, volume(planes(bottoms[0], self.type)[2:]) * len(self.boxes) * 4),)

    def source(self) -> str:
        """Source of the sizes."""
        return "[" + ", ".join(f"({w!r}, {h!r})" for w, h in self.boxes) + "]"

    def emit(self, e: Emission) -> Emitted:
        # Caffe reads height and width as 1 where a blob has fewer axes.
        x, image = e.planes[0], e.x[1]
        size = image if len(e.bottoms[1]) == 4 else str(planes(e.bottoms[1], self.type)[2:])
        size = size if self.image is None else _pair_text(self.image)
        return e.call(
            "detection.prior_boxes",
            x,
            size,
            self.source(),
            variances=literal(list(self.variance)) if literal(self.variance) != USUAL else None,
            step=_pair_text(self.step) if self.step else None,
            offset=literal(self.offset) if self.offset != 0.5 else None,
            clip=True if self.clip else None,
        )


def _pair_text(pair: tuple[float, float]) -> str:
    """Source of a pair, whole numbers without a point."""
    return "(" + ", ".join(literal(float(v)) if float(v) % 1 else str(int(v)) for v in pair) + ")"


@layer("PriorBox")
@dataclass(frozen=True, slots=True)
class PriorBox(Priors):
    """Squares of each min_size and of √(min_size · max_size), and min_size · √r by min_size / √r for each ratio r.

    Sizes lose their fraction, as in SSD's code; the forks that keep it have no field that tells them apart.
    """

    least: tuple[int, ...] = ()
    most: tuple[int, ...] = ()
    ratios: tuple[float, ...] = ()

    fork: ClassVar[str] = "SSD"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("prior_box_param")
        least, most = cls._extents(p, s)
        ratios = cls._ratios(s)
        made = cls.of(s, cls._boxes(least, most, ratios))
        return replace(made, least=tuple(least), most=tuple(most), ratios=tuple(ratios))

    def source(self) -> str:
        ratios, turned = self.ratios[::2], self.ratios[1::2]
        flip = len(ratios) == len(turned) and all(float32(1 / a) == b for a, b in zip(ratios, turned, strict=True))
        shown = [int(r) if r == int(r) else r for r in (ratios if flip else self.ratios)]
        return call("box_sizes", list(self.least), list(self.most), literal(shown), flip=None if flip else False)

    def emit(self, e: Emission) -> Emitted:
        made = Priors.emit(self, e)
        return replace(made, functions=("detection.box_sizes", *made.functions))

    @staticmethod
    def _boxes(least: Sequence[int], most: Sequence[int], ratios: Sequence[float]) -> Sizes:
        """A cell's boxes, rounded to float32 as Caffe keeps them: `box_sizes` of the prelude."""
        boxes: list[tuple[float, float]] = []
        for index, size in enumerate(least):
            boxes.append((float(size), float(size)))
            if most:
                side = float32(sqrt(size * most[index]))
                boxes.append((side, side))
            boxes += [(float32(size * sqrt(r)), float32(size / sqrt(r))) for r in ratios]
        return tuple(boxes)

    @staticmethod
    def _extents(p: Params, s: Section) -> tuple[list[int], list[int]]:
        """Each min_size and max_size, as whole numbers."""
        least, most = s.positive_numbers("min_size"), [float(v) for v in s.all("max_size")]
        if most and len(most) != len(s.all("min_size")):
            s.refuse("max_size", f"{len(most)} max_size for {len(least)} min_size", code="param-count")
            most = []
        if not all(v < inf for v in most):
            s.refuse("max_size", "max_size must be finite", code="param-range")
            most = []
        if any(a >= b for a, b in zip(least, most, strict=False)):
            s.refuse("max_size", "max_size must be greater than min_size", code="param-range")
            most = []
        for field, values in (("min_size", least), ("max_size", most)):
            cut = [v for v in values if v % 1]
            if cut:
                p.note(
                    f"prior_box_param.{field}",
                    f"{field} {literal(cut[0])} loses its fraction",
                    code="fork-reading",
                    severity="note",
                    why="SSD's PriorBox keeps sizes as whole numbers; some forks (Intel's) keep the fraction",
                )
        return [int(v) for v in least], [int(v) for v in most]

    @staticmethod
    def _ratios(s: Section) -> list[float]:
        """The ratios other than 1, in the order of their boxes; a ratio that is known already counts once."""
        ratios = [1.0]
        for ratio in s.all("aspect_ratio"):
            own = [ratio, float32(1 / ratio) if ratio else inf] if s.get("flip") else [ratio]
            if ratio <= 0:
                s.refuse("aspect_ratio", f"aspect_ratio {ratio:g} is not positive", code="param-range")
            elif not all(0 < r < inf for r in own):
                s.refuse("aspect_ratio", f"aspect_ratio {ratio:g} makes a box without end", code="param-range")
            elif all(abs(ratio - known) >= 1e-6 for known in ratios):
                ratios += own
        return [r for r in ratios if abs(r - 1) >= 1e-6]


@layer("PriorBoxClustered")
class PriorBoxClustered(Priors):
    """Boxes of given widths and heights, as clustering of a data set's boxes finds them."""

    __slots__ = ()

    fork: ClassVar[str] = "Intel's training toolbox"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("prior_box_param")
        return cls.of(s, cls._sizes(s))

    @staticmethod
    def _sizes(s: Section) -> Sizes:
        wide, high = s.positive_numbers("width"), s.positive_numbers("height")
        if wide and high and len(wide) != len(high):
            s.refuse("height", f"{len(high)} heights for {len(wide)} widths", code="param-count")
            return ()
        s.ignore("flip")  # there is no ratio to turn
        return tuple(zip(wide, high, strict=False))
