"""Labelled data sets: the folders of PASCAL VOC, SBD, SIFT Flow and NYUDv2 as they are distributed, or a list file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from netcompile.array import Array
from netcompile.data.images import EXTENSIONS, read_labels
from netcompile.data.mat import read_mat
from netcompile.data.paths import first_there, read_lines
from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.diagnostics.text import shape_text
from netcompile.files.look import is_file, is_folder

_IMAGES = (".jpg", ".png", ".jpeg", ".JPG", ".JPEG", *sorted(EXTENSIONS))
_SIFT = "spatial_envelope_256x256_static_8outdoorcategories"
_VOC_SPLITS = ("val", "seg11valid", "trainval", "train")
# Where a .mat keeps its labels, by kind of data set.
_MAT = {"": ("GTcls", "Segmentation"), "sift-flow": ("S",), "nyud": ("segmentation",)}


@dataclass(frozen=True, slots=True)
class Sample:
    """An image and its label maps, one for each head of the net."""

    name: str
    image: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DataSet:
    """Samples in the order of the split; `heads` and `classes` name the label maps and their lists of classes."""

    name: str
    samples: tuple[Sample, ...]
    heads: tuple[str, ...] = ("label",)
    classes: tuple[str, ...] = ("",)
    kind: str = ""  # what .mat files of labels are: "sift-flow", "nyud", else SBD's
    palette: Any = None  # for label maps that are colour images
    folders: Mapping[str, str] = field(default_factory=dict)  # of the images for a net's further inputs
    listed: str = ""  # the file that lists the samples


def open_data(path: str, split: str | None = None, root: str | None = None) -> DataSet:
    """The data set at `path`: a folder in a known layout, or a list file.

    Lines of a list: an image, then a label map for each head, separated by tabs or spaces; paths are relative to
    `root`, else to the list's folder (a leading "/" counts as relative if there is no such file). `split` names a list
    of the data set, or is a file of image names. Raises NetError with what is missing.
    """
    if is_file(path):
        return _of_list(path, root)
    if not is_folder(path):
        raise _wrong(f"there is no data set '{path}'", "give the folder of a data set, or a list file", "no-such-file")
    if is_folder(os.path.join(path, "JPEGImages")):
        return _voc(path, split)
    if is_folder(os.path.join(path, "SemanticLabels")):
        return _sift_flow(path, split or "test")
    if is_folder(os.path.join(path, "segmentation")) and is_folder(os.path.join(path, "data", "images")):
        return _nyud(path, split or "test")
    if is_folder(os.path.join(path, "img")) and is_folder(os.path.join(path, "cls")):
        return _sbd(path, split or "val")
    inside = [name for name in sorted(os.listdir(path)) if is_folder(os.path.join(path, name, "JPEGImages"))]
    raise _wrong(
        f"'{path}' is no data set in a layout known here",
        f"give {os.path.join(path, inside[0])}" if inside else "write a list file: IMAGE LABELS a line",
        why="known are VOC (JPEGImages, SegmentationClass), SBD (img, cls), SIFT Flow (Images, SemanticLabels), "
        "NYUDv2 (data/images, segmentation)",
    )


def labels_of(sample: Sample, kind: str = "", palette: Any = None) -> tuple[Array, ...]:
    """The label maps of a sample, H×W with 255 for what does not count. Raises OSError, ValueError."""
    found = tuple(_labels(path, kind, palette) for path in sample.labels)
    for labels in found:
        if labels.ndim != 2:
            raise ValueError(f"its shape is {shape_text(labels.shape)}, not height × width")
    return found


def _labels(path: str, kind: str, palette: Any) -> Array:
    if not path.endswith(".mat"):
        return read_labels(path, palette)
    labels = read_mat(path, *_MAT[kind])
    if not kind:
        return labels
    # Classes start at 1 there, 0 (-1 among SIFT Flow's geometric labels) is void.
    return np.where(labels > 0, labels - 1.0, 255).astype(np.uint8)


def _wrong(what: str, remedy: str = "", code: str = "data-set", why: str = "") -> NetError:
    return NetError(Diagnostic(code, what, why=why, remedy=remedy))


def _lines(path: str) -> list[str]:
    """The lines of a list; those that start with # are remarks."""
    return [line for line in read_lines(path) if not line.startswith("#")]


def _listed(split: str | None, candidates: Sequence[str], folder: str) -> tuple[str, list[str]]:
    """The list of a split, and the names in it: the split itself if it is a file, else the first candidate there is."""
    found = split if split is not None and is_file(split) else first_there(candidates)
    if found is not None:
        return found, [line.split()[0] for line in _lines(found)]
    known = _splits(folder)
    raise _wrong(
        f"there is no split '{split}'" if split else "the data set has no list of images",
        "--split NAME or FILE" + (f"; there are {', '.join(known)}" if known else ""),
        why=f"label maps are listed in {folder}",
    )


def _splits(folder: str) -> list[str]:
    return sorted(n[:-4] for n in os.listdir(folder) if n.endswith(".txt")) if is_folder(folder) else []


