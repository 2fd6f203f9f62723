"""Score a net on labelled images: exact confusion matrices, whatever the number of processes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from netcompile.array import Array
from netcompile.data.datasets import DataSet, Sample, labels_of
from netcompile.data.image_file import reason_of
from netcompile.data.images import thumbnail
from netcompile.data.palettes import class_names
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.runtime.processes import Processes
from netcompile.tasks.segmentation.metrics import Scores, confusion, scores
from netcompile.tasks.segmentation.score_maps import is_grey
from netcompile.tasks.segmentation.score_maps import labels_of as predicted_labels
from netcompile.tasks.segmentation.segment import Job, Read, Segmented, each, read_all, segment


@dataclass(frozen=True, slots=True)
class Worst:
    """An image of which little is right, small: pixels, true and predicted labels. `iu` is over its own classes."""

    name: str
    iu: float
    accuracy: float
    rgb: Array
    truth: Array
    predicted: Array


@dataclass(frozen=True, slots=True)
class Head:
    """The result of one score blob."""

    blob: str
    label: str
    classes: tuple[str, ...]
    matrix: Array  # int64, true class × predicted class
    scores: Scores
    worst: tuple[Worst, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The results of all heads. `loss` is the mean of the net's loss, None where it has none."""

    heads: tuple[Head, ...]
    images: int
    broken: int
    loss: float | None


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
    job: Job, data: DataSet, group: Processes, report: Callable[[Diagnostic], None], *,
    batch: int = 1, keep: int = 12, classes: tuple[str, ...] = (),
) -> Evaluation:  # fmt: skip
    """Run the net on every sample and count pixels; each process does its share, and all get the result.

    Pixels labelled 255, or with no class of the net, do not count. `classes` names a list of classes for each head.
    Samples that cannot be read, or whose score map and label map differ in size, are reported and left out. Raises
    NetError where the data has fewer label maps than the net score blobs, or no pixel was counted.
    """
    heads = job.heads
    if len(heads) > len(data.heads):
        refuse(
            "data-set",
            f"the net has {len(heads)} outputs ({', '.join(heads)}), the data set {len(data.heads)} label maps",
            remedy="--output BLOB names the one to score",
        )
    mine = [_Truth(index, data.samples[index]) for index in group.share(len(data.samples))]
    tallies = [_Tally() for _ in heads]
    losses: dict[int, float] = {}
    reads = (_with_labels(read, data) for read in read_all(((one, one.sample.image) for one in mine), job.extra_inputs))
    results = segment(reads, job, batch, _planes if len(job.loaded.inputs) > 1 else None)

    def count(result: Segmented) -> str:
        why = _count(result, job, tallies, keep)
        loss = _loss(result, heads)
        if not why and loss is not None:
            losses[result.key.index] = loss
        return why

    counts = each(results, len(mine), group.leads, lambda key: str(key.sample.image), report, count)
    return _together(heads, data, tallies, losses, np.array(counts), group, keep, classes)


def _count(result: Segmented, job: Job, tallies: list[_Tally], keep: int) -> str:
    """Add one image to every head's counts, or say why that cannot be."""
    pairs = []
    for blob, truth in zip(job.heads, result.key.labels, strict=False):
        score = result.scores[blob]
        kind = job.loaded.kinds.get(blob, "")
        predicted = predicted_labels(score, kind)
        if predicted.shape != truth.shape:
            (a, b), (c, d) = predicted.shape, truth.shape
            return f"output '{blob}' is {a}×{b}, the label map {c}×{d}"
        pairs.append((truth, predicted, _classes(score, kind)))
    for tally, (truth, predicted, classes) in zip(tallies, pairs, strict=True):
        tally.add(result.key.sample.name, result.rgb, truth, predicted, classes, keep)
    return ""


def _classes(score: Array, kind: str) -> int:
    if is_grey(score, kind):
        return 2
    return score.shape[0] if score.ndim == 3 and kind != "labels" else 256


def _loss(result: Segmented, heads: tuple[str, ...]) -> float | None:
    """The value of "loss", the blob that score.py reads; else the first single number among the outputs."""
    single = {name: array for name, array in result.scores.items() if name not in heads and array.size == 1}
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


def _planes(key: _Truth) -> Array:
    """What the label inputs of a net with its losses are fed with."""
    return np.stack([labels.astype(np.float32) for labels in key.labels])


def _together(
    heads: tuple[str, ...], data: DataSet, tallies: list[_Tally], losses: dict[int, float], counts: Array,
    group: Processes, keep: int, classes: tuple[str, ...],
) -> Evaluation:  # fmt: skip
    """Exact sums over all processes; the loss is summed in the order of the samples, whoever computed it."""
    parts = group.gather(
        ([tally.matrix.shape[0] if tally.matrix is not None else 0 for tally in tallies], losses,
         [tally.worst for tally in tallies])
    )  # fmt: skip
    images, broken = (int(count) for count in group.sum(counts))
    if not images:
        refuse("data-set", "not one image could be scored", why="each is reported above")
    results = []
    for index, (blob, tally) in enumerate(zip(heads, tallies, strict=True)):
        size = max(part[0][index] for part in parts)
        matrix = group.sum(tally.matrix if tally.matrix is not None else np.zeros((size, size), np.int64))
        worst = worst_of([image for part in parts for image in part[2][index]], keep)
        names = _names(classes[index] if index < len(classes) else data.classes[index], len(matrix), bool(classes))
        results.append(Head(blob, data.heads[index], names, matrix, scores(matrix), tuple(worst)))
    merged = {index: loss for part in parts for index, loss in part[1].items()}
    mean = sum(merged[index] for index in sorted(merged)) / len(merged) if merged else None
    return Evaluation(tuple(results), images, broken, mean)


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


def iteration_of(weights: str | None) -> int:
    """The iteration that Caffe's snapshots have in their names, else 0.

    >>> iteration_of("train_iter_100000.caffemodel"), iteration_of("fcn8s-heavy-pascal.caffemodel")
    (100000, 0)
    """
    found = re.search(r"_iter_(\d+)", os.path.basename(weights or ""))
    return int(found[1]) if found else 0
