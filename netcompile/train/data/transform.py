"""Caffe's DataTransformer: mean, crop, mirror, scale; in BGR order, random choices drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from netcompile.caffemodel.reader import read_mean
from netcompile.diagnostics.diagnostic import refuse
from netcompile.prototxt.message import Message

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Transform:
    """(pixel − mean) · scale of a crop, perhaps mirrored. `mean` broadcasts over C×H×W, or covers the whole image."""

    scale: float = 1.0
    mirror: bool = False
    crop: int = 0
    mean: Array | None = None
    train: bool = True

    def __call__(self, image: Array, random: np.random.Generator) -> Array:
        """A C×H×W float32 array from a C×H×W image. Training crops anywhere, testing in the middle.

        Raises NetError where the image is smaller than the crop, or the mean image has another size.
        """
        values = image.astype(np.float32)
        whole = self.mean is not None and self.mean.shape[1:] != (1, 1)
        if self.mean is not None and whole and self.mean.shape != values.shape:
            refuse("data-file", f"the mean image is {self.mean.shape}, an image {values.shape}")
        if self.mean is not None and len(self.mean) not in (1, len(values)):
            what = f"{len(self.mean)} values of mean_value for {len(values)} channels"
            refuse("param-count", what, why="Caffe wants one for all channels, or one for each")
        top = left = 0
        height, width = values.shape[1:]
        if self.crop:
            if min(height, width) < self.crop:
                refuse("batch-size", f"an image of {height}x{width} is smaller than crop_size {self.crop}")
            spare = (height - self.crop, width - self.crop)
            top, left = (int(random.integers(s + 1)) for s in spare) if self.train else (s // 2 for s in spare)
        flip = self.mirror and bool(random.integers(2))
        if self.mean is not None:
            values = values - self.mean
        if self.crop:
            values = values[:, top : top + self.crop, left : left + self.crop]
        if flip:
            values = values[:, :, ::-1]
        return np.ascontiguousarray(values * np.float32(self.scale))


def read_transform(message: Message, find: Callable[[str], str], train: bool) -> Transform:
    """The transform of a ``transform_param``; `find` gives the path of a mean file. Raises NetError, OSError."""
    values = tuple(float(v) for v in message.all("mean_value"))
    mean: Array | None = None
    if message.has("mean_file"):
        if values:
            refuse(
                    "param-conflict", "mean_file and mean_value together", message.span_of("mean_value"),
                    "Caffe takes one or the other", "keep one",
                )  # fmt: skip

        blob = read_mean(find(str(message.get("mean_file"))))
        mean = np.array(blob.array(), np.float32).reshape(blob.shape[-3:])
    elif values:
        mean = np.asarray(values, np.float32).reshape(-1, 1, 1)
    return Transform(
        float(message.get("scale")),
        bool(message.get("mirror")),
        int(message.get("crop_size") or 0),
        mean,
        train,
    )
