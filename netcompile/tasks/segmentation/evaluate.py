"""Score a net on labelled images: exact confusion matrices, whatever the number of processes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np

from netcompile.analysis.outputs import Output
from netcompile.array import Array
from netcompile.data.class_names import class_names
from netcompile.data.datasets import DataSet, Sample, labels_of, open_data, require_labels
from netcompile.data.image_file import reason_of
from netcompile.data.images import thumbnail
from netcompile.diagnostics.diagnostic import NetError, refuse
from netcompile.files.npz import write_npz
from netcompile.runtime.processes import Processes
from netcompile.tasks.inference import Done, Job, Read, each, infer_images, read_all
from netcompile.tasks.segmentation.evaluation_page import evaluation_page
from netcompile.tasks.segmentation.evaluation_text import evaluation_as_json, evaluation_as_text
from netcompile.tasks.segmentation.metrics import confusion, scores
from netcompile.tasks.segmentation.results import Head, Results, Worst
from netcompile.tasks.segmentation.score_maps import is_grey
from netcompile.tasks.task import Arrays, Asked, Evaluation, Writer


@dataclass(frozen=True)
class SegmentationScores(Results, Evaluation):
    """The same, for the data set `data`; label maps are drawn in the colours of `palette`."""

    data: str
    palette: Array

    def text(self, now: datetime, iteration: int) -> str:
        return evaluation_as_text(self, now, iteration)

    def as_json(self, net: str, iteration: int) -> dict[str, Any]:
        return evaluation_as_json(self, net, self.data, iteration)

    def files(self, net: str, iteration: int) -> dict[str, bytes | Writer]:
        return {
            "confusion.npz": partial(write_npz, arrays={head.blob: head.matrix for head in self.heads}),
            "report.html": evaluation_page(self, net, self.data, self.palette).encode(),
        }


@dataclass(frozen=True, slots=True)
class _Truth:
    """A sample, its place in the data set, and its label maps once they are read."""

    index: int
    sample: Sample
    labels: tuple[Array, ...] = ()


@dataclass
class _Tally:
    """What one process has counted so far for one head."""

    matrix: Array | None = None
    worst: list[Worst] = field(default_factory=list)

    def add(self, name: str, rgb: Array, truth: Array, predicted: Array, classes: int, keep: int) -> None:
        if self.matrix is None:
            self.matrix = np.zeros((classes, classes), np.int64)
        one = confusion(truth, predicted, classes)
        self.matrix += one
        counted = one.sum()
        if keep and counted:
            found = scores(one)
            small = [thumbnail(pixels) for pixels in (rgb, truth, predicted)]
            self.worst.append(Worst(name, found.mean_iu, found.overall_accuracy, *small))
            self.worst = worst_of(self.worst, keep)


def worst_of(images: list[Worst], keep: int) -> list[Worst]:
    """The `keep` images with the lowest mean IU; equal ones by name."""
    return sorted(images, key=lambda image: (image.iu, image.name))[:keep]


def evaluate(
    job: Job, outputs: tuple[Output, ...], palette: Array, asked: Asked, group: Processes
) -> SegmentationScores:
    """Run the net on every sample and count pixels; each process does its share, and all get the result.

    Pixels labelled 255, or with no class of the net, do not count. `asked.classes` names a list of classes for each
    head. Samples that cannot be read, or whose score map and label map differ in size, are reported and left out.
    Raises NetError where the data has fewer label maps than the net score blobs, or no pixel was counted.
    """
    data = replace(open_data(asked.data, asked.split, asked.root), palette=palette)
    require_labels(data)
    heads = tuple(output.name for output in outputs)
    if len(heads) > len(data.heads):
        refuse(
            "data-set",
            f"the net has {len(heads)} outputs ({', '.join(heads)}), the data set {len(data.heads)} label maps",
            remedy="--output BLOB names the one to score",
        )
    mine = [_Truth(index, data.samples[index]) for index in group.share(len(data.samples))]
    tallies = [_Tally() for _ in heads]
    losses: dict[int, float] = {}
    reads = (_with_labels(read, data) for read in read_all(((one, one.sample.image) for one in mine), job))
    labels = [name for name, _ in job.loaded.inputs if name not in job.image_blobs]

    def planes(key: _Truth) -> dict[str, Array]:
        return {name: found.astype(np.float32) for name, found in zip(labels, key.labels, strict=False)}

    results = infer_images(reads, job, asked.batch, planes if labels else None)

    def count(done: Done) -> str:
        why = _count(done, job, outputs, tallies, asked.worst)
        loss = _loss(done.arrays[0], heads)
        if not why and loss is not None:
            losses[done.key.index] = loss
        return why

    counts = each(results, len(mine), group.leads, lambda key: str(key.sample.image), asked.note, count)
    return _together(heads, data, tallies, losses, np.array(counts), group, asked)


def _count(done: Done, job: Job, outputs: tuple[Output, ...], tallies: list[_Tally], keep: int) -> str:
    """Add one image to every head's counts, or say why that cannot be."""
    pairs, maps = [], job.task.result(done.arrays, done.seen)
    for output, truth in zip(outputs, done.key.labels, strict=False):
        predicted = maps[output.name].labels
        if predicted.shape != truth.shape:
            (a, b), (c, d) = predicted.shape, truth.shape
            return f"output '{output.name}' is {a}×{b}, the label map {c}×{d}"
        pairs.append((truth, predicted, _classes(done.arrays[0][output.name], output.holds)))
    for tally, (truth, predicted, classes) in zip(tallies, pairs, strict=True):
        tally.add(done.key.sample.name, done.seen.rgb, truth, predicted, classes, keep)
    return ""


