"""Images in and label maps out, in the conventions of the FCN reference code: BGR, mean subtracted, VOC palette."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

# The mean of the FCN reference code's data layers, in BGR order.
FCN_MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)


def read_image(path: str | Path) -> Array:
    """An image as H×W×3 bytes, RGB: turned upright by its EXIF tag, grey and palette images expanded,
    transparency laid over white. Raises OSError for what Pillow cannot read.
    """
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
            rgba = upright.convert("RGBA")
            upright = Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba)
        return np.asarray(upright.convert("RGB"))


def to_blob(rgb: Array, mean_bgr: Sequence[float] = FCN_MEAN_BGR) -> Array:
    """A 1×3×H×W float32 blob as the reference code feeds it: channels in BGR order, mean subtracted."""
    bgr = rgb[:, :, ::-1].astype(np.float32) - np.asarray(mean_bgr, np.float32)
    return np.ascontiguousarray(bgr.transpose(2, 0, 1)[None])


def voc_palette() -> Array:
    """The PASCAL VOC colour map, 256×3: the bits of the label, spread over the high bits of R, G and B."""
    palette = np.zeros((256, 3), np.uint8)
    for label in range(256):
        value = label
        for bit in range(7, -1, -1):
            for channel in range(3):
                palette[label, channel] |= (value >> channel & 1) << bit
            value >>= 3
    return palette


def write_labels(path: str | Path, labels: Array, palette: Array | None = None) -> None:
    """Write an H×W label map as a palette PNG (mode P), as the VOC data set keeps them."""
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette((voc_palette() if palette is None else palette).tobytes())
    image.save(path)


def overlay(rgb: Array, labels: Array, palette: Array | None = None, opacity: float = 0.6) -> Array:
    """The image with every labelled pixel (label > 0) tinted in its class's colour; H×W×3 bytes."""
    colours = (voc_palette() if palette is None else palette)[labels]
    mixed = (1 - opacity) * rgb + opacity * colours
    return np.where(labels[:, :, None] > 0, mixed, rgb).astype(np.uint8)


def read_labels(path: str | Path) -> Array:
    """An H×W label map from a palette or grey PNG: the indices, not the colours."""
    with Image.open(path) as image:
        return np.asarray(image)
