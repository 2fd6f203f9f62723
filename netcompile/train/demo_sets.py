"""What the bundled classifier and detector learn from and are tested on: batches without end, and two small data sets.

A batch is a function of the seed and its number, so a training can be repeated. It takes its pictures from `POOL` drawn
ones, each time turned over, coloured and cut otherwise. The test pictures are drawn from another seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image

from netcompile.array import Array
from netcompile.data.images import to_blob
from netcompile.train.drawing import KINDS, Dice, Found, draw_one, draw_several

MEAN_BGR = (104, 117, 123)
SIZE, CROP = 72, 64  # of a picture with one shape, and of what the classifier sees of it
HEIGHT, WIDTH = 120, 160  # of a scene
POOL = 2000  # pictures to learn from
TEST_PICTURES, TEST_SCENES = 100, 32
TEST_SEED = 0  # the trainings' begin at 1


@dataclass(frozen=True, slots=True)
class SingleShapes:
    """Batches of pictures with one shape: ``data`` N×3×64×64, cut and mirrored by chance, and ``label`` N."""

    seed: int
    size: int

    def batch(self, index: int) -> dict[str, Array]:
        images, labels = [], []
        dice = Dice(self.seed, 0, index)
        for _ in range(self.size):
            number = dice.between(0, POOL - 1)
            top, left = dice.between(0, SIZE - CROP), dice.between(0, SIZE - CROP)
            image = _picture(self.seed, number)[top : top + CROP, left : left + CROP]
            images.append(to_blob(_varied(dice, image)[0], MEAN_BGR)[0])
            labels.append(number % len(KINDS))
        return {"data": np.stack(images), "label": np.array(labels, np.float32)}


@dataclass(frozen=True, slots=True)
class Boxes:
    """Batches of scenes: ``data`` N×3×120×160, and ``label``, the true boxes as SSD's data layer gives them."""

    seed: int
    size: int

    def batch(self, index: int) -> dict[str, Array]:
        images, rows = [], []
        dice = Dice(self.seed, 0, index)
        for item in range(self.size):
            image, found = _scene(self.seed, dice.between(0, POOL - 1))
            image, down, right = _varied(dice, image)
            images.append(to_blob(image, MEAN_BGR)[0])
            rows += true_boxes(item, [mirrored(box, down, right) for box in found])
        return {"data": np.stack(images), "label": np.array(rows, np.float32)[None, None]}


@cache
def _picture(seed: int, number: int) -> Array:
    return draw_one(Dice(seed, 1, number), SIZE, number % len(KINDS))


@cache
def _scene(seed: int, number: int) -> tuple[Array, list[Found]]:
    return draw_several(Dice(seed, 1, number), HEIGHT, WIDTH)


def _varied(dice: Dice, image: Array) -> tuple[Array, bool, bool]:
    """A picture with its colours exchanged and turned over by chance, and whether it is upside down and mirrored."""
    colours = list(range(3))
    image = image[:, :, [colours.pop(dice.between(0, left)) for left in (2, 1, 0)]]
    down, right = bool(dice.between(0, 1)), bool(dice.between(0, 1))
    image = image[::-1] if down else image
    return image[:, ::-1] if right else image, down, right


def mirrored(box: Found, down: bool, right: bool) -> Found:
    """A shape of a scene that is turned over."""
    if down:
        box = replace(box, ymin=HEIGHT + 1 - box.ymax, ymax=HEIGHT + 1 - box.ymin)
    if right:
        box = replace(box, xmin=WIDTH + 1 - box.xmax, xmax=WIDTH + 1 - box.xmin)
    return box


def true_boxes(item: int, found: Sequence[Found]) -> list[list[float]]:
    """Rows of image, class, instance, xmin, ymin, xmax, ymax, difficult; corners as parts of the image.

    As SSD does, the pixel numbers of an annotation are divided by the image's width and height as they are.
    """
    seen = dict.fromkeys(range(len(KINDS)), -1)
    rows: list[list[float]] = []
    for box in found:
        seen[box.kind] += 1
        corners = [box.xmin / WIDTH, box.ymin / HEIGHT, box.xmax / WIDTH, box.ymax / HEIGHT]
        rows.append([item, box.kind + 1, seen[box.kind], *corners, float(box.difficult)])
    return rows


def write_classes(folder: Path) -> None:
    """The classifier's test set: pictures, their list with a label each as ImageData reads it, the names of classes."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(TEST_PICTURES):
        kind = number % len(KINDS)
        image = draw_one(Dice(TEST_SEED, 1, number), SIZE, kind)
        name = f"images/shape_{number:04}.png"
        Image.fromarray(image).save(folder / name, optimize=True)
        lines.append(f"{name} {kind}\n")
    (folder / "val.txt").write_text("".join(lines))
    words = ("circle, disc", "square, rectangle", "triangle", "cross, plus sign", "ring, annulus")
    (folder / "synset_words.txt").write_text("".join(f"n{n:08} {word}\n" for n, word in enumerate(words, 1)))


def write_scenes(folder: Path) -> None:
    """The detector's test set in the layout of PASCAL VOC, in ``VOC/``, and SSD's map of its labels."""
    root = folder / "VOC"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / name).mkdir(parents=True, exist_ok=True)
    names = []
    for number in range(TEST_SCENES):
        image, found = draw_several(Dice(TEST_SEED, 2, number), HEIGHT, WIDTH)
        names.append(f"scene_{number:04}")
        Image.fromarray(image).save(root / "JPEGImages" / f"{names[-1]}.png", optimize=True)
        (root / "Annotations" / f"{names[-1]}.xml").write_text(annotation(f"{names[-1]}.png", found))
    (root / "ImageSets" / "Main" / "test.txt").write_text("".join(f"{name}\n" for name in names))
    labels = (("none_of_the_above", "background"), *((kind, kind) for kind in KINDS))
    (folder / "labelmap_shapes.prototxt").write_text(
        "".join(
            f'item {{\n  name: "{name}"\n  label: {number}\n  display_name: "{shown}"\n}}\n'
            for number, (name, shown) in enumerate(labels)
        )
    )


def annotation(file: str, found: Sequence[Found]) -> str:
    """The annotation of a scene as PASCAL VOC writes it."""
    lines = ["<annotation>", "\t<folder>VOC</folder>", f"\t<filename>{escape(file)}</filename>"]
    size = {"width": WIDTH, "height": HEIGHT, "depth": 3}
    lines += ["\t<size>", *(f"\t\t<{key}>{value}</{key}>" for key, value in size.items()), "\t</size>"]
    lines += ["\t<segmented>0</segmented>"]
    for box in found:
        lines += ["\t<object>", f"\t\t<name>{KINDS[box.kind]}</name>", "\t\t<pose>Unspecified</pose>"]
        flags = {"truncated": int(box.truncated), "difficult": int(box.difficult)}
        lines += [f"\t\t<{key}>{value}</{key}>" for key, value in flags.items()]
        corners = {"xmin": box.xmin, "ymin": box.ymin, "xmax": box.xmax, "ymax": box.ymax}
        lines += ["\t\t<bndbox>", *(f"\t\t\t<{key}>{value}</{key}>" for key, value in corners.items()), "\t\t</bndbox>"]
        lines += ["\t</object>"]
    return "\n".join([*lines, "</annotation>", ""])
