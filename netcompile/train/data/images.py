"""ImageData: a list of images, each with a number as its label."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from netcompile.diagnostics.diagnostic import refuse
from netcompile.diagnostics.text import shape_text
from netcompile.ir.graph import Input
from netcompile.train.data.base import Batches, Order
from netcompile.train.data.sources import Wanted
from netcompile.train.data.transform import Transform, read_transform

Array = np.ndarray[Any, Any]


def read_bgr(path: str, colour: bool = True) -> Array:
    """An image as C×H×W bytes in BGR order, or its grey values as 1×H×W. Raises NetError for a broken one, OSError."""

    try:
        with Image.open(path) as image:
            if not colour:
                return np.asarray(image.convert("L"))[None]
            return np.asarray(image.convert("RGB"))[:, :, ::-1].transpose(2, 0, 1)
    except (UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        refuse("image", f"{path}: not a readable image: {str(error)[:200]}")
    except OSError as error:
        if error.errno is not None:
            raise
        refuse("image", f"{path}: a broken image: {str(error)[:200]}")


def resize(image: Array, height: int, width: int) -> Array:
    """Bilinear between pixel centres without smoothing, as OpenCV resizes; rounded to whole values."""

    values = torch.from_numpy(np.ascontiguousarray(image, np.float32))[None]
    out = torch.nn.functional.interpolate(values, (height, width), mode="bilinear", align_corners=False)
    rounded: Array = out[0].round().clamp(0, 255).numpy()
    return rounded


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Batches of images with their labels."""

    items: tuple[tuple[str, float], ...]
    tops: tuple[str, ...]
    size: int
    order: Order
    transform: Transform
    new_size: tuple[int, int]
    colour: bool
    seed: int

    def batch(self, index: int) -> dict[str, Array]:
        images, labels = [], []
        for k in range(index * self.size, (index + 1) * self.size):
            path, label = self.items[self.order(k)]
            image = read_bgr(path, self.colour)
            if all(self.new_size):
                image = resize(image, *self.new_size)
            images.append(self.transform(image, np.random.default_rng((self.seed & (2**63 - 1), k))))
            labels.append(label)
        return dict(zip(self.tops, (stacked(images), np.asarray(labels, np.float32)), strict=False))


def stacked(images: Sequence[Array]) -> Array:
    """Images as one batch. Raises NetError where their sizes differ."""
    sizes = {image.shape for image in images}
    if len(sizes) > 1:
        shown = " and ".join(map(shape_text, sorted(sizes)[:2]))
        refuse(
                "batch-size", f"images of different sizes in one batch: {shown}",
                why="a batch is one array", remedy="crop_size, or new_height and new_width, or a batch size of 1",
            )  # fmt: skip
    return np.stack(images)


def image_data(entries: Sequence[Input], wanted: Wanted) -> Batches:
    """The source of an ImageData layer. Raises NetError, OSError."""
    message = entries[0].message
    section = message.get("image_data_param")
    if not section.has("source"):
        refuse("param-missing", "ImageData without a source", message.span_of("type"))
    listing = wanted.find(str(section.get("source")), "list", entries[0])
    root = str(section.get("root_folder") or "")
    items = []
    with open(listing, encoding="utf-8", errors="surrogateescape") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            path, _, label = line.rstrip().rpartition(" ")
            try:
                value = float(label)
            except ValueError:
                path = ""
            if not path:
                refuse(
                    "data-file",
                    f"{listing}:{number}: not of the form 'image label'",
                    why=line.strip()[:100],
                )
            items.append((_rooted(root, path.strip(), wanted, listing), value))
    if not items:
        refuse("data-file", f"{listing}: the list is empty")
    missing = [path for path, _ in items if not os.path.exists(path)]
    if missing:
        more = f", and {len(missing) - 3} more" if len(missing) > 3 else ""
        refuse("no-such-file", f"{listing} names files that do not exist: {', '.join(missing[:3])}{more}")
    skip = 0
    if int(section.get("rand_skip")):
        skip = int(np.random.default_rng(wanted.seed & (2**63 - 1)).integers(int(section.get("rand_skip"))))
    sides = (int(section.get("new_height")), int(section.get("new_width")))
    if (sides[0] == 0) != (sides[1] == 0):
        at = section.span_of("new_height" if sides[0] else "new_width")
        refuse("param-missing", "new_height and new_width must be set together", at)

    def find(path: str) -> str:
        return wanted.find(path, "mean file", entries[0])

    return LabelledImages(
        tuple(items), tuple(message.all("top")), int(section.get("batch_size")),
        Order(len(items), bool(section.get("shuffle")), wanted.seed, skip),
        read_transform(message.get("transform_param"), find, wanted.train), sides,
        bool(section.get("is_color")), wanted.seed,
    )  # fmt: skip


def _rooted(root: str, path: str, wanted: Wanted, listing: str) -> str:
    """An image's path: below root_folder, else as it stands, else beside its list."""
    if root:
        for folder in (*wanted.folders, ""):
            candidate = os.path.join(folder, root, path)
            if os.path.exists(candidate):
                return candidate
        return root + path
    for folder in ("", *wanted.folders, os.path.dirname(listing)):
        candidate = os.path.join(folder, path)
        if os.path.exists(candidate):
            return candidate
    return path
