"""Images with label maps: PASCAL VOC's and SBD's folders, lists, and the data layers of the FCN reference code."""

from __future__ import annotations

import os
import random
from ast import literal_eval
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from netcompile.diagnostics.diagnostic import refuse
from netcompile.ir.graph import Input
from netcompile.runtime.prepare import of_input
from netcompile.train.data.base import Batches
from netcompile.train.data.images import read_bgr, stacked
from netcompile.train.data.mat import read_mat
from netcompile.train.data.sources import Wanted

Array = np.ndarray[Any, Any]

FCN_MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)


@dataclass(frozen=True, slots=True)
class Draw:
    """Which image comes as number k: in turn, or each drawn at random from all, as the FCN reference code does."""

    items: int
    random: bool
    seed: int

    def __call__(self, k: int) -> int:
        if not self.random:
            return k % self.items
        return random.Random(f"{self.seed}/{k}").randrange(self.items)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Batches of images, BGR minus a mean, times a scale, and their label maps, 1×H×W each."""

    items: tuple[tuple[str, str], ...]
    tops: tuple[str, ...]
    size: int
    draw: Draw
    mean: tuple[float, ...]
    scale: float = 1.0

    def batch(self, index: int) -> dict[str, Array]:
        images, labels = [], []
        for k in range(index * self.size, (index + 1) * self.size):
            image, label = self.items[self.draw(k)]
            values = read_bgr(image).astype(np.float32)
            values = values - np.asarray(self.mean, np.float32)[:, None, None]
            images.append(values * np.float32(self.scale) if self.scale != 1 else values)
            if len(self.tops) > 1:
                labels.append(read_labels(label))
                if labels[-1].shape[1:] != values.shape[1:]:
                    what = f"{label}: {labels[-1].shape[1:]}, its image is {values.shape[1:]}"
                    refuse("label-image", what, why="a label map has a label for every pixel")
        found = {self.tops[0]: stacked(images)}
        if len(self.tops) > 1:
            found[self.tops[1]] = stacked(labels)
        return found


def read_labels(path: str) -> Array:
    """A label map as 1×H×W float32 from a palette or grey PNG, or from SBD's .mat. Raises NetError, OSError."""
    if path.endswith(".mat"):
        values = read_mat(path)
        return np.asarray(values["GTcls"]["Segmentation"], np.float32)[None]

    try:
        with Image.open(path) as image:
            if image.mode not in ("P", "L", "I", "I;16", "1"):
                what = f"{path}: a label map holds one number per pixel, this is an image of mode {image.mode}"
                refuse("label-image", what, remedy="a palette or grey PNG of class indices")
            return np.asarray(image).astype(np.float32)[None]
    except UnidentifiedImageError:
        refuse("image", f"{path}: not a readable image")


def pairs_for(entries: Sequence[Input], wanted: Wanted) -> Batches:
    """What --data names, a folder or a list, for a net's image input and, if it has one, its label input."""
    assert wanted.data is not None
    tops = tuple(entry.value.blob for entry in entries)
    if len(tops) > 2:
        what = f"--data {wanted.data} feeds an image and a label map, the net has {len(tops)} inputs"
        refuse("no-data", what, why=", ".join(tops), remedy="--data BATCHES.npz")
    if not os.path.exists(wanted.data):
        refuse("no-such-file", f"there is no file or folder '{wanted.data}'")
    if os.path.isdir(wanted.data):
        items = voc_items(wanted.data, wanted.split)
    else:
        items = list_items(wanted.data)
    size = entries[0].shape[0] if entries[0].declared else 1
    draw = Draw(len(items), wanted.train, wanted.seed)
    mean, scale = _said(entries[0], wanted.folders)
    return Pairs(items, tops, size, draw, wanted.mean or mean, scale)


def _said(entry: Input, folders: Sequence[str]) -> tuple[tuple[float, ...], float]:
    """Mean and scale of BGR images as the net's data layer says; the FCN reference code's mean where nobody says it."""

    made, _ = of_input(entry, folders[1] if len(folders) > 1 else "")  # the net's own folder
    if made.order != "bgr":
        return FCN_MEAN_BGR, 1.0
    return (FCN_MEAN_BGR if made.unsaid else made.mean), made.scale


