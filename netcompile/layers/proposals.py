"""Faster R-CNN's proposals: the Python layer of py-faster-rcnn, and the C++ layers that were made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, sqrt
from typing import Any, ClassVar, Self

from netcompile.layers.base import Arity, Condition, Emission, Emitted, Layer, Refused, Shape, layer
from netcompile.layers.param_str import read_mapping
from netcompile.layers.params import Params
from netcompile.layers.shapes import count
from netcompile.layers.source import literal

Anchors = tuple[tuple[float, float, float, float], ...]  # x1, y1, x2, y2 around the cell at 0
# py-faster-rcnn's configuration in phase TRAIN and TEST: boxes before and after suppression.
LIMITS = {True: (12000, 2000), False: (6000, 300)}


def anchors_of(ratios: Sequence[float], scales: Sequence[float], base: int = 16, half_up: bool = False) -> Anchors:
    """Boxes of every ratio (height to width) and scale around a square of `base` pixels at the origin.

    Sides are rounded before they are scaled: halves to even, or up as C++'s layers do.

    >>> anchors_of([0.5], [8])
    ((-84.0, -40.0, 99.0, 55.0),)
    """

    def whole(x: float) -> float:
        return float(floor(x + 0.5)) if half_up else float(round(x))

    centre, found = (base - 1) / 2, []
    for ratio in ratios:
        width = whole(sqrt(base * base / ratio))
        height = whole(width * ratio)
        for scale in scales:
            x, y = (width * scale - 1) / 2, (height * scale - 1) / 2
            found.append((centre - x, centre - y, centre + x, centre + y))
    return tuple(found)


DEFAULT = anchors_of((0.5, 1, 2), (8, 16, 32))


@dataclass(frozen=True, slots=True)
class Proposals(Layer):
    """Regions from scores 1 × 2A × H × W, box offsets 1 × 4A × H × W and the image's (height, width, scale).

    The A anchors of each cell, moved by their offsets and clipped to the image, are sorted by score and
    suppressed where they overlap. Tops: rows of image, x1, y1, x2, y2 in pixels; their scores.
    """

    anchors: Anchors = DEFAULT
    stride: int = 16
    before: int = 6000  # boxes before suppression; 0: all
    after: int = 300  # and after it
    overlap: float = 0.7
    least: float = 16  # side of the smallest box, in pixels of the unscaled image

    arity: ClassVar[Arity] = Arity(bottoms=3, tops=(1, 2))
    sized_by_values: ClassVar[bool] = True
    one_image: ClassVar[bool] = True
    rows: ClassVar[tuple[Shape, Shape]] = ((1, 5), (1, 1))  # of one box and of its score
    extra: ClassVar[str] = ""
    forms: ClassVar[tuple[str, str]] = ("", "[:, None]")  # what gives a top the fork's axes

    def content(self, *bottoms: str) -> str:
        return "regions"

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        scores, offsets, image = bottoms
        for index, shape in enumerate((scores, offsets)):
            if len(shape) != 4:
                raise Refused(f"proposals want 4 axes, not {len(shape)}", at=f"bottom[{index}]")
        if not image or count(image, 1) < 3:
            raise Refused("bottom[2] is not height, width and scale", at="bottom[2]", why="im_info is N × 3")
        each = len(self.anchors)
        few = Refused(f"{scores[1]} score maps for {each} anchors", at="bottom[0]", why="two for each anchor")
        four = Refused(f"{offsets[1]} offset maps for {each} anchors", at="bottom[1]", why="four for each anchor")
        grid = Refused("scores and offsets are of different grids", at="bottom[1]")
        found = [Condition(scores[1], "==", 2 * each, few), Condition(offsets[1], "==", 4 * each, four)]
        found += [Condition(a, "==", b, grid) for a, b in zip(scores[2:], offsets[2:], strict=True)]
        found.append(Condition(scores[0], "==", offsets[0], Refused("batches differ", at="bottom[1]")))
        if self.one_image:
            single = Refused(f"a batch of {scores[0]}", at="bottom[0]", why="the layer takes one image at a time")
            found.append(Condition(scores[0], "==", 1, single))
        return found

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return self.rows

    def emit(self, e: Emission) -> Emitted:
        rois, scores = (*e.y, "_")[:2]
        rows = ", ".join("(" + ", ".join(literal(v) for v in box) + ")" for box in self.anchors)
        options = f"{self.stride}, {self.before}, {self.after}, {literal(self.overlap)}, {literal(self.least)}"
        lines = [f"{rois}, {scores} = propose({', '.join(e.x)}, [{rows}], {options}{self.extra})"]
        lines += [f"{name} = {name}{reshape}" for name, reshape in zip(e.y, self.forms, strict=False) if reshape]
        return Emitted(tuple(lines), functions=("proposals.propose",))


@layer("Python:rpn.proposal_layer.ProposalLayer")
class PythonProposals(Proposals):
    """py-faster-rcnn's Python layer. What its configuration file holds is taken as that file's defaults."""

    __slots__ = ()

    type: ClassVar[str] = "Python"
    fork: ClassVar[str] = "py-faster-rcnn"

    @classmethod
    def read(cls, p: Params) -> Self:
        given = literals(p, ("feat_stride", "scales", "ratios"))
        if given is None:
            return cls()
        if "feat_stride" not in given:
            p.refuse("python_param.param_str", "feat_stride missing", code="param-missing", remedy="'feat_stride': 16")
        stride, scales, ratios = given.get("feat_stride", 16), given.get("scales", (8, 16, 32)), given.get("ratios")
        ratios = (0.5, 1, 2) if ratios is None else ratios
        if not (_numbers((stride,)) and float(stride).is_integer() and _numbers(scales) and _numbers(ratios)):
            why = "feat_stride is a whole number; scales and ratios are lists of numbers; all are positive"
            p.refuse("python_param.param_str", "no anchors can be made of param_str", code="param-range", why=why)
            return cls()
        before, after = LIMITS[p.train]
        note_defaults(p, before, after)
        return cls(anchors_of(ratios, scales), int(stride), before, after)


@layer("FrcnnProposal")
class FrcnnProposals(Proposals):
    """The same in C++, configured by a JSON file; the defaults are py-faster-rcnn's."""

    __slots__ = ()

    rows: ClassVar[tuple[Shape, Shape]] = ((1, 5, 1, 1), (1, 1, 1, 1))
    forms: ClassVar[tuple[str, str]] = ("[:, :, None, None]", "[:, None, None, None]")
    fork: ClassVar[str] = "Frcnn (Faster R-CNN in C++)"

    @classmethod
    def read(cls, p: Params) -> Self:
        before, after = LIMITS[p.train]
        note_defaults(p, before, after, "; anchors of ratios 0.5, 1, 2 and scales 8, 16, 32 at stride 16")
        return cls(before=before, after=after)


