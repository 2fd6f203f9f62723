"""Images out of images: larger, sharper, coloured, in another style."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from PIL import Image

from netcompile.analysis.outputs import Output
from netcompile.array import Array
from netcompile.data.images import png
from netcompile.data.preprocessing import Preprocessing
from netcompile.emit.names import distinct
from netcompile.tasks.task import Arrays, Found, Net, Place, Seen, Task, Writer, require_numbers


@dataclass(frozen=True)
class ImageToImage(Task):
    """Writes images/NAME.png; of several outputs each has a folder.

    Values are taken for what the net's input has: the scale is undone, the mean added, channels put back in order. A
    net of one channel works on the brightness of a colour image, whose colours are resized and put back.
    """

    outputs: tuple[Output, ...]
    preprocessing: Preprocessing

    name: ClassVar[str] = "image"
    title: ClassVar[str] = "images"

    @property
    def blobs(self) -> tuple[str, ...]:
        return tuple(output.name for output in self.outputs)

    @classmethod
    def recognise(cls, net: Net, asked: bool) -> Found | str:
        found = [
            output
            for output in net.outputs
            if len(output.shape) == 4
            and output.shape[1] in (1, 3)
            and net.has_each_image(output)
            and output.holds not in ("detections", "regions")
            and (asked or (output.holds in ("", "values", "features") and net.is_plane(output) and net.is_fine(output)))
        ]
        if not found:
            return "no output is an image of one or three channels, as large as the input"
        names = " and ".join(f"'{output.name}'" for output in found)
        return Found(tuple(output.name for output in found), f"{names}: {found[0].shape[1]} channels for every pixel")

    @classmethod
    def make(cls, net: Net, found: Found, options: argparse.Namespace) -> Self:
        outputs = tuple(output for output in net.outputs if output.name in found.blobs)
        return cls(outputs, Preprocessing())

    def prepared_by(self, preprocessing: Preprocessing) -> Self:
        return replace(self, preprocessing=preprocessing)

    def result(self, arrays: Sequence[Arrays], seen: Seen) -> list[Array]:
        return [self._image(name, arrays[0][name], seen) for name in self.blobs]

    def _image(self, name: str, planes: Array, seen: Seen) -> Array:
        made = self.preprocessing
        if planes.ndim != 3 or planes.shape[0] not in (1, 3):
            raise ValueError(f"it has {planes.shape[0]} channels, an image one or three")
        require_numbers(name, planes)
        mean = np.asarray(made.mean if len(made.mean) in (1, len(planes)) else (sum(made.mean) / len(made.mean),))
        values = planes / (made.scale or 1.0) + mean[:, None, None]
        pixels = np.rint(values.clip(0, 255)).astype(np.uint8).transpose(1, 2, 0)
        if len(planes) == 3 and made.order == "bgr":
            pixels = pixels[:, :, ::-1]
        size = self._size(pixels.shape, seen)
        if pixels.shape[:2] != size:
            image = Image.fromarray(pixels if len(planes) == 3 else pixels[:, :, 0])
            pixels = np.asarray(image.resize(size[::-1], Image.Resampling.BICUBIC)).reshape(*size, -1)
        return np.ascontiguousarray(pixels) if len(planes) == 3 else coloured(pixels[:, :, 0], seen.rgb)

    def _size(self, shape: tuple[int, ...], seen: Seen) -> tuple[int, int]:
        """The output's size; where the image was resized or cropped, as many times its size as the net makes it."""
        if seen.view.is_plain:
            return shape[0], shape[1]
        high, wide = (round(o * out / n) for o, out, n in zip(seen.view.original, shape, seen.view.size, strict=False))
        return max(1, high), max(1, wide)

    def value(self, result: list[Array], seen: Seen) -> Any:
        return result[0] if len(result) == 1 else dict(zip(self.blobs, result, strict=True))

    def places(self) -> tuple[Place, ...]:
        if len(self.outputs) == 1:
            return (Place("images", "png"),)
        return tuple(Place(f"images/{name}", "png") for name in distinct(self.blobs).values())

    def contents(self, result: list[Array], seen: Seen, made_by: str) -> Iterator[Writer]:
        for pixels in result:
            yield partial(png, pixels=pixels, made_by=made_by)


def coloured(brightness: Array, rgb: Array) -> Array:
    """An image of this brightness, H×W, with the colours of another one, which are resized to it."""
    if (rgb == rgb[:, :, :1]).all():
        return np.repeat(brightness[:, :, None], 3, axis=2)
    colours = Image.fromarray(rgb).convert("YCbCr").resize(brightness.shape[::-1], Image.Resampling.BICUBIC)
    _, blue, red = colours.split()
    return np.asarray(Image.merge("YCbCr", (Image.fromarray(brightness), blue, red)).convert("RGB"))
