"""Operators that a trace keeps whole: ONNX has them as one, PyTorch as a loop that depends on the numbers.

Each computes what the emitted code does, with the emitted code itself where that is a function of its own.
`TRANSLATIONS` says what they are in an ONNX file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnxscript
import torch
from torch import Tensor

from netcompile.prelude.boxes import suppress
from netcompile.prelude.regions import roi_pool

op: Any = onnxscript.opset18


@torch.library.custom_op("netcompile::best", mutates_args=())
def best(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest along the last axis and their places, largest first; of equal ones the first comes first."""
    values, places = x.sort(dim=-1, descending=True, stable=True)
    return values[..., :count].clone(), places[..., :count].clone()


@best.register_fake
def _(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    shape = (*x.shape[:-1], count)
    return x.new_empty(shape), x.new_empty(shape, dtype=torch.int64)


@torch.library.custom_op("netcompile::survivors", mutates_args=())
def survivors(boxes: Tensor, scores: Tensor, overlap: float, threshold: float) -> Tensor:
    """Which boxes greedy suppression leaves: B × K, of B × K × 4 and their scores, B × K and falling."""
    return suppress(boxes, overlap, scores > threshold)


@survivors.register_fake
def _(boxes: Tensor, scores: Tensor, overlap: float, threshold: float) -> Tensor:
    return scores.new_empty(scores.shape, dtype=torch.bool)


@torch.library.custom_op("netcompile::chosen", mutates_args=())
def chosen(rows: Tensor, mask: Tensor, otherwise: Tensor) -> Tensor:
    """The rows where `mask` is set, `otherwise` if it is nowhere."""
    return rows[mask] if bool(mask.any()) else otherwise.clone()


@chosen.register_fake
def _(rows: Tensor, mask: Tensor, otherwise: Tensor) -> Tensor:
    return rows.new_empty((torch.library.get_ctx().new_dynamic_size(min=1), rows.shape[1]))


@torch.library.custom_op("netcompile::region_maxima", mutates_args=())
def region_maxima(x: Tensor, rois: Tensor, height: int, width: int, scale: float) -> Tensor:
    """ROIPooling: the maximum of each cell of a grid on each region, a row of image, x1, y1, x2, y2."""
    return roi_pool(x, rois, (height, width), scale)


@region_maxima.register_fake
def _(x: Tensor, rois: Tensor, height: int, width: int, scale: float) -> Tensor:
    return x.new_empty((rois.shape[0], x.shape[1], height, width))


# ONNX -----------------------------------------------------------------------------------------------------------


def _best(x: Any, count: int) -> Any:
    return op.TopK(x, op.Constant(value_ints=[count]), axis=-1, largest=1, sorted=1)


def _survivors(boxes: Any, scores: Any, overlap: float, threshold: float) -> Any:
    every = op.Constant(value_ints=[2**31 - 1])
    limits = op.Constant(value_floats=[min(overlap, 1.0)]), op.Constant(value_floats=[threshold])
    one = op.Constant(value_ints=[1])
    found = op.NonMaxSuppression(boxes, op.Unsqueeze(scores, one), every, *limits)
    places = op.Gather(found, op.Constant(value_ints=[0, 2]), axis=1)
    count = op.Shape(places, start=0, end=1)
    marks = op.Expand(op.Constant(value_ints=[1]), count)
    none = op.Expand(op.Constant(value_ints=[0]), op.Shape(scores))
    return op.Cast(op.ScatterND(none, places, marks), to=9)  # BOOL


def _chosen(rows: Any, mask: Any, otherwise: Any) -> Any:
    some = op.ReduceMax(op.Cast(mask, to=6), keepdims=1)  # INT32
    missing = op.Expand(op.Not(op.Cast(some, to=9)), op.Shape(otherwise, start=0, end=1))
    return op.Concat(op.Compress(rows, mask, axis=0), op.Compress(otherwise, missing, axis=0), axis=0)


def _region_maxima(x: Any, rois: Any, height: int, width: int, scale: float) -> Any:
    return op.MaxRoiPool(x, rois, pooled_shape=[height, width], spatial_scale=scale)


_OPS: Any = torch.ops.netcompile
TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    _OPS.best.default: _best,
    _OPS.survivors.default: _survivors,
    _OPS.chosen.default: _chosen,
    _OPS.region_maxima.default: _region_maxima,
}
