"""ImageData: a list of images, each with a number as its label."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from netcompile.array import Array
from netcompile.data.images import read_image
from netcompile.data.paths import first_there, require_files
from netcompile.data.preprocessing import Preprocessing
from netcompile.data.resizing import resized
from netcompile.data.sources.base import Batches, Order, Wanted, readable, require_batch, stacked
from netcompile.data.sources.transform import Transform, read_transform
from netcompile.diagnostics.diagnostic import refuse
from netcompile.files.reading import read_lines
from netcompile.ir.graph import Input


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
        layout = Preprocessing(order="bgr" if self.colour else "grey")
        images: list[Array] = []
        labels = []
        for k in range(index * self.size, (index + 1) * self.size):
            path, label = self.items[self.order(k)]
            # As OpenCV's imread, with which Caffe reads: upright, since 3.1, and without the alpha channel.
            image = layout.planes(readable(path, partial(read_image, over_white=False)))
            if all(self.new_size):
                image = resized(image, *self.new_size).astype(np.float32)
            image = self.transform(image, np.random.default_rng((self.seed & (2**63 - 1), k)))
            if not images:
                require_batch(image, self.size)
            images.append(image)
            labels.append(label)
        return dict(zip(self.tops, (stacked(images), np.asarray(labels, np.float32)), strict=False))


def image_data(entries: Sequence[Input], wanted: Wanted) -> Batches:
    """The source of an ImageData layer. Raises NetError, OSError."""
    message = entries[0].message
    section = message.get("image_data_param")
    if not section.has("source"):
        refuse("param-missing", "ImageData without a source", message.span_of("type"))
    listing = wanted.find(str(section.get("source")), "list", entries[0])
    root = str(section.get("root_folder") or "")
    items = []
    for number, line in read_lines(listing):
        path, _, label = line.rpartition(" ")
        try:
            value = float(label)
        except ValueError:
            path = ""
        if not path:
            what = f"{listing}:{number}: not of the form 'image label'"
            refuse("data-file", what, why=line[:100])
        items.append((rooted(root, path.strip(), wanted, listing), value))
    require_files(listing, [path for path, _ in items])
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


def rooted(root: str, path: str, wanted: Wanted, listing: str) -> str:
    """An image's path: below root_folder, else as it stands, else beside its list."""
    if root:
        return first_there(os.path.join(folder, root, path) for folder in (*wanted.folders, "")) or root + path
    return first_there(os.path.join(folder, path) for folder in ("", *wanted.folders, os.path.dirname(listing))) or path
