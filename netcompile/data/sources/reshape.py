"""SSD's `resize_param`: an image of any size becomes one of the net's, and its boxes move with it.

Source: ApplyResize and UpdateBBoxByResizePolicy in `im_transforms.cpp` of weiliu89/caffe, branch ssd.
"""

from __future__ import annotations

from math import floor

import numpy as np

from netcompile.array import Array
from netcompile.data.resizing import resized
from netcompile.files.limits import require_memory
from netcompile.prototxt.message import Message

_BORDERS = {"MIRRORED": "reflect", "REPEAT_NEAREST": "edge"}


def reshaped(image: Array, sides: Array, param: Message, random: np.random.Generator) -> tuple[Array, Array]:
    """A C×H×W image of bytes as `param` says, and its boxes, N×4 shares of its size. Raises ValueError."""
    height, width = image.shape[1:]
    new_height, new_width = int(param.get("height")), int(param.get("width"))
    modes = param.all("interp_mode")
    mode = str(modes[int(random.integers(len(modes)))]) if modes else "LINEAR"
    kind, flat = param.get("resize_mode"), width / height > new_width / new_height
    aspect = np.float32(width / height)
    inner_height, inner_width = new_height, new_width
    if kind != "WARP" and flat == (kind == "FIT_LARGE_SIZE_AND_PAD"):
        inner_height = max(1, floor(np.float32(new_width) / aspect))
    elif kind != "WARP":
        inner_width = max(1, floor(aspect * np.float32(new_height)))
    # Numbers on the way, one axis after the other.
    require_memory(
        9 * len(image) * max(height, inner_height) * max(width, inner_width), f"an image of {height}×{width}"
    )
    made = resized(image, inner_height, inner_width, mode)
    if kind != "FIT_LARGE_SIZE_AND_PAD":
        return made, _bounded(sides)
    top, left = (new_height - inner_height) // 2, (new_width - inner_width) // 2
    places = ((0, 0), (top, new_height - inner_height - top), (left, new_width - inner_width - left))
    # Of the exact size, not of the whole pixels, as SSD.
    exact = (1.0, new_width / new_height / aspect) if flat else (aspect * new_height / new_width, 1.0)
    scale = np.array(exact * 2, np.float32)
    return _padded(made, places, param), _bounded(sides) * scale + (1 - scale) / 2


def _bounded(sides: Array) -> Array:
    """Cut at the edges: left and top at 0, right and bottom at 1."""
    return np.concatenate((np.maximum(sides[:, :2], 0), np.minimum(sides[:, 2:], 1)), 1)


def _padded(image: Array, places: tuple[tuple[int, int], ...], param: Message) -> Array:
    border = _BORDERS.get(str(param.get("pad_mode")))
    if border == "reflect" and any(max(pair) >= max(size, 2) for pair, size in zip(places, image.shape, strict=True)):
        border = "edge"  # an image of a single pixel has nothing to be mirrored
    if border is not None:
        return np.pad(image, places, mode=border)  # type: ignore[call-overload, no-any-return]
    values = tuple(float(value) for value in param.all("pad_value")) or (0.0,)
    if len(values) not in (1, len(image)):
        raise ValueError(f"resize_param has {len(values)} values of pad_value for {len(image)} channels")
    fill = np.rint(np.broadcast_to(values, (len(image),))).clip(0, 255).astype(np.uint8)
    _, height, width = (size + sum(pair) for size, pair in zip(image.shape, places, strict=True))
    made = np.empty((len(image), height, width), np.uint8)
    made[:] = fill[:, None, None]
    made[:, places[1][0] : height - places[1][1], places[2][0] : width - places[2][1]] = image
    return made
