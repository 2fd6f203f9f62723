"""Pooling over regions of interest: ROIPooling (Fast R-CNN) and PSROIPooling (R-FCN)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.layers.base import (
    Arity,
    Condition,
    Emission,
    Emitted,
    IntShape,
    Layer,
    Refused,
    Shape,
    Wish,
    count,
    layer,
    literal,
    number,
)
from netcompile.layers.params import Params, Section
from netcompile.layers.resize import four_axes


def _regions(rois: Shape) -> None:
    if count(rois, 1) != 5:
        raise Refused(
            f"a region has {count(rois, 1)} numbers, not 5",
            at="bottom[1]",
            why="image, x1, y1, x2, y2 in pixels",
        )


def _pooled(s: Section) -> tuple[int, int, float, float]:
    """Cells down and across, the features' scale, and the padding."""
    for field in ("pooled_h", "pooled_w"):
        if int(s.get(field)) < 1:
            s.refuse(field, f"{field} must be > 0", code="param-missing" if not s.has(field) else "param-range")
    cells = (max(int(s.get(field)), 1) for field in ("pooled_h", "pooled_w"))
    return (*cells, s.get("spatial_scale"), s.get("pad_ratio"))


@layer("ROIPooling")
@dataclass(frozen=True, slots=True)
class ROIPooling(Layer):
    """The maximum of each cell of a grid laid over each region; bottom[1] holds image, x1, y1, x2, y2 per
    region. MS-CNN's pad_ratio widens a region by so much of its sides on each of them.
    """

    height: int = 1
    width: int = 1
    scale: float = 1.0
    pad: float = 0.0

    arity: ClassVar[Arity] = Arity(bottoms=2, tops=1)
    regions: ClassVar[int | None] = 1
    fork: ClassVar[str] = "Fast R-CNN"
    family: ClassVar[str] = "pooling"

    @classmethod
    def read(cls, p: Params) -> Self:
        return cls(*_pooled(p.sub("roi_pooling_param")))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        four_axes(bottoms[0], "ROIPooling")
        _regions(bottoms[1])
        return ((bottoms[1][0], bottoms[0][1], self.height, self.width),)

    def wants(self, index: int, *bottoms: IntShape) -> Sequence[Wish]:
        return ((None, 5),) if index else ((None, None, None, None),)

    def emit(self, e: Emission) -> Emitted:
        x, rois = e.x
        pad = (literal(self.pad),) if self.pad else ()
        return e.call("regions.roi_pool", x, rois, (self.height, self.width), literal(self.scale), *pad)

    def traced(self) -> Mapping[str, str]:
        return {"roi_pool": "netcompile.export.detection.roi_pool"}


@layer("ROIAlign")
@dataclass(frozen=True, slots=True)
class ROIAlign(Layer):
    """Features at the corners of a grid laid over each region, interpolated: (pooled_h + 1) × (pooled_w + 1).

    A point outside the map gives 0, and so does a region without area. This is Cascade R-CNN's layer, told by
    its roi_pooling_param; layers with a roi_align_param differ from fork to fork.
    """

    height: int = 1
    width: int = 1
    scale: float = 1.0
    pad: float = 0.0

    arity: ClassVar[Arity] = Arity(bottoms=2, tops=1)
    fork: ClassVar[str] = "Cascade R-CNN"
    family: ClassVar[str] = "pooling"

    @classmethod
    def read(cls, p: Params) -> Self:
        if not p.has("roi_pooling_param"):
            p.ignore_all()
            p.refuse(
                "roi_align_param",
                "a ROIAlign layer whose fork cannot be told",
                code="fork-clash",
                why="with roi_align_param, forks take one, four or a chosen number of points of a cell, and their "
                "maximum or mean",
                remedy="register a plugin for it (entry point group netcompile.layers)",
            )
            return cls()
        return cls(*_pooled(p.sub("roi_pooling_param")))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        four_axes(bottoms[0], "ROIAlign")
        _regions(bottoms[1])
        return ((bottoms[1][0], bottoms[0][1], self.height + 1, self.width + 1),)

    def emit(self, e: Emission) -> Emitted:
        pad = (literal(self.pad),) if self.pad else ()
        return e.call("regions.roi_align", *e.x, (self.height, self.width), literal(self.scale), *pad)