def _classes(score: Array, kind: str) -> int:
    if is_grey(score, kind):
        return 2
    return score.shape[0] if score.ndim == 3 and kind != "labels" else 256


def _loss(arrays: Arrays, heads: tuple[str, ...]) -> float | None:
    """The value of "loss", the blob that score.py reads; else the first single number among the outputs."""
    single = {name: array for name, array in arrays.items() if name not in heads and array.size == 1}
    if not single:
        return None
    return float((single["loss"] if "loss" in single else next(iter(single.values()))).item())


def _with_labels(read: Read, data: DataSet) -> Read:
    """The same image with its labels, or none if they cannot be read."""
    if read.rgb is None:
        return read
    try:
        return replace(read, key=replace(read.key, labels=labels_of(read.key.sample, data.kind, data.palette)))
    except NetError:  # a package is missing: that is not the image's fault
        raise
    except Exception as error:  # as with images
        return Read(read.key, None, f"its labels cannot be read: {reason_of(error)}")


def _together(
    heads: tuple[str, ...], data: DataSet, tallies: list[_Tally], losses: dict[int, float], counts: Array,
    group: Processes, asked: Asked,
) -> SegmentationScores:  # fmt: skip
    """Exact sums over all processes; the loss is summed in the order of the samples, whoever computed it."""
    parts = group.gather(
        ([tally.matrix.shape[0] if tally.matrix is not None else 0 for tally in tallies], losses,
         [tally.worst for tally in tallies])
    )  # fmt: skip
    images, broken = (int(count) for count in group.sum(counts))
    if not images:
        refuse("data-set", "not one image could be scored", why="each is reported above")
    results = []
    classes = asked.classes
    for index, (blob, tally) in enumerate(zip(heads, tallies, strict=True)):
        size = max(part[0][index] for part in parts)
        matrix = group.sum(tally.matrix if tally.matrix is not None else np.zeros((size, size), np.int64))
        worst = worst_of([image for part in parts for image in part[2][index]], asked.worst)
        names = _names(classes[index] if index < len(classes) else data.classes[index], len(matrix), bool(classes))
        results.append(Head(blob, data.heads[index], names, matrix, scores(matrix), tuple(worst)))
    merged = {index: loss for part in parts for index, loss in part[1].items()}
    mean = sum(merged[index] for index in sorted(merged)) / len(merged) if merged else None
    return SegmentationScores(tuple(results), images, broken, mean, data.name, data.palette)


def _names(wanted: str, count: int, insist: bool) -> tuple[str, ...]:
    """Names of the classes; numbers where no list of that length is known. NetError for one that is asked for."""
    if wanted == "voc":
        wanted = {21: "pascal", 19: "cityscapes"}.get(count, "")
    names = class_names(wanted) if wanted else ()
    if len(names) == count:
        return names
    if insist and names:
        refuse("class-names", f"'{wanted}' names {len(names)} classes, the net has {count}")
    return tuple(f"class {index}" for index in range(count))
