"""WindowData: R-CNN's windows of images, foreground and background drawn in a fixed share.

Source: `window_data_layer.cpp` of BVLC Caffe. Random numbers have its distributions, drawn from the seed and the number
of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import copysign, floor
from typing import Any, NoReturn

import numpy as np

from netcompile.array import Array
from netcompile.data.images import read_image
from netcompile.data.paths import require_files
from netcompile.data.preprocessing import Preprocessing
from netcompile.data.resizing import resized
from netcompile.data.sources.base import Batches, Wanted, readable
from netcompile.data.sources.image_list import rooted
from netcompile.data.sources.transform import Window, read_transform
from netcompile.diagnostics.diagnostic import refuse
from netcompile.files.limits import require_memory
from netcompile.files.reading import read_lines
from netcompile.ir.graph import Input
from netcompile.prototxt.schema import float32

Corners = tuple[int, int, int, int]  # x1, y1, x2, y2, the last ones within the window


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of a list: of each its image's number, its class and its corners, N×6."""

    listing: str
    images: tuple[str, ...]
    background: Array
    foreground: Array


@dataclass(frozen=True, slots=True)
class WindowBatches:
    """Batches of windows, background first; each is brought to `crop` × `crop` pixels."""

    windows: Windows
    tops: tuple[str, ...]
    size: int
    foreground: int  # of `size`
    crop: int
    context: int  # pixels of `crop` around what the window has
    square: bool
    mirror: bool
    preprocessing: Preprocessing
    seed: int

    def batch(self, index: int) -> dict[str, Array]:
        random = np.random.default_rng((self.seed & (2**63 - 1), index))
        data = np.zeros((self.size, 3, self.crop, self.crop), np.float32)
        labels = np.zeros(self.size, np.float32)
        for item in range(self.size):
            ground = item < self.size - self.foreground
            table = self.windows.background if ground else self.windows.foreground
            number, label, *corners = (int(n) for n in table[int(random.integers(len(table)))])
            mirrored = self.mirror and bool(random.integers(2))
            path = self.windows.images[number]
            image = readable(path, partial(read_image, over_white=False))[:, :, ::-1].transpose(2, 0, 1)
            try:
                self.fill(data[item], image, (corners[0], corners[1], corners[2], corners[3]), mirrored)
            except ValueError as error:
                place = ", ".join(map(str, corners))
                refuse("data-file", f"{self.windows.listing}: window {place} of {path}: {error}")
            labels[item] = label
        return dict(zip(self.tops, (data, labels), strict=False))

    def fill(self, out: Array, image: Array, corners: Corners, mirrored: bool) -> None:
        """Write a window of a C×H×W image into `out`; zero stays where it goes beyond the image."""
        part, (top, left, height, width) = self._place(image.shape[1], image.shape[2], corners, mirrored)
        pixels = resized(part.of(image), height, width)
        if mirrored:
            pixels = pixels[:, :, ::-1]
        made = self.preprocessing
        mean = np.asarray(made.mean, np.float32)[:, None, None]
        if made.image is not None:
            spare = (made.image.shape[2] - self.crop) // 2
            mean = made.image[:, spare + top : spare + top + height, spare + left : spare + left + width]
            if spare < 0 or mean.shape[1:] != pixels.shape[1:]:
                raise ValueError(f"the mean image is smaller than crop_size {self.crop}")
        values = pixels.astype(np.float32) - mean
        out[:, top : top + height, left : left + width] = values * np.float32(made.scale)

    def _place(self, height: int, width: int, corners: Corners, mirrored: bool) -> tuple[Window, Corners]:
        """The part of the image that is taken, and top, left, height and width of where it goes in the crop."""
        x1, y1, x2, y2 = corners
        crop, top, left = self.crop, 0, 0
        inner_height = inner_width = crop
        if self.context or self.square:
            x1, y1, x2, y2 = self._larger(corners)
            whole = (x2 - x1 + 1, y2 - y1 + 1)
            before = (max(0, -x1), max(0, -y1))
            after = (max(0, x2 - width + 1), max(0, y2 - height + 1))
            x1, y1, x2, y2 = x1 + before[0], y1 + before[1], x2 - after[0], y2 - after[1]
            scale = [np.float32(crop) / np.float32(max(side, 1)) for side in whole]
            inner_width, inner_height = _round((x2 - x1 + 1) * scale[0]), _round((y2 - y1 + 1) * scale[1])
            top, left = _round(before[1] * scale[1]), _round((after if mirrored else before)[0] * scale[0])
            inner_height, inner_width = min(inner_height, crop - top), min(inner_width, crop - left)
        if not (0 <= x1 <= x2 < width and 0 <= y1 <= y2 < height):
            raise ValueError(f"no part of an image of {height}×{width}")
        if inner_height < 1 or inner_width < 1:
            raise ValueError("less than a pixel of it lies within the image")
        return Window(y1, x1, y2 - y1 + 1, x2 - x1 + 1), (top, left, inner_height, inner_width)

    def _larger(self, corners: Corners) -> Corners:
        """The window with its context, square if it is to be."""
        x1, y1, x2, y2 = corners
        scale = np.float32(self.crop) / np.float32(self.crop - 2 * self.context)
        half_height, half_width = np.float32(y2 - y1 + 1) / 2, np.float32(x2 - x1 + 1) / 2
        x, y = np.float32(x1) + half_width, np.float32(y1) + half_height
        if self.square:
            half_height = half_width = max(half_height, half_width)
        reach_x, reach_y = half_width * scale, half_height * scale
        return _round(x - reach_x), _round(y - reach_y), _round(x + reach_x), _round(y + reach_y)


