"""How an image comes to the size that a net takes: resized, cropped, or ten crops of it; and the way back.

Coordinates are continuous: a pixel at index i covers i … i + 1. A view maps a point x of the image to x · scale + shift
of the net's input.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netcompile.array import Array

Size = tuple[int, int]  # height, width
MOST = 1 << 15  # pixels of a side that options may ask for


@dataclass(frozen=True, slots=True)
class Resize:
    """What size an image is brought to.

    `how` is "exact" (`height` × `width`), "short" (its short side to `height`, but its long side to `most` at most,
    its aspect kept; the rule of Faster R-CNN), "fit" (within `height` × `width`, its aspect kept, the rest filled with
    the mean) or "none".
    """

    how: str
    height: int = 0
    width: int = 0
    most: int = 0

    def size(self, height: int, width: int) -> Size:
        """What an image of this size becomes, without what "fit" fills."""
        if self.how == "exact":
            return self.height, self.width
        if self.how == "short":
            ratio = self.height / min(height, width)
            if self.most and round(ratio * max(height, width)) > self.most:
                ratio = self.most / max(height, width)
        elif self.how == "fit":
            ratio = min(self.height / height, self.width / width)
        else:
            return height, width
        return max(1, round(height * ratio)), max(1, round(width * ratio))

    def text(self) -> str:
        """As `resize_option` reads it, for people and fingerprints."""
        if self.how == "short":
            return f"short={self.height}" + (f",max={self.most}" if self.most else "")
        return {"exact": "", "fit": "fit="}.get(self.how, "none") + (
            f"{self.height}x{self.width}" * (self.how != "none")
        )


NONE = Resize("none")


def resize_option(text: str) -> Resize:
    """``HxW``, ``short=256``, ``short=600,max=1000``, ``fit=HxW``, ``fit`` (0 × 0: the net's own size) or ``none``.

    >>> resize_option("short=600,max=1000").size(300, 1000)
    (300, 1000)
    """
    if text in ("none", "fit"):
        return Resize(text)
    if found := re.fullmatch(r"(fit=)?([0-9]{1,6})[x×]([0-9]{1,6})", text, re.ASCII):
        made = Resize("fit" if found[1] else "exact", int(found[2]), int(found[3]))
    elif found := re.fullmatch(r"short=([0-9]{1,6})(,max=([0-9]{1,6}))?", text, re.ASCII):
        made = Resize("short", int(found[1]), int(found[1]), int(found[3] or 0))
    else:
        raise argparse.ArgumentTypeError(f"{text!r} is none of HxW, short=N, short=N,max=M, fit=HxW, fit, none")
    if not (0 < made.height <= MOST and 0 < made.width <= MOST and made.most <= MOST):
        raise argparse.ArgumentTypeError(f"{text!r} has a side that is not between 1 and {MOST}")
    return made


def crop_option(text: str) -> Size:
    """``227`` or ``224x300`` as height and width."""
    found = re.fullmatch(r"([0-9]{1,6})(?:[x×]([0-9]{1,6}))?", text, re.ASCII)
    size = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not all(0 < side <= MOST for side in size):
        raise argparse.ArgumentTypeError(f"{text!r} is no size of a crop such as 227 or 224x320")
    return size


@dataclass(frozen=True, slots=True)
class View:
    """One input of the net, and where it lies on the image.

    `size` is that of the input; the image is resized to `resized`, and its pixel (`top`, `left`) is the input's first
    (negative where the input begins with filling). `mirrored`: left and right are exchanged in the end.
    """

    original: Size
    resized: Size
    size: Size
    top: int = 0
    left: int = 0
    mirrored: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether the input is the image as it is."""
        return self.original == self.resized == self.size and not (self.top or self.left or self.mirrored)

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the input for one of the image, (vertical, horizontal)."""
        return self.resized[0] / self.original[0], self.resized[1] / self.original[1]

    def cut(self, planes: Array) -> Array:
        """The input, C×H×W, of the resized image, C×h×w: filling is 0, which is the mean once it is subtracted."""
        height, width = self.size
        top, left = max(self.top, 0), max(self.left, 0)
        down, right = max(-self.top, 0), max(-self.left, 0)
        part = planes[:, top : top + height - down, left : left + width - right]
        if part.shape[1:] != self.size:
            whole = np.zeros((len(planes), height, width), planes.dtype)
            whole[:, down : down + part.shape[1], right : right + part.shape[2]] = part
            part = whole
        return np.ascontiguousarray(part[:, :, ::-1] if self.mirrored else part)

    def to_image(self, points: Array) -> Array:
        """Points (x, y), …×2, of the input as points of the image."""
        x, y = points[..., 0], points[..., 1]
        if self.mirrored:
            x = self.size[1] - x
        vertical, horizontal = self.scale
        return np.stack([(x + self.left) / horizontal, (y + self.top) / vertical], axis=-1)

    def pixels(self, height: int, width: int) -> tuple[Array, Array]:
        """For a map of the input, of `height` × `width`: its row for each row of the image, its column for each column;
        −1 outside."""
        found = []
        for axis, count in ((0, height), (1, width)):
            centres = (np.arange(self.original[axis]) + 0.5) * self.scale[axis] - (self.top, self.left)[axis]
            places = np.floor(centres * count / self.size[axis]).astype(np.int64)
            if axis and self.mirrored:
                places = np.where((places >= 0) & (places < count), count - 1 - places, -1)
            found.append(np.where((places >= 0) & (places < count), places, -1))
        return found[0], found[1]

    def as_json(self) -> dict[str, list[int]]:
        """What was done to the image; nothing where it went in as it is."""
        found = {}
        if self.resized != self.original:
            found["resized"] = list(self.resized)
        if self.size != self.resized:
            found["crop"] = [self.top, self.left, *self.size]
        return found


@dataclass(frozen=True, slots=True)
class Preparation:
    """Resize, then crop the middle, or (`oversample`) the four corners and the middle, each also mirrored."""

    resize: Resize = NONE
    crop: Size | None = None
    oversample: bool = False

    def views(self, height: int, width: int) -> tuple[View, ...]:
        """The inputs that an image of this size gives; one that is smaller than the crop is enlarged to cover it."""
        original, resized = (height, width), self.resize.size(height, width)
        if self.crop is None:
            if self.resize.how != "fit":
                return (View(original, resized, resized),)
            size = (self.resize.height, self.resize.width)
            return (View(original, resized, size, -((size[0] - resized[0]) // 2), -((size[1] - resized[1]) // 2)),)
        cover = max(need / side for need, side in zip(self.crop, resized, strict=True))
        if cover > 1:
            resized = (max(self.crop[0], round(resized[0] * cover)), max(self.crop[1], round(resized[1] * cover)))
        spare = (resized[0] - self.crop[0], resized[1] - self.crop[1])
        middle = (spare[0] // 2, spare[1] // 2)
        if not self.oversample:
            return (View(original, resized, self.crop, *middle),)
        corners = [(0, 0), (0, spare[1]), (spare[0], 0), spare, middle]
        return tuple(
            View(original, resized, self.crop, *corner, mirrored) for mirrored in (False, True) for corner in corners
        )

    def text(self) -> str:
        """One line for people and fingerprints; "" where nothing is done."""
        parts = [f"resized to {self.resize.text()}"] if self.resize.how != "none" else []
        if self.crop is not None:
            what = "ten crops of" if self.oversample else "cropped to the middle"
            parts.append(f"{what} {self.crop[0]}x{self.crop[1]}")
        return ", ".join(parts)


def mean_over(views: Sequence[View], arrays: Sequence[Array]) -> Array:
    """The mean of what the views of one image gave."""
    assert len(views) == len(arrays)
    return arrays[0] if len(arrays) == 1 else np.asarray(np.stack(arrays).mean(axis=0), np.float32)
