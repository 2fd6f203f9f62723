"""Resizing as OpenCV does it, and Caffe with it."""

from __future__ import annotations

import numpy as np
import torch

from netcompile.array import Array


def resize(planes: Array, height: int, width: int) -> Array:
    """C×H×W at another size: bilinear between pixel centres, without smoothing; rounded to whole values 0 … 255.

    Source: OpenCV's INTER_LINEAR, which ImageData, SSD's data layers and Caffe's own example programs use.
    """
    if planes.shape[1:] == (height, width):
        return planes
    values = torch.from_numpy(np.ascontiguousarray(planes, np.float32))[None]
    out = torch.nn.functional.interpolate(values, (height, width), mode="bilinear", align_corners=False)
    rounded: Array = out[0].round().clamp(0, 255).numpy()
    return rounded