@layer("Proposal")
class PvanetProposals(Proposals):
    """PVANET's C++ layer, with everything in proposal_param; a batch may have several images.

    Boxes that are too small stay, with score 0. bottom[2] may hold a scale for each axis.
    """

    __slots__ = ()

    one_image: ClassVar[bool] = False
    rows: ClassVar[tuple[Shape, Shape]] = ((1, 5), (1,))
    forms: ClassVar[tuple[str, str]] = ("", "")
    extra: ClassVar[str] = ", keep_small=True"
    fork: ClassVar[str] = "PVANET"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("proposal_param")
        ratios, scales = s.positive_numbers("ratio") or [1.0], s.positive_numbers("scale") or [1.0]
        anchors = anchors_of(ratios, scales, s.positive("base_size"), half_up=True)
        stride, before, after = (s.positive(field) for field in ("feat_stride", "pre_nms_topn", "post_nms_topn"))
        return cls(anchors, stride, before, after, s.get("nms_thresh"), s.get("min_size"))


def literals(p: Params, known: tuple[str, ...]) -> dict[str, Any] | None:
    """What param_str says, with unknown names reported; None, and a mistake, where it is no mapping."""
    s = p.sub("python_param")
    s.ignore("module", "layer", "share_in_parallel")
    given = read_mapping(str(s.get("param_str") or ""))
    if given is None:
        why = "it is read as names and literals, and nothing in it is run"
        s.refuse("param_str", "param_str is no mapping", code="param-str", why=why, remedy="\"'feat_stride': 16\"")
        return None
    for name in given:
        if name not in known:
            why = f"the layer reads {', '.join(known)}"
            p.note("python_param.param_str", f"{name} in param_str does nothing", code="unused-param", why=why)
    return given


def note_defaults(p: Params, before: int, after: int, more: str = "") -> None:
    """Say what the prototxt leaves to a configuration file."""
    p.note(
        "type",
        f"proposals by py-faster-rcnn's configuration: {before} boxes before suppression at 0.7, {after} after "
        f"it, sides of 16 pixels at least{more}",
        code="fork-reading",
        severity="note",
        why="these numbers stand in a file beside the prototxt",
    )


def _numbers(values: Any) -> bool:
    """Whether these are positive numbers, one at least."""
    if not isinstance(values, list | tuple) or not values:
        return False
    return all(isinstance(v, int | float) and not isinstance(v, bool) and 0 < v < 1e6 for v in values)
