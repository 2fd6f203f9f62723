"""Pooling over regions of interest: ROIPooling (Fast R-CNN) and PSROIPooling (R-FCN)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from netcompile.layers.base import (
    Arity,
    Condition,
    Dim,
    Emission,
    Emitted,
    IntShape,
    Layer,
    Refused,
    Shape,
    Wish,
    layer,
)
from netcompile.layers.params import Params
from netcompile.layers.shapes import count, four_axes, number
from netcompile.layers.source import literal


@dataclass(frozen=True, slots=True)
class _RegionPooling(Layer):
    """A grid of numbers of each region; bottom[1] has a row for each: image, x1, y1, x2, y2 in pixels."""

    arity: ClassVar[Arity] = Arity(bottoms=2, tops=1)
    family: ClassVar[str] = "pooling"

    def pooled(self, rois: Shape, *top: Dim) -> tuple[Shape, ...]:
        """The top, of channels × height × width for each region. Raises Refused where a row is no region."""
        if count(rois, 1) != 5:
            what = f"a region has {count(rois, 1)} numbers, not 5"
            raise Refused(what, at="bottom[1]", why="image, x1, y1, x2, y2 in pixels")
        return ((rois[0], *top),)

    def wants(self, index: int, *bottoms: IntShape) -> Sequence[Wish]:
        return ((None, 5),) if index else ((None, None, None, None),)


@layer("ROIPooling")
@dataclass(frozen=True, slots=True)
class ROIPooling(_RegionPooling):
    """The maximum of each cell of a grid laid over each region.

    MS-CNN's pad_ratio widens a region by so much of its sides on each of them.
    """

    height: int = 1
    width: int = 1
    scale: float = 1.0
    pad: float = 0.0

    regions: ClassVar[int | None] = 1
    fork: ClassVar[str] = "Fast R-CNN"
    function: ClassVar[str] = "regions.roi_pool"
    border: ClassVar[int] = 0  # numbers of a row or column beyond the grid's cells

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("roi_pooling_param")
        for field in ("pooled_h", "pooled_w"):
            if int(s.get(field)) < 1:
                s.refuse(field, f"{field} must be > 0", code="param-missing" if not s.has(field) else "param-range")
        height, width = (max(int(s.get(field)), 1) for field in ("pooled_h", "pooled_w"))
        return cls(height, width, s.get("spatial_scale"), s.get("pad_ratio"))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x, rois = bottoms
        four_axes(x, self.type)
        return self.pooled(rois, x[1], self.height + self.border, self.width + self.border)

    def emit(self, e: Emission) -> Emitted:
        pad = (literal(self.pad),) if self.pad else ()
        return e.call(self.function, *e.x, (self.height, self.width), literal(self.scale), *pad)

    def traced(self) -> Mapping[str, str]:
        return {"roi_pool": "netcompile.export.detection.roi_pool"}


@layer("ROIAlign")
class ROIAlign(ROIPooling):
    """Features at the corners of a grid laid over each region, interpolated: (pooled_h + 1) × (pooled_w + 1).

    A point outside the map gives 0, and so does a region without area. This is Cascade R-CNN's layer, told by
    its roi_pooling_param; layers with a roi_align_param differ from fork to fork.
    """

    regions: ClassVar[int | None] = None
    fork: ClassVar[str] = "Cascade R-CNN"
    function: ClassVar[str] = "regions.roi_align"
    border: ClassVar[int] = 1

    @classmethod
    def read(cls, p: Params) -> Self:
        if p.has("roi_pooling_param"):
            return super().read(p)
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

    def traced(self) -> Mapping[str, str]:
        return {}


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
        made = e.call("regions.moved_regions", *e.x[:2], literal(list(self.mean)), literal(list(self.std)))
        lines = [*made.forward]
        if e.train:
            lines.append(f"{e.y[0]} = {e.y[0]}[({e.y[0]}[:, 1:3] <= {e.y[0]}[:, 3:]).flatten(1).all(dim=1)]")
        if e.train and self.threshold is not None:
            apart = f"{e.x[2]}.flatten(1)[:, -1] < {literal(self.threshold)}"
            lines.insert(1, f"{e.y[0]} = {e.y[0]}[{apart}]")
        return replace(made, forward=tuple(lines))


@layer("PSROIPooling")
@dataclass(frozen=True, slots=True)
class PSROIPooling(_RegionPooling):
    """The mean of each cell of a k × k grid on each region, each cell from a channel of its own (R-FCN)."""

    channels: int = 1
    group: int = 1
    scale: float = 1.0

    regions: ClassVar[int | None] = 1
    fork: ClassVar[str] = "R-FCN"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("psroi_pooling_param")
        s.required("spatial_scale")
        return cls(s.required_positive("output_dim"), s.required_positive("group_size"), s.get("spatial_scale"))

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
        return self.pooled(bottoms[1], self.channels, self.group, self.group)

    def emit(self, e: Emission) -> Emitted:
        return e.call("regions.position_sensitive_pool", *e.x, self.group, literal(self.scale))

    def traced(self) -> Mapping[str, str]:
        return {"position_sensitive_pool": "netcompile.export.detection.position_sensitive_pool"}
