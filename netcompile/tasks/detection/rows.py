"""Detections from the rows that SSD's and YOLO's last layers give: image, label, score and box."""

from __future__ import annotations

import numpy as np

from netcompile.array import Array
from netcompile.data.boxes import Detections

ROW = 7  # numbers of a row


def rows_of(output: Array) -> Array:
    """An output as rows, K×7 float64. Raises ValueError for one that is no list of such rows."""
    if output.ndim < 2 or output.shape[-1] != ROW:
        raise ValueError(f"its shape is {'×'.join(map(str, output.shape)) or 'a single number'}, not … × {ROW}")
    return output.reshape(-1, ROW).astype(np.float64)


def detections_of_rows(output: Array, image: int = 0, centres: bool = False) -> Detections:
    """What the rows of `output` (… × 7) say of one image of the batch; boxes are parts of the net's input, 0 to 1.

    A row is image, label, score, xmin, ymin, xmax, ymax, as SSD's DetectionOutput writes it (MobileNet-YOLO's layers
    do the same; there every row says image 0). With `centres` the last four are the box's centre x, y, its width and
    height (YoloDetectionOutput of OpenCL Caffe). A row whose label is −1 says that nothing was found in its image.
    Raises ValueError for an output of another shape, and for one that holds numbers that are not finite.
    """
    rows = rows_of(output)
    rows = rows[(rows[:, 0] == image) & (rows[:, 1] != -1)]
    if not np.isfinite(rows).all():
        raise ValueError("there are detections that are not finite numbers: the net computes NaN or infinity")
    boxes = rows[:, 3:]
    if centres:
        half = boxes[:, 2:] / 2
        boxes = np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), axis=1)
    return Detections(rows[:, 1].astype(np.int64), rows[:, 2], boxes)
