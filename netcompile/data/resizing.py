"""Resizing with each of OpenCV's interpolations: the linear one everywhere, the others where SSD's data layer says so.

Along one axis, every pixel of the result is a sum of some pixels (taps) of the image, with weights. Weights: OpenCV's
`resize.cpp`; the taps beyond an edge are the pixels at it. Results are rounded to whole values 0 … 255, as OpenCV's are
for images of bytes, but not always the same ones: OpenCV rounds the weights too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from netcompile.array import Array

Taps = tuple[Array, Array]  # of every pixel of the result: indices and weights, out × taps


def resized(image: Array, height: int, width: int, mode: str = "LINEAR") -> Array:
    """A C×H×W image of bytes in another size; `mode` is one of ResizeParameter's. Raises KeyError for another one."""
    old = image.shape[1:]
    if mode == "AREA" and (old[0] < height or old[1] < width):
        mode = "ENLARGED_AREA"
    rows, columns = MODES[mode](old[0], height), MODES[mode](old[1], width)
    values = _weighted(image.astype(np.float32), *rows, axis=1)
    return np.rint(_weighted(values, *columns, axis=2)).clip(0, 255).astype(np.uint8)


def _weighted(values: Array, places: Array, weights: Array, axis: int) -> Array:
    shape = [1, 1, 1]
    shape[axis] = -1
    parts = (
        values.take(places[:, tap], axis) * weights[:, tap].reshape(shape).astype(np.float32)
        for tap in range(places.shape[1])
    )
    total = next(parts)
    for part in parts:
        total += part
    return total


def _around(kernel: Callable[[Array], Array], count: int) -> Callable[[int, int], Taps]:
    """Taps on both sides of the point, weighted by their distance from it; the weights sum to 1."""

    def taps(old: int, new: int) -> Taps:
        at = (np.arange(new) + 0.5) * (old / new) - 0.5
        first = np.floor(at).astype(np.int64) - count // 2 + 1
        places = first[:, None] + np.arange(count)
        weights = kernel(at[:, None] - places)
        return places.clip(0, old - 1), weights / weights.sum(1, keepdims=True)

    return taps


def _nearest(old: int, new: int) -> Taps:
    places = np.floor(np.arange(new) * (1 / (new / old))).astype(np.int64).clip(0, old - 1)
    return places[:, None], np.ones((new, 1))


def _cubic(distance: Array) -> Array:
    x, a = np.abs(distance), -0.75
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def _area(old: int, new: int) -> Taps:
    """Every pixel of the result is the mean of what it covers."""
    scale = old / new
    start = np.arange(new) * scale
    places = np.floor(start).astype(np.int64)[:, None] + np.arange(int(np.ceil(scale)) + 1)
    covered = np.minimum(places + 1, (start + scale)[:, None]) - np.maximum(places, start[:, None])
    weights = np.where(places < old, covered.clip(0), 0.0)
    return places.clip(0, old - 1), weights / weights.sum(1, keepdims=True)


def _enlarged_area(old: int, new: int) -> Taps:
    """Where the result is larger: between two pixels only across their border."""
    places = np.floor(np.arange(new) * (1 / (new / old))).astype(np.int64)
    part = np.arange(1, new + 1) - (places + 1) * (new / old)
    part = np.where(part <= 0, 0.0, part - np.floor(part))
    return (places[:, None] + np.arange(2)).clip(0, old - 1), np.stack((1 - part, part), 1)


MODES: dict[str, Callable[[int, int], Taps]] = {
    "LINEAR": _around(lambda x: (1 - np.abs(x)).clip(0), 2),
    "AREA": _area,
    "NEAREST": _nearest,
    "CUBIC": _around(_cubic, 4),
    "LANCZOS4": _around(lambda x: np.sinc(x) * np.sinc(x / 4), 8),
    "ENLARGED_AREA": _enlarged_area,
}
