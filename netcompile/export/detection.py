"""Detection and region pooling as torch.export can trace them: the same numbers without a loop over them.

These stand in for emitted functions of the same arguments; `emitted` holds the functions of the module at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import netcompile.export.operators  # noqa: F401 (registers torch.ops.netcompile)

Functions = Mapping[str, Callable[..., Any]]
_OPS: Any = torch.ops.netcompile
LEAST = -3.4028235e38  # the lowest float32: SSD's threshold where a net states none


def detect(
    emitted: Functions,
    location: Tensor,
    scores: Tensor,
    priors: Tensor,
    classes: int,
    code: str,
    overlap: float,
    shared: bool = True,
    background: int = 0,
    encoded: bool = False,
    threshold: float = LEAST,
    most: int = -1,
    keep: int = -1,
    eta: float = 1.0,
) -> Tensor:
    """SSD's detections, 1 × 1 × K × 7, in the module's order: by image, by class, by falling score.

    `eta` is not used: a net where it would change something is refused.
    """
    n, count = location.shape[0], priors.shape[2] // 4
    corners, variances = priors[0].reshape(2, 1, count, 4)
    spread = torch.ones_like(variances) if encoded else variances
    offsets = location.reshape(n, count, -1, 4).transpose(1, 2)
    boxes = emitted["decode_boxes"](offsets, corners, spread, code)
    images = torch.arange(n, dtype=location.dtype, device=location.device)
    none = torch.cat((images[:, None], location.new_full((1, 6), -1).expand(n, 6)), dim=1)
    labels = [label for label in range(classes) if label != background]
    amount = count if most < 0 else min(most, count)
    if not labels or not amount or keep == 0:
        return none[None, None]
    values, order = _OPS.best(scores.reshape(n, count, classes).transpose(1, 2)[:, labels], amount)
    boxes = boxes.expand(n, len(labels), count, 4) if shared else boxes[:, labels]
    boxes = boxes.gather(2, order[..., None].expand(-1, -1, -1, 4))
    low, high = boxes[..., :2], boxes[..., 2:]
    # A box turned inside out overlaps with nothing. ONNX would turn it round; one without area overlaps with nothing.
    proper = torch.cat((low, torch.maximum(low, high)), dim=-1)
    stays = _OPS.survivors(proper.flatten(0, 1), values.flatten(0, 1), overlap, threshold).reshape(n, -1)
    if -1 < keep < len(labels) * amount:
        ranked = torch.where(stays, values.flatten(1), -torch.inf)
        _, places = _OPS.best(ranked, keep)
        stays = stays & torch.zeros_like(ranked).scatter(1, places, 1.0).bool()
    image = images[:, None, None, None].expand(n, len(labels), amount, 1)
    label = torch.tensor(labels, dtype=location.dtype)[:, None, None].expand(n, -1, amount, 1)
    rows = torch.cat((image, label, values[..., None], boxes), dim=-1)
    found = _OPS.chosen(rows.reshape(-1, 7), stays.flatten(), none)
    detections: Tensor = found[None, None]
    return detections


def roi_pool(emitted: Functions, x: Tensor, rois: Tensor, size: tuple[int, int], scale: float) -> Tensor:
    """ROIPooling, as ONNX's MaxRoiPool."""
    pooled: Tensor = _OPS.region_maxima(x, rois.reshape(-1, 5), *size, scale)
    return pooled


def position_sensitive_pool(emitted: Functions, x: Tensor, rois: Tensor, k: int, scale: float) -> Tensor:
    """PSROIPooling: each cell's mean from sums over everything above and left of its corners, in double precision."""
    rois = rois.reshape(-1, 5)
    x1, y1, x2, y2 = emitted["round_half_away"](rois[:, 1:]).unbind(1)
    edges = []
    for low, high, extent in ((y1, y2, x.shape[2]), (x1, x2, x.shape[3])):
        start, end = low * scale, (high + 1) * scale
        step = (end - start).clamp_min(0.1) / k
        cell = torch.arange(k, dtype=x.dtype, device=x.device)
        first = (cell * step[:, None] + start[:, None]).floor()
        last = ((cell + 1) * step[:, None] + start[:, None]).ceil()
        edges.append([edge.clamp(0, extent).long() for edge in (first, last)])
    (top, bottom), (left, right) = edges
    sums = F.pad(x.double().cumsum(2).cumsum(3), (1, 0, 1, 0))
    sums = sums.reshape(len(x), -1, k, k, *sums.shape[2:]).permute(0, 2, 3, 4, 5, 1)
    image, cells = rois[:, 0].long()[:, None, None], torch.arange(k, device=x.device)

    def before(row: Tensor, column: Tensor) -> Tensor:
        found: Tensor = sums[image, cells[:, None], cells, row[:, :, None], column[:, None]]
        return found

    total = before(bottom, right) - before(top, right) - before(bottom, left) + before(top, left)
    height, width = (bottom - top).clamp_min(0), (right - left).clamp_min(0)
    area = (height[:, :, None] * width[:, None])[..., None]
    mean = torch.where(area > 0, total / area.clamp_min(1), 0)
    return mean.permute(0, 3, 1, 2).to(x.dtype)