def _first(folder: str, name: str, extensions: Sequence[str] = _IMAGES) -> str:
    """The file of this name with the first of the extensions that there is; with the very first where none is."""
    stem = os.path.join(folder, name)
    return first_there(stem + extension for extension in extensions) or stem + extensions[0]


def _voc(root: str, split: str | None) -> DataSet:
    folder = os.path.join(root, "ImageSets", "Segmentation")
    known = _splits(folder)
    wanted = [split] if split else [name for name in _VOC_SPLITS if name in known] or known[:1]
    places = [os.path.join(folder, f"{name}.txt") for name in wanted]
    places += [os.path.join(root, "..", f"{split}.txt")] if split else []  # the FCN repository keeps seg11valid there
    listed, names = _listed(split, places, folder)
    images, labels = os.path.join(root, "JPEGImages"), os.path.join(root, "SegmentationClass")
    samples = tuple(Sample(name, _first(images, name), (os.path.join(labels, f"{name}.png"),)) for name in names)
    name = os.path.basename(os.path.abspath(root))
    return _checked(DataSet(name, samples, ("label",), ("voc",), listed=listed))


def _sbd(root: str, split: str) -> DataSet:
    listed, names = _listed(split, [os.path.join(root, f"{split}.txt")], root)
    images, labels = os.path.join(root, "img"), os.path.join(root, "cls")
    samples = tuple(Sample(name, _first(images, name), (_first(labels, name, (".mat", ".png")),)) for name in names)
    return _checked(DataSet("sbd", samples, ("label",), ("voc",), listed=listed))


def _sift_flow(root: str, split: str) -> DataSet:
    listed, names = _listed(split, [os.path.join(root, f"{split}.txt")], root)
    images, *labels = (os.path.join(root, kind, _SIFT) for kind in ("Images", "SemanticLabels", "GeoLabels"))
    samples = tuple(
        Sample(name, os.path.join(images, f"{name}.jpg"), tuple(os.path.join(kind, f"{name}.mat") for kind in labels))
        for name in names
    )
    classes = ("sift-flow-semantic", "sift-flow-geometric")
    return _checked(DataSet("sift-flow", samples, ("sem", "geo"), classes, "sift-flow", listed=listed))


def _nyud(root: str, split: str) -> DataSet:
    listed, names = _listed(split, [os.path.join(root, f"{split}.txt")], root)
    images, labels = os.path.join(root, "data", "images"), os.path.join(root, "segmentation")
    samples = tuple(
        Sample(name, os.path.join(images, f"img_{name}.png"), (os.path.join(labels, f"img_{name}.mat"),))
        for name in names
    )
    places = {name: os.path.join(root, "data", name) for name in ("hha", "depth")}
    folders = {name: path for name, path in places.items() if is_folder(path)}
    return _checked(DataSet("nyud", samples, ("label",), ("nyud",), "nyud", folders=folders, listed=listed))


def _of_list(path: str, root: str | None) -> DataSet:
    base = root if root is not None else os.path.dirname(path)
    samples, counts = [], dict[int, int]()
    for number, line in enumerate(_lines(path), 1):
        parts = [part.strip() for part in line.split("\t")] if "\t" in line else line.split()
        counts.setdefault(len(parts), number)
        if parts[-1].lower().endswith(".xml"):
            raise _wrong(
                f"{path}: entry {number} is not of the form IMAGE LABELS",
                "one image and its label map a line",
                why=f"{parts[-1]} says where boxes are, and a label map has a class for every pixel",
            )
        found = tuple(_under(base, part) for part in parts)
        samples.append(Sample(os.path.splitext(os.path.basename(found[0]))[0], found[0], found[1:]))
    if len(counts) > 1 or min(counts, default=2) < 2:
        entry = max(counts.values()) if len(counts) > 1 else 1
        raise _wrong(
            f"{path}: entry {entry} is not of the form IMAGE LABELS",
            "one image and its label map a line; tabs between them if a path has spaces",
        )
    heads = tuple(f"label{i + 1}" for i in range(max(counts) - 1)) if counts and max(counts) > 2 else ("label",)
    return _checked(DataSet(os.path.basename(path), tuple(samples), heads, ("",) * len(heads), listed=path))


def _under(base: str, path: str) -> str:
    if os.path.isabs(path) and os.path.exists(path):
        return path
    return os.path.join(base, path.lstrip("/"))


def _checked(data: DataSet) -> DataSet:
    """The data set, if it has samples and any of them is there."""
    if not data.samples:
        raise _wrong(f"{data.listed} lists no images", "give another split")
    if not any(is_file(sample.image) for sample in data.samples):
        what = f"none of the {len(data.samples)} images of {data.listed} is there"
        raise _wrong(what, "--root FOLDER", why=f"no {data.samples[0].image}")
    return data


def require_labels(data: DataSet) -> None:
    """Raise NetError where not one of the label maps is there: the list may have classes or boxes."""
    maps = [path for sample in data.samples for path in sample.labels]
    if not any(map(is_file, maps)):
        what = f"none of the {len(maps)} label maps of {data.listed} is there"
        raise _wrong(what, "one image and its label map a line, or a data set that has them", why=f"no {maps[0]}")
