"""Labelled data sets: the folders of PASCAL VOC, SIFT Flow and NYUDv2 as they are distributed, or a list file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.runtime.images import read_labels
from netcompile.runtime.matfile import read_mat
from netcompile.runtime.sources import EXTENSIONS

Array = np.ndarray[Any, np.dtype[Any]]

_SIFT = "spatial_envelope_256x256_static_8outdoorcategories"
_VOC_SPLITS = ("val", "seg11valid", "trainval", "train")


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
    kind: str = "png"  # how label files are read: "png", "sift-flow", "nyud"
    palette: Any = None  # for label maps that are colour images
    folders: Mapping[str, str] = field(default_factory=dict)  # of the images for a net's further inputs


def open_data(path: str, split: str | None = None, root: str | None = None) -> DataSet:
    """The data set at `path`: a folder in a known layout, or a list file.

    Lines of a list: an image, then a label map for each head, separated by tabs or spaces; paths are relative to
    `root`, else to the list's folder (a leading "/" counts as relative if there is no such file). `split` names a list
    of the data set, or is a file of image names. Raises NetError with what is missing.
    """
    if os.path.isfile(path):
        return _of_list(path, root)
    if not os.path.isdir(path):
        raise _wrong(f"there is no data set '{path}'", "give the folder of a data set, or a list file", "no-such-file")
    if os.path.isdir(os.path.join(path, "JPEGImages")):
        return _voc(path, split)
    if os.path.isdir(os.path.join(path, "SemanticLabels")):
        return _sift_flow(path, split or "test")
    if os.path.isdir(os.path.join(path, "segmentation")) and os.path.isdir(os.path.join(path, "data", "images")):
        return _nyud(path, split or "test")
    inside = [name for name in sorted(os.listdir(path)) if os.path.isdir(os.path.join(path, name, "JPEGImages"))]
    raise _wrong(
        f"'{path}' is no data set in a layout known here",
        f"give {os.path.join(path, inside[0])}" if inside else "write a list file: IMAGE LABELS a line",
        why="known are VOC (JPEGImages, SegmentationClass), SIFT Flow (Images, SemanticLabels), NYUDv2 (data/images, "
        "segmentation)",
    )


def labels_of(sample: Sample, kind: str, palette: Any = None) -> tuple[Array, ...]:
    """The label maps of a sample, H×W uint8 with 255 for what does not count. Raises OSError, ValueError."""
    if kind == "png":
        found = tuple(read_labels(path, palette) for path in sample.labels)
    else:
        key = "S" if kind == "sift-flow" else "segmentation"
        maps = [read_mat(path, key) for path in sample.labels]
        # Classes start at 1 there, 0 (-1 among SIFT Flow's geometric labels) is void.
        found = tuple(np.where(labels > 0, labels - 1.0, 255).astype(np.uint8) for labels in maps)
    for labels in found:
        if labels.ndim != 2:
            raise ValueError(f"its shape is {labels.shape}, not height × width")
    return found


def _wrong(what: str, remedy: str = "", code: str = "data-set", why: str = "") -> NetError:
    return NetError(Diagnostic(code, what, why=why, remedy=remedy))


def _lines(path: str) -> list[str]:
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
        return [line.strip() for line in file if line.strip() and not line.startswith("#")]


def _split_file(split: str | None, candidates: Sequence[str], known: Sequence[str]) -> str:
    """The list of a split: the split itself if it is a file, else the first candidate that exists."""
    if split is not None and os.path.isfile(split):
        return split
    for path in candidates:
        if os.path.isfile(path):
            return path
    raise _wrong(
        f"there is no split '{split}'" if split else "the data set has no list of images to evaluate",
        "--split NAME or FILE" + (f"; there are {', '.join(known)}" if known else ""),
    )


def _voc(root: str, split: str | None) -> DataSet:
    folder = os.path.join(root, "ImageSets", "Segmentation")
    known = sorted(n[:-4] for n in os.listdir(folder) if n.endswith(".txt")) if os.path.isdir(folder) else []
    names = [split] if split else [name for name in _VOC_SPLITS if name in known] or known[:1]
    places = [os.path.join(folder, f"{name}.txt") for name in names]
    places += [os.path.join(root, "..", f"{split}.txt")] if split else []  # the FCN repository keeps seg11valid there
    listed = _split_file(split, places, known)
    images, labels = os.path.join(root, "JPEGImages"), os.path.join(root, "SegmentationClass")
    samples = []
    for line in _lines(listed):
        name = line.split()[0]
        image = _with_extension(os.path.join(images, name))
        samples.append(Sample(name, image, (os.path.join(labels, f"{name}.png"),)))
    return _checked(DataSet(os.path.basename(os.path.abspath(root)), tuple(samples), ("label",), ("voc",)), listed)


def _with_extension(stem: str) -> str:
    for extension in (".jpg", ".png", ".jpeg", ".JPG", ".JPEG", *sorted(EXTENSIONS)):
        if os.path.isfile(stem + extension):
            return stem + extension
    return f"{stem}.jpg"


def _sift_flow(root: str, split: str) -> DataSet:
    listed = _split_file(split, [os.path.join(root, f"{split}.txt")], _splits(root))
    samples = tuple(
        Sample(
            name,
            os.path.join(root, "Images", _SIFT, f"{name}.jpg"),
            tuple(os.path.join(root, kind, _SIFT, f"{name}.mat") for kind in ("SemanticLabels", "GeoLabels")),
        )
        for name in (line.split()[0] for line in _lines(listed))
    )
    classes = ("sift-flow-semantic", "sift-flow-geometric")
    return _checked(DataSet("sift-flow", samples, ("sem", "geo"), classes, "sift-flow"), listed)


def _nyud(root: str, split: str) -> DataSet:
    listed = _split_file(split, [os.path.join(root, f"{split}.txt")], _splits(root))
    samples = tuple(
        Sample(
            name,
            os.path.join(root, "data", "images", f"img_{name}.png"),
            (os.path.join(root, "segmentation", f"img_{name}.mat"),),
        )
        for name in (line.split()[0] for line in _lines(listed))
    )
    places = {name: os.path.join(root, "data", name) for name in ("hha", "depth")}
    folders = {name: path for name, path in places.items() if os.path.isdir(path)}
    return _checked(DataSet("nyud", samples, ("label",), ("nyud",), "nyud", folders=folders), listed)


def _splits(root: str) -> list[str]:
    return sorted(name[:-4] for name in os.listdir(root) if name.endswith(".txt"))


def _of_list(path: str, root: str | None) -> DataSet:
    base = root if root is not None else os.path.dirname(path)
    samples, counts = [], dict[int, int]()
    for number, line in enumerate(_lines(path), 1):
        parts = [part.strip() for part in line.split("\t")] if "\t" in line else line.split()
        counts.setdefault(len(parts), number)
        found = tuple(_under(base, part) for part in parts)
        samples.append(Sample(os.path.splitext(os.path.basename(found[0]))[0], found[0], found[1:]))
    if len(counts) > 1 or min(counts, default=2) < 2:
        entry = max(counts.values()) if len(counts) > 1 else 1
        raise _wrong(
            f"{path}: entry {entry} is not of the form IMAGE LABELS",
            "one image and its label map a line; tabs between them if a path has spaces",
        )
    heads = tuple(f"label{i + 1}" for i in range(max(counts) - 1)) if counts and max(counts) > 2 else ("label",)
    return _checked(DataSet(os.path.basename(path), tuple(samples), heads, ("",) * len(heads)), path)


def _under(base: str, path: str) -> str:
    if os.path.isabs(path) and os.path.exists(path):
        return path
    return os.path.join(base, path.lstrip("/"))


def _checked(data: DataSet, listed: str) -> DataSet:
    """The data set, if it has samples and any of them is there."""
    if not data.samples:
        raise _wrong(f"{listed} lists no images", "give another split")
    if not any(os.path.isfile(sample.image) for sample in data.samples):
        first = data.samples[0].image
        raise _wrong(f"none of the {len(data.samples)} images of {listed} is there", "--root FOLDER", why=f"no {first}")
    return data
