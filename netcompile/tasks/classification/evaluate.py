"""Score a net on images with a class each: exact counts, whatever the number of processes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np

from netcompile.analysis.outputs import Output
from netcompile.data.image_file import reason_of
from netcompile.data.images import data_uri, thumbnail
from netcompile.data.labelled_images import LabelledImage, LabelledImages, open_labelled_images
from netcompile.diagnostics.diagnostic import NetError, refuse
from netcompile.diagnostics.visible import visible
from netcompile.files.npz import write_npz
from netcompile.report.page import PICTURES, Card, Picture, page
from netcompile.report.table import table
from netcompile.runtime.processes import Processes
from netcompile.tasks.classification.results import MOST, Results, Wrong, rank, worst_of
from netcompile.tasks.inference import Done, Job, Read, ahead, each, infer_images
from netcompile.tasks.task import Asked, Evaluation, Writer

CONFUSIONS = 12  # that are shown


@dataclass(frozen=True)
class ClassScores(Results, Evaluation):
    """Top-1, top-5, each class, what is taken for what."""

    def text(self, now: datetime, iteration: int) -> str:
        broken = f", {self.broken} broken" if self.broken else ""
        lines = [f"{self.images} images of {visible(self.data)}{broken}"]
        for k in (1, MOST):
            right = int(self.within[:, min(k, self.within.shape[1]) - 1].sum())
            lines.append(f"top-{k}  {100 * self.share(k):.2f} %  ({right} of {self.images})")
        rows = [
            (index, name, _percent(share), int(count))
            for index, (name, share, count) in enumerate(zip(self.names, self.shares(), self.truths, strict=True))
            if count
        ]
        lines += ["", table(("", "class", "top-1 %", "images"), rows, right=(0, 2, 3))]
        mistakes = [(*pair, count, _percent(share)) for *pair, count, share in self.confusions(CONFUSIONS)]
        if mistakes:
            lines += ["", table(("truth", "taken for", "images", "% of the class"), mistakes, right=(2, 3))]
        return "\n".join(lines) + "\n"

    def as_json(self, net: str, iteration: int) -> dict[str, Any]:
        return {
            "version": 1,
            "net": net,
            "data": self.data,
            "iteration": iteration,
            "images": self.images,
            "broken": self.broken,
            "top1": self.share(1),
            "top5": self.share(MOST),
            "per_class": dict(zip(self.keys(), self.shares(), strict=True)),
            "counts": [int(count) for count in self.truths],
            "right": [int(count) for count in self.within[:, 0]],
        }

    def files(self, net: str, iteration: int) -> dict[str, bytes | Writer]:
        rows = list(zip(self.names, self.shares(), self.truths.tolist(), strict=True))
        made = page(
            "classification.html", *PICTURES, net=net, data=self.data, found=self, percent=_percent, most=MOST,
            rows=sorted((row for row in rows if row[2]), key=lambda row: (row[1] or 0.0, row[0])),
            confusions=self.confusions(CONFUSIONS), cards=[self._card(image) for image in self.worst],
        )  # fmt: skip
        return {
            "confusion.npz": partial(write_npz, arrays={"confusion": self.matrix}),
            "report.html": made.encode(),
        }

    def _card(self, image: Wrong) -> Card:
        taken = f"{self.names[image.predicted]} {_percent(image.score)} %"
        note = f"{taken}, and is {self.names[image.truth]}, {_percent(image.score_of_truth)} %"
        return Card(image.name, note, (Picture("", data_uri(image.rgb), image.name),))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


def evaluate(job: Job, output: Output, names: tuple[str, ...], asked: Asked, group: Processes) -> ClassScores:
    """Run the net on every image; each process does its share, and all get the result. Raises NetError, OSError."""
    data = open_labelled_images(asked.data, asked.split, asked.root)
    classes = output.shape[1]
    if data.names and len(data.names) != classes:
        refuse(
            "data-set",
            f"'{asked.data}' has {len(data.names)} folders, the net {classes} classes",
            why="the first folder by name is class 0, the next class 1, and so on",
            remedy="an empty folder for each class without images; or a list: IMAGE LABEL a line",
        )
    mine = [data.samples[index] for index in group.share(len(data.samples))]
    matrix, within = np.zeros((classes, classes), np.int64), np.zeros((classes, min(MOST, classes)), np.int64)
    worst: list[Wrong] = []

    def count(done: Done) -> str:
        sample: LabelledImage = done.key
        if not 0 <= sample.label < classes:
            return f"its class is {sample.label}, the net has 0 to {classes - 1}"
        try:
            scores = job.task.result(done.arrays, done.seen)
        except ValueError as error:
            return reason_of(error)
        place, best = rank(scores, sample.label), int(np.nan_to_num(scores, nan=-np.inf).argmax())
        matrix[sample.label, best] += 1
        within[sample.label, place:] += 1
        if asked.worst and best != sample.label:
            small = thumbnail(done.seen.rgb)
            probability = (float(scores[best]), float(scores[sample.label]))
            worst.append(Wrong(sample.name, sample.label, best, *probability, small))
            worst[:] = worst_of(worst, asked.worst)
        return ""

    reads = ahead(partial(_read, job, data, sample) for sample in mine)
    results = infer_images(reads, job, asked.batch)
    counts = each(results, len(mine), group.leads, lambda key: key.path or key.name, asked.note, count)
    images, broken = (int(total) for total in group.sum(np.array(counts)))
    if not images:
        refuse("data-set", "not one image could be scored", why="each is reported above")
    together = [image for part in group.gather(worst) for image in part]
    return ClassScores(
        data.name, group.sum(matrix), group.sum(within), _names(names, data, classes), images, broken,
        tuple(worst_of(together, asked.worst)),
    )  # fmt: skip


def _names(names: tuple[str, ...], data: LabelledImages, classes: int) -> tuple[str, ...]:
    """Those that the user says, else the folders', else numbers."""
    known = names or (data.names if len(data.names) == classes else ())
    return known or tuple(f"class {index}" for index in range(classes))


def _read(job: Job, data: LabelledImages, sample: LabelledImage) -> Read:
    """An image with its class, prepared; or why there is none."""
    try:
        known, rgb = data.read(sample)
        return job.prepared(known, rgb, sample.path)
    except MemoryError:
        return Read(sample, None, "not enough memory for it")
    except NetError as error:
        return Read(sample, None, error.diagnostics[0].what)
    except Exception as error:  # damaged files make the decoders raise whatever they like
        return Read(sample, None, reason_of(error))
