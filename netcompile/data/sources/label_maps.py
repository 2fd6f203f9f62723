"""Images with label maps: what --data names, and the data layers of the FCN reference code."""

from __future__ import annotations

import random
from ast import literal_eval
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from netcompile.array import Array
from netcompile.data.datasets import DataSet, labels_of, open_data
from netcompile.data.images import read_image
from netcompile.data.paths import require_files
from netcompile.data.preprocessing import Preprocessing, of_input
from netcompile.data.sources.base import Batches, Wanted, readable, stacked
from netcompile.diagnostics.diagnostic import refuse
from netcompile.diagnostics.text import shape_text
from netcompile.files.look import is_there
from netcompile.ir.graph import Input


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
class LabelledMaps:
    """Batches of preprocessed images and their label maps, 1×H×W each: of the first top, and of the others."""

    data: DataSet
    tops: tuple[str, ...]
    size: int
    draw: Draw
    preprocessing: Preprocessing

    def batch(self, index: int) -> dict[str, Array]:
        rows: list[list[Array]] = [[] for _ in self.tops]
        for k in range(index * self.size, (index + 1) * self.size):
            sample = self.data.samples[self.draw(k)]
            image = self.preprocessing.blob(readable(sample.image, read_image))
            rows[0].append(image)
            wanted = replace(sample, labels=sample.labels[: len(self.tops) - 1])
            maps = readable(", ".join(wanted.labels), lambda _, wanted=wanted: labels_of(wanted, self.data.kind))  # type: ignore[misc]
            for row, path, labels in zip(rows[1:], wanted.labels, maps, strict=True):
                if labels.shape != image.shape[1:]:
                    what = f"{path}: {shape_text(labels.shape)}, its image is {shape_text(image.shape[1:])}"
                    refuse("label-image", what, why="a label map has a label for every pixel")
                row.append(labels.astype(np.float32)[None])
        return {top: stacked(row) for top, row in zip(self.tops, rows, strict=True)}


def maps_for(entries: Sequence[Input], wanted: Wanted) -> Batches:
    """What --data names, a folder or a list, for a net's image input and its label inputs. Raises NetError, OSError."""
    assert wanted.data is not None
    tops = tuple(entry.value.blob for entry in entries)
    if not is_there(wanted.data):
        refuse("no-such-file", f"there is no file or folder '{wanted.data}'")
    data = _whole(wanted.data, wanted.split)
    if len(tops) > 1 + len(data.heads):
        maps = "a label map" if len(data.heads) == 1 else f"{len(data.heads)} label maps"
        what = f"--data {wanted.data} feeds an image and {maps}, the net has {len(tops)} inputs"
        refuse("no-data", what, why=", ".join(tops), remedy="--data BATCHES.npz")
    size = entries[0].shape[0] if entries[0].declared else 1
    made = _said(entries[0], wanted.folders)
    if wanted.mean is not None:
        made = replace(made, mean=wanted.mean, image=None)
    return LabelledMaps(data, tops, size, Draw(len(data.samples), wanted.train, wanted.seed), made)


def _whole(path: str, split: str) -> DataSet:
    """A data set, every file of which is there."""
    data = open_data(path, split)
    require_files(data.listed, [path for sample in data.samples for path in (sample.image, *sample.labels)])
    return data


def _said(entry: Input, folders: Sequence[str]) -> Preprocessing:
    """BGR images as the net's data layer says; the FCN reference code's mean where nobody says it."""
    made, _ = of_input(entry, folders[1] if len(folders) > 1 else "")  # the net's own folder
    return made if made.order == "bgr" else Preprocessing()


def python_data(entries: Sequence[Input], wanted: Wanted) -> Batches:
    """The source of a data layer of the FCN reference code, from its ``param_str``, which is read, never run."""
    message = entries[0].message
    section = message.get("python_param")
    name, text = str(section.get("layer") or ""), str(section.get("param_str") or "")
    layouts = {"VOCSegDataLayer": "voc_dir", "SBDDSegDataLayer": "sbdd_dir"}
    if name not in layouts:
        what = f"data layer {section.get('module')}.{name} is user code"
        why = f"known are {', '.join(layouts)}: their folders are read, no code is run"
        remedy = "--data BATCHES.npz, --data FOLDER of a data set, or --data LIST.txt"
        refuse("python-data", what, section.span_of("layer"), why, remedy)
    try:
        settings = literal_eval(text)
        folder, split = str(settings[layouts[name]]), str(settings["split"])
        mean = tuple(float(v) for v in settings["mean"])
        seed = settings.get("seed")
        randomize = bool(settings.get("randomize", True)) and "train" in split
    except (ValueError, SyntaxError, TypeError, KeyError, AttributeError, MemoryError, RecursionError) as error:
        what, at = f"param_str of {name} is not what it wants", section.span_of("param_str")
        why = f"{type(error).__name__}: {str(error)[:100]}; it is read as a Python literal"
        remedy = f"\"{{'{layouts[name]}': 'DIR', 'split': 'train', 'mean': (104.0, 116.7, 122.7)}}\""
        refuse("python-data", what, at, why, remedy)
    data = _whole(wanted.find(folder, "folder", entries[0]), split)
    draw = Draw(len(data.samples), randomize, int(seed) if seed is not None else wanted.seed)
    return LabelledMaps(data, tuple(message.all("top")), 1, draw, Preprocessing(mean))
