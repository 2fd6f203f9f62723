"""Pooling over regions of interest: ROIPooling (Fast R-CNN) and PSROIPooling (R-FCN)."""

from __future__ import annotations

from collections.abc import Sequence

from netcompile.layers.base import (
    Arity,
    Condition,
    Emission,
    Emitted,
    Layer,
    Refused,
    Shape,
    count,
    layer,
    literal,
    number,
)
from netcompile.layers.fork_resize import four_axes
from netcompile.layers.params import Params
from netcompile.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Self


def _regions(rois: Shape) -> None:
    if count(rois, 1) != 5:
        raise Refused(
            f"a region has {count(rois, 1)} numbers, not 5",
            at="bottom[1]",
            why="image, x1, y1, x2, y2 in pixels",
        )


@layer("ROIPooling")
@record
class ROIPooling(Layer):
    """The maximum of each cell of a grid laid over each region; bottom[1] holds image, x1, y1, x2, y2 per
    region.
    """

    height: int = 1
    width: int = 1
    scale: float = 1.0

    arity: ClassVar[Arity] = Arity(bottoms=2, tops=1)
    fork: ClassVar[str] = "Fast R-CNN"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("roi_pooling_param")
        for field in ("pooled_h", "pooled_w"):
            if int(s.get(field)) < 1:
                s.refuse(field, f"{field} must be > 0", code="param-missing" if not s.has(field) else "param-range")
        return cls(max(int(s.get("pooled_h")), 1), max(int(s.get("pooled_w")), 1), s.get("spatial_scale"))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        four_axes(bottoms[0], "ROIPooling")
        _regions(bottoms[1])
        return ((bottoms[1][0], bottoms[0][1], self.height, self.width),)

    def emit(self, e: Emission) -> Emitted:
        x, rois = e.x
        make = f"roi_pool({x}, {rois}, ({self.height}, {self.width}), {literal(self.scale)})"
        return Emitted((f"{e.y[0]} = {make}",), functions=(ROUND, ROI_POOL))


ROUND = '''
def round_half_away(x):
    """Rounding as C does it: halves go away from zero."""
    whole = x.trunc()
    return whole + ((x - whole).abs() >= 0.5) * x.sign()
'''

ROI_POOL = '''
def roi_pool(x, rois, size, scale):
    """The maximum of each cell of a grid of `size` on each region; 0 if empty.

    A row of `rois` is image, x1, y1, x2, y2 in pixels, both corners included.
    """
    rois = rois.reshape(-1, 5)
    x1, y1, x2, y2 = round_half_away(rois[:, 1:] * scale).unbind(1)
    bounds = []
    for low, high, cells, extent in (
        (y1, y2, size[0], x.shape[2]),
        (x1, x2, size[1], x.shape[3]),
    ):
        step = (high - low + 1).clamp_min(1) / cells
        cell = torch.arange(cells, device=x.device, dtype=x.dtype)
        start = (cell * step[:, None]).floor() + low[:, None]
        end = ((cell + 1) * step[:, None]).ceil() + low[:, None]
        edges = torch.stack((start, end)).clamp(0, extent)
        bounds.append(edges.permute(1, 2, 0).long().tolist())
    y = x.new_zeros(rois.shape[0], x.shape[1], *size)
    images = rois[:, 0].long().tolist()
    for n, (image, rows, columns) in enumerate(zip(images, *bounds)):
        for i, (top, bottom) in enumerate(rows):
            if bottom <= top:
                continue
            strip = x[image, :, top:bottom].amax(dim=1)
            for j, (left, right) in enumerate(columns):
                if right > left:
                    y[n, :, i, j] = strip[:, left:right].amax(dim=1)
    return y
'''


@layer("PSROIPooling")
@record
class PSROIPooling(Layer):
    """The mean of each cell of a k × k grid on each region, each cell from a channel of its own (R-FCN)."""

    channels: int = 1
    group: int = 1
    scale: float = 1.0

    arity: ClassVar[Arity] = Arity(bottoms=2, tops=1)
    fork: ClassVar[str] = "R-FCN"

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

    def emit(self, e: Emission) -> Emitted:
        x, rois = e.x
        make = f"position_sensitive_pool({x}, {rois}, {self.group}, {literal(self.scale)})"
        return Emitted((f"{e.y[0]} = {make}",), functions=(ROUND, PSROI_POOL))


PSROI_POOL = '''
def position_sensitive_pool(x, rois, k, scale):
    """Means over a k × k grid on each region, cell (i, j) from its own channels.

    A row of `rois` is image, x1, y1, x2, y2 in pixels; an empty cell gives 0.
    """
    rois = rois.reshape(-1, 5)
    x1, y1, x2, y2 = round_half_away(rois[:, 1:]).unbind(1)
    bounds = []
    for low, high, extent in ((y1, y2, x.shape[2]), (x1, x2, x.shape[3])):
        start, end = low * scale, (high + 1) * scale
        step = (end - start).clamp_min(0.1) / k
        cell = torch.arange(k, device=x.device, dtype=x.dtype)
        first = (cell * step[:, None] + start[:, None]).floor()
        last = ((cell + 1) * step[:, None] + start[:, None]).ceil()
        edges = torch.stack((first, last)).clamp(0, extent)
        bounds.append(edges.permute(1, 2, 0).long().tolist())
    planes = x.unflatten(1, (-1, k, k))
    y = x.new_zeros(rois.shape[0], planes.shape[1], k, k)
    images = rois[:, 0].long().tolist()
    for n, (image, rows, columns) in enumerate(zip(images, *bounds)):
        for i, (top, bottom) in enumerate(rows):
            for j, (left, right) in enumerate(columns):
                if bottom > top and right > left:
                    cell = planes[image, :, i, j, top:bottom, left:right]
                    y[n, :, i, j] = cell.mean(dim=(1, 2))
    return y
'''
