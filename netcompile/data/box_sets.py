"""Data sets of images with true boxes: PASCAL VOC's layout, COCO's, or a list of images with their annotations."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from netcompile.data.boxes import TrueBoxes
from netcompile.data.boxes_coco import CocoTruth, read_instances
from netcompile.data.boxes_voc import Annotation, read_annotation
from netcompile.data.paths import first_there, plain, read_lines
from netcompile.diagnostics.diagnostic import refuse
from netcompile.files.look import is_file, is_folder

_IMAGES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".bmp", ".webp")
_SPLITS = ("test", "val", "trainval", "train")
_KNOWN = "known are VOC (JPEGImages, Annotations, ImageSets/Main), COCO (instances_*.json), a list of IMAGE ANNOTATION"


@dataclass(frozen=True, slots=True)
class BoxSample:
    """An image and what is truly in it. `number`: its id in a COCO file, else its place in the set."""

    name: str
    image: str
    truth: TrueBoxes
    number: int


@dataclass(frozen=True, slots=True)
class BoxSet:
    """Images in the order of the split, and the names of the classes that their boxes have.

    `coco` is what a COCO file says, for the scores of its challenge.
    """

    name: str
    classes: tuple[str, ...]
    samples: tuple[BoxSample, ...]
    coco: CocoTruth | None = None


def open_boxes(path: str, split: str | None = None, root: str | None = None) -> BoxSet:
    """The data set at `path`, with every annotation read.

    - a folder in VOC's layout; `split` names a list of ImageSets/Main, or is a file; by default test, val, trainval or
      train, else every annotation;
    - a folder with ``annotations/instances_SPLIT.json``, or such a file; images lie in `root`, else in the folder of
      the split, or beside the file;
    - a list with an image and its XML annotation a line (SSD's test.txt), relative to `root`, else to its folder.

    Raises NetError with what is missing or wrong, and OSError.
    """
    if is_file(plain(path)):
        return _coco(path, root) if path.lower().endswith(".json") else _list(path, root)
    if not is_folder(path):
        refuse("no-such-file", f"there is no data set '{path}'", remedy="give a folder, a .json of COCO, or a list")
    if is_folder(os.path.join(path, "Annotations")):
        return _voc(path, split)
    files = _instances(path)
    if files:
        wanted = [f"instances_{name}.json" for name in ([split] if split else ("val2017", "val2014", *_SPLITS))]
        found = next((name for name in wanted if name in files), files[0] if len(files) == 1 and not split else None)
        if found is None:
            _wrong(f"which of {', '.join(files)}?", "--split val2017, or give the file")
        return _coco(os.path.join(path, "annotations", found), root)
    inside = [name for name in sorted(os.listdir(path)) if is_folder(os.path.join(path, name, "Annotations"))]
    remedy = f"give {os.path.join(path, inside[0])}" if inside else "write a list file: IMAGE ANNOTATION a line"
    _wrong(f"'{path}' is no data set of boxes in a layout known here", remedy, _KNOWN)


def _wrong(what: str, remedy: str = "", why: str = "") -> NoReturn:
    refuse("data-set", what, why=why, remedy=remedy)


def _instances(path: str) -> list[str]:
    folder = os.path.join(path, "annotations")
    names = sorted(os.listdir(folder)) if is_folder(folder) else []
    return [name for name in names if re.fullmatch(r"instances_.+\.json", name)]


def _voc(path: str, split: str | None) -> BoxSet:
    lists = os.path.join(path, "ImageSets", "Main")
    annotations, images = os.path.join(path, "Annotations"), os.path.join(path, "JPEGImages")
    places = [os.path.join(lists, f"{name}.txt") for name in ([split] if split else _SPLITS)]
    listed = split if split is not None and is_file(split) else first_there(places)
    if listed is not None:
        # Lists of one class have a second column: whether the image has an object of it.
        names = [line.split()[0] for line in read_lines(listed)]
    elif split:
        known = sorted(name[:-4] for name in os.listdir(lists) if name.endswith(".txt")) if is_folder(lists) else []
        more = [name for name in known if name in _SPLITS] or known[:10]
        there = f"; there are {', '.join(more)}" if more else ""
        _wrong(f"there is no split '{split}'", f"--split NAME or FILE{there}")
    else:
        names = sorted(name[:-4] for name in os.listdir(annotations) if name.endswith(".xml"))
    pairs = []
    for name in names:
        stem = os.path.join(images, name)
        image = first_there(stem + extension for extension in _IMAGES) or stem + _IMAGES[0]
        pairs.append((name, image, os.path.join(annotations, f"{name}.xml")))
    return _annotated(os.path.basename(os.path.abspath(path)), pairs, listed or annotations)


def _list(path: str, root: str | None) -> BoxSet:
    base = os.path.dirname(path) if root is None else root
    pairs = []
    for number, line in enumerate(read_lines(path), 1):
        parts = [part.strip() for part in (line.split("\t") if "\t" in line else line.split())]
        if len(parts) != 2 or not parts[1].lower().endswith(".xml"):
            what = f"{path}: entry {number} is not of the form IMAGE ANNOTATION.xml"
            _wrong(what, "one image and its annotation a line; a tab between them if a path has spaces", _KNOWN)
        image, annotation = (os.path.join(base, part) for part in parts)
        pairs.append((os.path.splitext(os.path.basename(image))[0], image, annotation))
    return _annotated(os.path.basename(path), pairs, path)


def _annotated(name: str, pairs: Sequence[tuple[str, str, str]], listed: str) -> BoxSet:
    """The set of images with their annotations: VOC's. Its classes are sorted by name."""
    missing = [annotation for _, _, annotation in pairs if not is_file(plain(annotation))]
    if missing:
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        what = f"{listed} lists images without an annotation: no {missing[0]}{more}"
        _wrong(what, "--split names a list of images that have one", "the test sets of VOC2010 and later have none")
    read = [read_annotation(annotation) for _, _, annotation in pairs]
    classes = tuple(sorted({label for found in read for label in found.names}))
    index = {label: place for place, label in enumerate(classes)}
    samples = tuple(
        BoxSample(sample, image, _truth(found, index), number)
        for number, ((sample, image, _), found) in enumerate(zip(pairs, read, strict=True))
    )
    return _checked(BoxSet(name, classes, samples), listed)


def _truth(found: Annotation, index: dict[str, int]) -> TrueBoxes:
    labels = np.array([index[label] for label in found.names], np.int64)
    return TrueBoxes(labels, found.boxes, found.difficult, whole_pixels=True)


def _coco(path: str, root: str | None) -> BoxSet:
    truth = read_instances(path)
    here = os.path.dirname(path)
    split = os.path.splitext(os.path.basename(path))[0].removeprefix("instances_")
    places = [root] if root is not None else [os.path.join(here, "..", split), here, *_beside(here, split)]
    first = truth.images[0].file_name if truth.images else ""
    base = next((place for place in places if is_file(os.path.join(place, first))), places[0])
    index = {number: place for place, number in enumerate(truth.categories)}
    samples = tuple(
        BoxSample(
            os.path.splitext(image.file_name)[0],
            os.path.join(base, image.file_name),
            _by_place(truth.boxes[image.number], index),
            image.number,
        )
        for image in truth.images
    )
    return _checked(BoxSet(os.path.basename(path), tuple(truth.categories.values()), samples, truth), path)


def _beside(here: str, split: str) -> list[str]:
    return [os.path.join(here, split), os.path.join(here, "images"), os.path.join(here, "..", "images", split),
            os.path.join(here, "..", "images"), os.path.join(here, "..")]  # fmt: skip


def _by_place(boxes: TrueBoxes, index: dict[int, int]) -> TrueBoxes:
    places = np.array([index[number] for number in boxes.classes.tolist()], np.int64)
    return TrueBoxes(places, boxes.boxes, boxes.difficult, boxes.whole_pixels)


def _checked(data: BoxSet, listed: str) -> BoxSet:
    if not data.samples:
        _wrong(f"{listed} lists no images", "give another split")
    if not any(is_file(plain(sample.image)) for sample in data.samples):
        what = f"none of the {len(data.samples)} images of {listed} is there"
        _wrong(what, "--root FOLDER", f"no {data.samples[0].image}")
    return data