def _round(value: Any) -> int:
    """As C's round: halves away from zero."""
    return int(copysign(floor(abs(value) + 0.5), value))


def window_data(entries: Sequence[Input], wanted: Wanted) -> Batches:
    """The source of a WindowData layer. Raises NetError, OSError."""
    message = entries[0].message
    section, at = message.get("window_data_param"), message.span_of("type")
    size, context = int(section.get("batch_size") or 0), int(section.get("context_pad"))
    if not section.has("source") or size < 1:
        refuse("param-missing", "WindowData needs a source and a batch_size", at)
    transform = read_transform(
        message.get("transform_param"), lambda path: wanted.find(path, "mean file", entries[0]), wanted.train
    )
    if transform.crop < 1 or transform.crop <= 2 * context:
        what = f"WindowData with crop_size {transform.crop} and context_pad {context}"
        refuse("param-range", what, at, "windows are brought to crop_size of transform_param, context on both sides")
    mode = str(section.get("crop_mode"))
    if mode not in ("warp", "square"):
        refuse("param-range", f"crop_mode '{mode}'", section.span_of("crop_mode"), "Caffe knows warp and square")
    if len(transform.preprocessing.mean) not in (1, 3):
        refuse("param-count", "mean_value of WindowData has one number, or three", at)
    listing = wanted.find(str(section.get("source")), "list of windows", entries[0])
    thresholds = float(section.get("fg_threshold")), float(section.get("bg_threshold"))
    windows = read_windows(listing, thresholds, str(section.get("root_folder") or ""), wanted)
    foreground = int(np.float32(size) * np.float32(section.get("fg_fraction")))
    for count, table, kind in (
        (foreground, windows.foreground, "fore"),
        (size - foreground, windows.background, "back"),
    ):
        if count < 0 or (count and not len(table)):
            refuse("data-file", f"{listing}: no {kind}ground windows, of which a batch has {count}", at)
    made = Preprocessing(transform.preprocessing.mean, float(section.get("scale")), image=transform.preprocessing.image)
    require_memory(12 * size * transform.crop**2 * 2, f"a batch of {size} windows of {transform.crop}×{transform.crop}")
    return WindowBatches(
        windows, tuple(message.all("top")), size, foreground, transform.crop, context, mode == "square",
        transform.mirror, made, wanted.seed,
    )  # fmt: skip


def read_windows(listing: str, thresholds: tuple[float, float], root: str, wanted: Wanted) -> Windows:
    """A list of windows, as R-CNN's tools write it. Raises NetError with the line of a mistake, OSError.

    For every image: `# NUMBER`, its path, its channels, height and width, how many windows it has, and a line for each:
    class, overlap, x1, y1, x2, y2.
    """
    images, foreground, background = list[str](), list[tuple[int, ...]](), list[tuple[int, ...]]()
    lines = read_lines(listing)
    for number, line in lines:
        if line.split() != ["#", str(len(images))]:
            _wrong(listing, number, line, f"'# {len(images)}', the beginning of an image,")
        images.append(rooted(root, _next(listing, lines, number)[1], wanted, listing))
        for _ in range(3):
            _whole(listing, *_next(listing, lines, number))
        for _ in range(_whole(listing, *_next(listing, lines, number))):
            at, text = _next(listing, lines, number)
            try:
                label, overlap, x1, y1, x2, y2 = (float(part) for part in text.split())
                row = (len(images) - 1, *(int(n) for n in (label, x1, y1, x2, y2)))
            except (ValueError, OverflowError):
                _wrong(listing, at, text, "'class overlap x1 y1 x2 y2'")
            if max(map(abs, row)) >= 2**31:
                _wrong(listing, at, text, "six numbers of 32 bits")
            overlap = float32(overlap)  # as the thresholds
            if overlap >= thresholds[0]:
                if row[1] < 1:
                    _wrong(listing, at, text, "a class above 0, since it is foreground,")
                foreground.append(row)
            elif overlap < thresholds[1]:
                background.append((row[0], 0, *row[2:]))
    require_files(listing, images)
    tables = (np.array(rows, np.int32).reshape(-1, 6) for rows in (background, foreground))
    return Windows(listing, tuple(images), *tables)


def _next(listing: str, lines: Iterator[tuple[int, str]], number: int) -> tuple[int, str]:
    found = next(lines, None)
    if found is None:
        refuse("data-file", f"{listing}: it ends within the image that begins in line {number}: truncated?")
    return found


def _whole(listing: str, number: int, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        _wrong(listing, number, text, "a whole number")
    return int(text)


def _wrong(listing: str, number: int, text: str, wanted: str) -> NoReturn:
    refuse("data-file", f"{listing}:{number}: {wanted} is expected here", why=text[:100])
