"""Caffe's DataTransformer: mean, crop, mirror, scale; in BGR order, random choices drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from netcompile.array import Array
from netcompile.data.preprocessing import Preprocessing, with_mean_file
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.diagnostics.text import shape_text
from netcompile.prototxt.message import Message

_NOTHING = Preprocessing(mean=(0.0,))
_DONE = frozenset(("scale", "mirror", "crop_size", "mean_file", "mean_value", "force_color", "force_gray"))


@dataclass(frozen=True, slots=True)
class Transform:
    """A preprocessed image, a crop of it, perhaps mirrored. A mean image must be of the image's size."""

    preprocessing: Preprocessing = _NOTHING
    mirror: bool = False
    crop: int = 0
    train: bool = True

    def __call__(self, image: Array, random: np.random.Generator) -> Array:
        """A C×H×W float32 array from a C×H×W image. Training crops anywhere, testing in the middle.

        Raises NetError where the image is smaller than the crop, or the mean image has another size.
        """
        return self.of(image, self.window(image, random))

    def window(self, image: Array, random: np.random.Generator) -> Window:
        """The part of a C×H×W image that is kept, and whether it is mirrored. Raises NetError for a small image."""
        height, width = image.shape[1:]
        top = left = 0
        if self.crop:
            if min(height, width) < self.crop:
                refuse("batch-size", f"an image of {height}×{width} is smaller than crop_size {self.crop}")
            spare = (height - self.crop, width - self.crop)
            top, left = (int(random.integers(s + 1)) for s in spare) if self.train else (s // 2 for s in spare)
            height = width = self.crop
        return Window(top, left, height, width, self.mirror and bool(random.integers(2)))

    def of(self, image: Array, window: Window) -> Array:
        """(pixels − mean) · scale of the window, C×H×W float32. Raises NetError for a mean of another size."""
        made = self.preprocessing
        if made.image is not None and made.image.shape != image.shape:
            refuse("data-file", f"the mean image is {shape_text(made.image.shape)}, an image {shape_text(image.shape)}")
        if len(made.mean) not in (1, len(image)):
            what = f"{len(made.mean)} values of mean_value for {len(image)} channels"
            refuse("param-count", what, why="Caffe wants one for all channels, or one for each")
        if made.image is not None:
            made = replace(made, image=window.of(made.image))
        return made.normalised(window.of(image).astype(np.float32, order="C"))


@dataclass(frozen=True, slots=True)
class Window:
    """A part of an image, in pixels, and whether it is mirrored."""

    top: int
    left: int
    height: int
    width: int
    mirrored: bool = False

    def of(self, image: Array) -> Array:
        """The part of a C×H×W image, without copying it."""
        part = image[:, self.top : self.top + self.height, self.left : self.left + self.width]
        return part[:, :, ::-1] if self.mirrored else part


def read_transform(
    message: Message, find: Callable[[str], str], train: bool, others: frozenset[str] = frozenset()
) -> Transform:
    """The transform of a ``transform_param``; `find` gives the path of a mean file. Raises NetError, OSError.

    `others` are fields that the caller does; any other one that would change images is refused.
    """
    problems = []
    for entry in message.entries:
        name = entry.field.name
        if name not in _DONE | others and entry.value != entry.field.default:
            what, why = (
                f"'{name}' of transform_param is not done here",
                "images without it are not what the net expects",
            )
            remedy = "leave it out, or feed prepared images: --data BATCHES.npz"
            problems.append(Diagnostic("data-field", what, message.name_span_of(name), why, remedy))
    if problems:
        raise NetError(problems)
    values = tuple(float(v) for v in message.all("mean_value"))
    made = Preprocessing(values or (0.0,), float(message.get("scale")))
    if message.has("mean_file"):
        if values:
            at, why = message.span_of("mean_value"), "Caffe takes one or the other"
            refuse("param-conflict", "mean_file and mean_value together", at, why, "keep one")
        made = with_mean_file(made, find(str(message.get("mean_file"))))
    return Transform(made, bool(message.get("mirror")), int(message.get("crop_size") or 0), train)