def list_items(path: str) -> tuple[tuple[str, str], ...]:
    """Pairs from a list: an image and its label map on each line, from the list's folder. Raises NetError, OSError."""
    folder = os.path.dirname(path)
    items = []
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        for number, line in enumerate(file, 1):
            words = line.split()
            if not words:
                continue
            if len(words) != 2:
                refuse("data-file", f"{path}:{number}: not of the form 'image labels'")
            items.append((os.path.join(folder, words[0]), os.path.join(folder, words[1])))
    return _all_there(path, items)


def voc_items(folder: str, split: str) -> tuple[tuple[str, str], ...]:
    """Pairs of a split in the layout of PASCAL VOC, or of SBD (img/, cls/, SPLIT.txt). Raises NetError, OSError."""
    voc = os.path.join(folder, "ImageSets", "Segmentation", f"{split}.txt")
    if os.path.isdir(os.path.join(folder, "JPEGImages")):
        return _split(voc, (folder, "JPEGImages", ".jpg"), (folder, "SegmentationClass", ".png"))
    if os.path.isdir(os.path.join(folder, "img")):
        return _split(os.path.join(folder, f"{split}.txt"), (folder, "img", ".jpg"), (folder, "cls", ".mat"))
    why = "it has neither JPEGImages/ (PASCAL VOC) nor img/ (SBD)"
    refuse("data-file", f"'{folder}' is no folder of images that is known", why=why)


def _split(listing: str, image: tuple[str, str, str], label: tuple[str, str, str]) -> tuple[tuple[str, str], ...]:
    if not os.path.isfile(listing):
        folder = os.path.dirname(listing)
        have = (
            sorted(n.removesuffix(".txt") for n in os.listdir(folder) if n.endswith(".txt"))
            if os.path.isdir(folder)
            else []
        )
        split = os.path.basename(listing).removesuffix(".txt")
        refuse("no-such-file", f"there is no split '{split}': {listing} is missing",
                       remedy=f"--split {' or '.join(have[:5])}" if have else "")  # fmt: skip
    with open(listing, encoding="utf-8") as file:
        names = [line.split()[0] for line in file if line.strip()]
    items = []
    for name in names:
        paths = [os.path.join(folder, sub, name + extension) for folder, sub, extension in (image, label)]
        if not os.path.exists(paths[1]) and paths[1].endswith(".mat"):
            paths[1] = paths[1].removesuffix(".mat") + ".png"
        items.append((paths[0], paths[1]))
    return _all_there(listing, items)


def _all_there(listing: str, items: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    if not items:
        refuse("data-file", f"{listing}: the list is empty")
    missing = [path for pair in items for path in pair if not os.path.exists(path)]
    if missing:
        more = f", and {len(missing) - 3} more" if len(missing) > 3 else ""
        refuse("no-such-file", f"{listing} names files that do not exist: {', '.join(missing[:3])}{more}")
    return tuple(items)


def python_data(entries: Sequence[Input], wanted: Wanted) -> Batches:
    """The source of a data layer of the FCN reference code, from its ``param_str``, which is read, never run."""
    message = entries[0].message
    section = message.get("python_param")
    name, text = str(section.get("layer") or ""), str(section.get("param_str") or "")
    layouts = {"VOCSegDataLayer": "voc_dir", "SBDDSegDataLayer": "sbdd_dir"}
    if name not in layouts:
        refuse(
                "python-data", f"data layer {section.get('module')}.{name} is user code",
                section.span_of("layer"), f"known are {', '.join(layouts)}: their folders are read, no code is run",
                "--data BATCHES.npz, --data FOLDER in the layout of PASCAL VOC, or --data LIST.txt",
            )  # fmt: skip
    try:
        settings = literal_eval(text)
        folder, split = str(settings[layouts[name]]), str(settings["split"])
        mean = tuple(float(v) for v in settings["mean"])
        seed = settings.get("seed")
        randomize = bool(settings.get("randomize", True)) and "train" in split
    except (
        ValueError,
        SyntaxError,
        TypeError,
        KeyError,
        AttributeError,
        MemoryError,
        RecursionError,
    ) as error:
        refuse(
                "python-data", f"param_str of {name} is not what it wants", section.span_of("param_str"),
                f"{type(error).__name__}: {str(error)[:100]}; it is read as a Python literal",
                f"\"{{'{layouts[name]}': 'DIR', 'split': 'train', 'mean': (104.0, 116.7, 122.7)}}\"",
            )  # fmt: skip
    folder = wanted.find(folder, "folder", entries[0])
    items = voc_items(folder, split)
    draw = Draw(len(items), randomize, int(seed) if seed is not None else wanted.seed)
    return Pairs(items, tuple(message.all("top")), 1, draw, mean)
