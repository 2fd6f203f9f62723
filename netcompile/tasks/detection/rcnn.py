"""Detections from what R-CNN's nets compute: regions, scores of classes for each, and offsets of boxes.

The steps are those of py-faster-rcnn (rbgirshick/py-faster-rcnn: `lib/fast_rcnn/test.py`, `lib/fast_rcnn/
bbox_transform.py`, `lib/nms/py_cpu_nms.py`), for the test of R-FCN as in py-R-FCN's `lib/fast_rcnn/test.py`.

The offsets of a published caffemodel are taken as they come: training normalises them by means and deviations, and
py-faster-rcnn's `SolverWrapper.snapshot` writes weights and biases of `bbox_pred` from which that is taken out again.
Weights that another program has saved, Caffe's own snapshots among them, give offsets that are too small.
"""

from __future__ import annotations

from math import prod

import numpy as np

from netcompile.array import Array
from netcompile.data.boxes import Detections, clipped, suppressed

THRESHOLD = 0.05  # scores below are left out; py-faster-rcnn's demo draws those from 0.8 on
OVERLAP = 0.3  # of boxes of a class that suppress each other: cfg.TEST.NMS
MOST = 100  # boxes of an image, of all classes together
SHORT_SIDE, LONG_SIDE = 600, 1000  # cfg.TEST.SCALES and MAX_SIZE


def scale_of(height: int, width: int, short: int = SHORT_SIDE, most: int = LONG_SIDE) -> float:
    """How much an image is enlarged: its short side to `short` pixels, unless its long side would exceed `most`.

    As `_get_image_blob` of py-faster-rcnn.

    >>> scale_of(375, 500), scale_of(300, 1000)
    (1.6, 1.0)
    """
    scale = short / min(height, width)
    if np.round(scale * max(height, width)) > most:
        scale = most / max(height, width)
    return scale


def moved_regions(regions: Array, offsets: Array) -> Array:
    """The boxes (R×4K) that offsets make of regions (R×4): K a region, each as dx, dy, logarithms of width and height.

    As `bbox_transform_inv`: widths and heights count whole pixels. What is computed has the type of the offsets.
    """
    regions = regions.astype(offsets.dtype)
    low, size = regions[:, None, :2], regions[:, None, 2:] - regions[:, None, :2] + 1
    moves = offsets.reshape(len(offsets), offsets.shape[1] // 4, 4)
    centre = moves[..., :2] * size + (low + 0.5 * size)
    with np.errstate(over="ignore"):  # a box without bounds is cut to the image
        half = 0.5 * (np.exp(moves[..., 2:]) * size)
    return np.concatenate((centre - half, centre + half), axis=-1).reshape(offsets.shape)


def rcnn_detections(
    regions: Array, scores: Array, offsets: Array | None, size: tuple[int, int], scale: float | tuple[float, float], *,
    image: int = 0, threshold: float = THRESHOLD, overlap: float = OVERLAP, most: int = MOST,
) -> Detections:  # fmt: skip
    """What an R-CNN found in one image of a batch; class 0 is the background.

    `regions`: R×5, the image's number in the batch and a box in pixels of the net's input; `scores`: R×C;
    `offsets`: R×4C, or R×8 for boxes that all classes share (R-FCN: background, anything else); None leaves the
    regions where they are. Trailing axes of length 1 do not count. `size`: height and width of the original image;
    `scale`: how much it was enlarged, along x and y where that differs.

    For each class the boxes that score more than `threshold` are suppressed where they overlap; of all classes the
    `most` best stay, and those that score as much as the last of them. The result has whole pixels. Raises ValueError
    for shapes that do not fit together, and for numbers that are not finite.
    """
    regions, scores, offsets = _flat(regions), _flat(scores), None if offsets is None else _flat(offsets)
    _check(regions, scores, offsets)
    mine = regions[:, 0] == image
    places = regions[mine, 1:] / np.tile(np.asarray(scale, regions.dtype), 2 if np.ndim(scale) else 4)
    chances = scores[mine]
    boxes = places if offsets is None else moved_regions(places, offsets[mine])
    boxes = clipped(boxes.reshape(len(boxes), boxes.shape[1] // 4, 4), *size, whole_pixels=True)
    found: list[tuple[Array, Array, Array]] = []
    for label in range(1, scores.shape[1]):
        above = chances[:, label] > threshold
        own, chance = boxes[above, _column(boxes.shape[1], label, scores.shape[1])], chances[above, label]
        stay = suppressed(own, chance, overlap, border=1)
        found.append((np.full(len(stay), label), chance[stay], own[stay]))
    classes, values, places = (np.concatenate(part) for part in zip(*found, strict=True))
    made = Detections(classes, values.astype(np.float64), places.astype(np.float64), whole_pixels=True)
    if 0 < most < len(made):
        made = made.above(float(np.sort(made.scores)[-most]))
    return made


def _flat(array: Array) -> Array:
    """R×K, in float32 at least."""
    if not array.ndim:
        raise ValueError("a single number stands where one row for each region is wanted")
    return array.reshape(len(array), prod(array.shape[1:])).astype(np.promote_types(array.dtype, np.float32))


def _column(columns: int, label: int, classes: int) -> int:
    """Which of a region's boxes is that of a class: its own, the one that all share, or the region itself."""
    return label if columns == classes else columns - 1


def _check(regions: Array, scores: Array, offsets: Array | None) -> None:
    count, classes = scores.shape
    if regions.shape[1] != 5:
        raise ValueError(f"regions have {regions.shape[1]} numbers each, not 5: image, x1, y1, x2, y2")
    if len(regions) != count:
        raise ValueError(f"there are {len(regions)} regions and scores for {count}")
    if classes < 2:
        raise ValueError(f"there are scores of {classes} class, not of the background and others")
    if offsets is not None and (len(offsets) != count or offsets.shape[1] not in (4 * classes, 8)):
        shape = f"{len(offsets)}×{offsets.shape[1]}"
        raise ValueError(f"offsets are {shape}, not {count}×{4 * classes}, or {count}×8 for boxes that classes share")
    if not all(np.isfinite(array).all() for array in (regions, scores, *([] if offsets is None else [offsets]))):
        raise ValueError("there are regions, scores or offsets that are not finite: the net computes NaN or infinity")
