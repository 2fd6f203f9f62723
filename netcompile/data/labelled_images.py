"""Images with a class each: a list as Caffe's tools take it, a folder with one for each class, an LMDB."""

from __future__ import annotations

import os
from dataclasses import dataclass

from netcompile.array import Array
from netcompile.data.datum import LabelledDatums, open_labelled
from netcompile.data.images import EXTENSIONS, read_image
from netcompile.data.lmdb import lmdb_file
from netcompile.data.paths import first_there, read_lines
from netcompile.diagnostics.diagnostic import refuse
from netcompile.diagnostics.text import shape_text
from netcompile.files.look import is_file, is_folder

# Folders of VOC, SBD, SIFT Flow and COCO, whose images have other labels.
_OTHERS = ("JPEGImages", "Annotations", "annotations", "cls", "SemanticLabels", "SegmentationClass")


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image's name and its class. `path` is its file; or `index` its place in a data base, which knows the rest."""

    name: str
    label: int
    path: str = ""
    index: int = -1


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """A data set in its order. `names` are those of its classes, where folders tell them."""

    name: str
    samples: tuple[LabelledImage, ...]
    names: tuple[str, ...] = ()
    datums: LabelledDatums | None = None

    def read(self, sample: LabelledImage) -> tuple[LabelledImage, Array]:
        """A sample with its pixels, H×W×3 bytes. Raises as `read_image` does; NetError for a broken record."""
        if self.datums is None:
            return sample, read_image(sample.path)
        key, pixels, label = self.datums[sample.index]
        if pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ValueError(f"it is an array of {shape_text(pixels.shape)}, no image")
        return LabelledImage(key, label, index=sample.index), pixels


def open_labelled_images(path: str, split: str | None = None, root: str | None = None) -> LabelledImages:
    """The data set at `path`: a list with an image and the number of its class a line, an LMDB of Datums, or a folder
    with one for each class, whose classes are its names in order.

    `split` names a list in the folder `path`, or a folder there. Images of a list are looked for below `root`, else
    beside the list. Raises NetError, OSError.
    """
    if path.endswith(".mdb") or (is_folder(path) and lmdb_file(path) is not None):
        datums = open_labelled(path)
        samples = tuple(LabelledImage(f"record {k}", -1, index=k) for k in range(len(datums)))
        return _checked(LabelledImages(os.path.basename(os.path.abspath(path)), samples, (), datums), path)
    if is_file(path):
        return _checked(_of_list(path, root), path)
    if not is_folder(path):
        refuse("no-such-file", f"there is no data set '{path}'", remedy="give a list, an LMDB, or a folder of folders")
    if split is not None:
        listed = first_there([os.path.join(path, f"{split}.txt"), split])
        if listed is not None and is_file(listed):
            return _checked(_of_list(listed, root if root is not None else path), listed)
        path = os.path.join(path, split)
    return _checked(_of_folders(path), path)


def _of_list(path: str, root: str | None) -> LabelledImages:
    base = os.path.dirname(path) if root is None else root
    samples = []
    for number, line in enumerate(read_lines(path), 1):
        name, separator, label = line.rpartition("\t") if "\t" in line else line.rpartition(" ")
        if not separator or not label.strip().isascii() or not label.strip().isdigit() or len(label) > 9:
            refuse(
                "data-file",
                f"{path}: entry {number} is not of the form IMAGE LABEL",
                why=line[:100],
                remedy="an image and the number of its class a line, as Caffe's convert_imageset takes it",
            )
        name = name.strip()
        samples.append(LabelledImage(name, int(label), _below(base, name)))
    return LabelledImages(os.path.basename(path), tuple(samples))


def _below(base: str, path: str) -> str:
    """As it stands, if there is such a file; else below the folder."""
    if os.path.isabs(path) and os.path.exists(path):
        return path
    return os.path.join(base, path.lstrip("/"))


def _of_folders(path: str) -> LabelledImages:
    if not is_folder(path):
        refuse(
            "no-such-file", f"there is no folder '{path}'", remedy="--split names a list or a folder of the data set"
        )
    other = next((name for name in _OTHERS if is_folder(os.path.join(path, name))), None)
    if other is not None:
        refuse(
            "data-set",
            f"'{path}' has no folder for each class",
            why=f"it has {other}, as data sets of label maps and boxes do",
            remedy="a list: IMAGE LABEL a line; or a folder per class",
        )
    names = sorted(name for name in os.listdir(path) if is_folder(os.path.join(path, name)) and name[0] != ".")
    samples = [
        LabelledImage(f"{name}/{file}", label, os.path.join(path, name, file))
        for label, name in enumerate(names)
        for file in sorted(os.listdir(os.path.join(path, name)))
        if os.path.splitext(file)[1].lower() in EXTENSIONS
    ]
    return LabelledImages(os.path.basename(os.path.abspath(path)), tuple(samples), tuple(names))


def _checked(data: LabelledImages, path: str) -> LabelledImages:
    if not data.samples:
        refuse(
            "data-set", f"'{path}' has no labelled images", remedy="a list: IMAGE LABEL a line; or a folder per class"
        )
    if data.datums is None and not any(is_file(sample.path) for sample in data.samples):
        what = f"none of the {len(data.samples)} images of {path} is there"
        refuse("data-set", what, why=f"no {data.samples[0].path}", remedy="--root FOLDER")
    return data
