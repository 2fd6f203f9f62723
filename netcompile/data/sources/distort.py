"""SSD's changes of an image's colours (`distort_param`), as its `im_transforms.cpp` makes them with OpenCV.

Images are C×H×W bytes, BGR. Random numbers have the same distributions as SSD's, not the same values.
"""

from __future__ import annotations

import numpy as np

from netcompile.array import Array
from netcompile.prototxt.message import Message


def distorted(image: Array, param: Message, random: np.random.Generator) -> Array:
    """The image after brightness, contrast, saturation, hue and the order of its channels were changed at random.

    Raises ValueError for an image that has not three channels.
    """
    if len(image) != 3:
        raise ValueError(f"distort_param changes images of 3 channels, this one has {len(image)}")
    contrast_first = random.random() > 0.5
    image = _brightness(image, param, random)
    if contrast_first:
        image = _contrast(image, param, random)
    image = _saturation(image, param, random)
    image = _hue(image, param, random)
    if not contrast_first:
        image = _contrast(image, param, random)
    if random.random() < param.get("random_order_prob"):
        image = image[random.permutation(3)]
    return image


def _brightness(image: Array, param: Message, random: np.random.Generator) -> Array:
    delta = float(param.get("brightness_delta"))
    if random.random() >= param.get("brightness_prob"):
        return image
    return _bytes(image + np.float32(random.uniform(-delta, delta)))


def _contrast(image: Array, param: Message, random: np.random.Generator) -> Array:
    lower, upper = float(param.get("contrast_lower")), float(param.get("contrast_upper"))
    if random.random() >= param.get("contrast_prob"):
        return image
    return _bytes(image * np.float32(random.uniform(lower, upper)))


def _saturation(image: Array, param: Message, random: np.random.Generator) -> Array:
    lower, upper = float(param.get("saturation_lower")), float(param.get("saturation_upper"))
    if random.random() >= param.get("saturation_prob"):
        return image
    h, s, v = hsv(image)
    return bgr(h, _bytes(s * np.float32(random.uniform(lower, upper))), v)


def _hue(image: Array, param: Message, random: np.random.Generator) -> Array:
    delta = float(param.get("hue_delta"))
    if random.random() >= param.get("hue_prob"):
        return image
    h, s, v = hsv(image)
    return bgr(_bytes(h + np.float32(random.uniform(-delta, delta))), s, v)


def _bytes(values: Array) -> Array:
    return np.rint(values).clip(0, 255).astype(np.uint8)


def hsv(image: Array) -> tuple[Array, Array, Array]:
    """Hue (0 … 179), saturation and value (0 … 255) of a BGR image, bytes; OpenCV's integer arithmetic."""
    b, g, r = image.astype(np.int32)
    v = np.maximum(np.maximum(b, g), r)
    spread = v - np.minimum(np.minimum(b, g), r)
    h = np.where(v == r, g - b, np.where(v == g, b - r + 2 * spread, r - g + 4 * spread))
    h = (h * _BY_SPREAD[spread] + (1 << 11)) >> 12
    s = (spread * _BY_VALUE[v] + (1 << 11)) >> 12
    return np.where(h < 0, h + 180, h).astype(np.uint8), s.astype(np.uint8), v.astype(np.uint8)


def bgr(h: Array, s: Array, v: Array) -> Array:
    """The BGR image of these, C×H×W bytes."""
    angle = h.astype(np.float32) * np.float32(6 / 180) % np.float32(6)
    saturation, value = s.astype(np.float32) / np.float32(255), v.astype(np.float32)
    sector = angle.astype(np.int8) % 6
    part = angle - sector
    levels = (
        value,
        value * (1 - saturation),
        value * (1 - saturation * part),
        value * (1 - saturation * (1 - part)),
    )
    return _bytes(np.stack([np.choose(sector, [levels[n] for n in column]) for column in _LEVELS]))


_OVER = np.maximum(np.arange(256), 1)
_BY_VALUE = np.rint((255 << 12) / _OVER).astype(np.int32)
_BY_SPREAD = np.rint((180 << 12) / (6.0 * _OVER)).astype(np.int32)
_LEVELS = ((1, 1, 3, 0, 0, 2), (3, 0, 0, 2, 1, 1), (0, 2, 1, 1, 3, 0))  # of b, g, r: by the hue's sector