@layer("DecodeBBox")
@dataclass(frozen=True, slots=True)
class DecodeBBox(Layer):
    """Regions moved by the offsets of class 1: predictions N × 8 and regions N × 5 to regions N × 5 × 1 × 1.

    In phase TRAIN, regions whose corners are swapped fall out, and with a third bottom those that overlap a
    true box by gt_iou_thr, which its last number tells.
    """

    mean: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    threshold: float | None = None

    arity: ClassVar[Arity] = Arity(bottoms=(2, 3), tops=1)
    sized_by_values: ClassVar[bool] = True
    fork: ClassVar[str] = "MS-CNN, Cascade R-CNN"

    @classmethod
    def read(cls, p: Params) -> Self:
        s, own = p.sub("bbox_reg_param"), p.sub("decode_bbox_param")
        s.ignore("cls_num")
        mean, std = (tuple(float(v) for v in s.all(field)) for field in ("bbox_mean", "bbox_std"))
        if not mean or not std:
            mean, std = (0.0,) * 4, (1.0,) * 4
        for field, values in (("bbox_mean", mean), ("bbox_std", std)):
            if len(values) != 4:
                s.refuse(field, f"{len(values)} {field}, not 4", code="param-count")
        if min(std) <= 0:
            s.refuse("bbox_std", "bbox_std must be positive", code="param-range")
        if p.bottoms > 2 and not p.train:
            p.refuse("bottom[2]", "a third bottom in phase TEST", code="arity", why="it serves training")
        threshold = own.get("gt_iou_thr") if p.bottoms > 2 else None
        own.ignore("gt_iou_thr")
        return cls(mean, std, threshold)

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        found = []
        for index, shape in enumerate(bottoms):
            if not shape:
                raise Refused("a scalar has no rows", at=f"bottom[{index}]")
            alike = Refused(f"{shape[0]} rows for {bottoms[0][0]}", at=f"bottom[{index}]")
            found.append(Condition(shape[0], "==", bottoms[0][0], alike))
        for index, size in ((0, 8), (1, 5)):
            wrong = Refused(f"{count(bottoms[index], 1)} numbers, not {size}", at=f"bottom[{index}]")
            found.append(Condition(count(bottoms[index], 1), "==", size, wrong))
        return found

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return ((bottoms[1][0], 5, 1, 1),)

    def emit(self, e: Emission) -> Emitted:
        lists = ["[" + ", ".join(literal(v) for v in values) + "]" for values in (self.mean, self.std)]
        make = f"moved_regions({e.x[0]}, {e.x[1]}, {', '.join(lists)})"
        lines = [f"{e.y[0]} = {make}"]
        if e.train:
            lines.append(f"{e.y[0]} = {e.y[0]}[({e.y[0]}[:, 1:3] <= {e.y[0]}[:, 3:]).flatten(1).all(dim=1)]")
        if e.train and self.threshold is not None:
            apart = f"{e.x[2]}.flatten(1)[:, -1] < {literal(self.threshold)}"
            lines.insert(1, f"{e.y[0]} = {e.y[0]}[{apart}]")
        return Emitted(tuple(lines), functions=("regions.moved_regions",))


@layer("PSROIPooling")
@dataclass(frozen=True, slots=True)
class PSROIPooling(Layer):
    """The mean of each cell of a k × k grid on each region, each cell from a channel of its own (R-FCN)."""

    channels: int = 1
    group: int = 1
    scale: float = 1.0

    arity: ClassVar[Arity] = Arity(bottoms=2, tops=1)
    regions: ClassVar[int | None] = 1
    fork: ClassVar[str] = "R-FCN"
    family: ClassVar[str] = "pooling"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("psroi_pooling_param")
        s.required("spatial_scale")
        for field in ("output_dim", "group_size"):
            s.required(field)
            if s.has(field) and s.get(field) < 1:
                s.refuse(field, f"{field} must be > 0", code="param-range")
        channels, group = (max(int(s.get(f) or 1), 1) for f in ("output_dim", "group_size"))
        return cls(channels, group, s.get("spatial_scale"))

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        four_axes(bottoms[0], "PSROIPooling")
        wanted = self.channels * self.group**2
        refusal = Refused(
            f"{number(bottoms[0][1])} channels, not {wanted}",
            at="bottom[0]",
            why=f"output_dim {self.channels} × group_size {self.group}²",
        )
        return [Condition(bottoms[0][1], "==", wanted, refusal)]

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        _regions(bottoms[1])
        return ((bottoms[1][0], self.channels, self.group, self.group),)

    def wants(self, index: int, *bottoms: IntShape) -> Sequence[Wish]:
        return ((None, 5),) if index else ((None, None, None, None),)

    def emit(self, e: Emission) -> Emitted:
        return e.call("regions.position_sensitive_pool", *e.x, self.group, literal(self.scale))

    def traced(self) -> Mapping[str, str]:
        return {"position_sensitive_pool": "netcompile.export.detection.position_sensitive_pool"}
