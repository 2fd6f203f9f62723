"""What the bundled classifier and detector learn from and are tested on: batches without end, and two small data sets.

Picture number k of a seed is a function of both, so a training can be repeated. The test pictures come from seeds of
their own, which no training takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image

from netcompile.array import Array
from netcompile.train.drawing import KINDS, Dice, Found, draw_one, draw_several

MEAN_BGR = (104, 117, 123)
SIZE, CROP = 72, 64  # of a picture with one shape, and of what the classifier sees of it
HEIGHT, WIDTH = 120, 160  # of a scene
TEST_PICTURES, TEST_SCENES = 100, 40
_TEST_SEED = 0  # the trainings' begin at 1


def blob(image: Array) -> Array:
    """RGB bytes, H×W×3, as the nets want them: BGR minus the mean, 3×H×W, float32."""
    bgr = image[:, :, ::-1].astype(np.float32) - np.array(MEAN_BGR, np.float32)
    return np.ascontiguousarray(bgr.transpose(2, 0, 1))


@dataclass(frozen=True, slots=True)
class SingleShapes:
    """Batches of pictures with one shape: ``data`` N×3×64×64, cut and mirrored by chance, and ``label`` N."""

    seed: int
    size: int

    def batch(self, index: int) -> dict[str, Array]:
        images, labels = [], []
        for item in range(self.size):
            dice = Dice(self.seed, index, item)
            image, kind = draw_one(dice, SIZE)
            top, left = dice.between(0, SIZE - CROP), dice.between(0, SIZE - CROP)
            image = image[top : top + CROP, left : left + CROP]
            images.append(blob(image[:, ::-1] if dice.between(0, 1) else image))
            labels.append(kind)
        return {"data": np.stack(images), "label": np.array(labels, np.float32)}


@dataclass(frozen=True, slots=True)
class Boxes:
    """Batches of scenes: ``data`` N×3×120×160, and ``label``, the true boxes as SSD's data layer gives them."""

    seed: int
    size: int

    def batch(self, index: int) -> dict[str, Array]:
        images, rows = [], []
        for item in range(self.size):
            image, found = draw_several(Dice(self.seed, index, item), HEIGHT, WIDTH)
            images.append(blob(image))
            rows += true_boxes(item, found)
        return {"data": np.stack(images), "label": np.array(rows, np.float32)[None, None]}


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
    """The classifier's test set: pictures, their list with a label each, as ImageData reads it, and the classes' names."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(TEST_PICTURES):
        image, kind = draw_one(Dice(_TEST_SEED, 1, number), SIZE)
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
        image, found = draw_several(Dice(_TEST_SEED, 2, number), HEIGHT, WIDTH)
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
        lines += [f"\t\t<truncated>{int(box.truncated)}</truncated>", f"\t\t<difficult>{int(box.difficult)}</difficult>"]
        corners = {"xmin": box.xmin, "ymin": box.ymin, "xmax": box.xmax, "ymax": box.ymax}
        lines += ["\t\t<bndbox>", *(f"\t\t\t<{key}>{value}</{key}>" for key, value in corners.items()), "\t\t</bndbox>"]
        lines += ["\t</object>"]
    return "\n".join([*lines, "</annotation>", ""])
