"""Score a net's boxes on images with true ones; the same numbers whatever the number of processes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from netcompile.array import Array
from netcompile.data.annotated import AnnotatedImages, open_annotated
from netcompile.data.box_sets import BoxSet, open_boxes
from netcompile.data.boxes import Detections, TrueBoxes
from netcompile.data.boxes_voc import voc_corners
from netcompile.data.image_file import reason_of
from netcompile.diagnostics.diagnostic import refuse
from netcompile.files.look import is_file
from netcompile.runtime.processes import Processes
from netcompile.tasks.detection.average_precision import Matches, class_scores, matched, together
from netcompile.tasks.detection.classes import Classes, classes_of
from netcompile.tasks.detection.coco_scores import CocoScores, coco_scores, require_pycocotools
from netcompile.tasks.detection.drawing import drawn
from netcompile.tasks.detection.outputs import RegionOutputs, RowOutput
from netcompile.tasks.detection.records import records
from netcompile.tasks.detection.results import DetectionScores, Worst
from netcompile.tasks.inference import Done, Job, Read, ahead, each, infer_images
from netcompile.tasks.records import Record
from netcompile.tasks.task import Asked

_LONGEST = 480  # pixels of a picture on the page


@dataclass(frozen=True, slots=True)
class _Item:
    """An image of the data set: its place, its name, its path or record, and what is in it by the net's labels."""

    index: int
    name: str
    path: str
    truth: TrueBoxes | None = None
    number: int = 0  # in a COCO file


@dataclass(frozen=True, slots=True)
class _Scored:
    """What became of one image."""

    index: int
    number: int
    found: Detections
    matches: Matches
    record: Record


def evaluate(
    job: Job, source: RowOutput | RegionOutputs, names: tuple[str, ...], limit: float, shown: float, asked: Asked,
    group: Processes,
) -> DetectionScores:  # fmt: skip
    """Run the net on every image of a data set of boxes, or of an LMDB of SSD's AnnotatedDatums.

    PASCAL VOC's layout is scored by its development kit's rules, LMDB by SSD's, COCO's files by pycocotools. Images
    that cannot be read or run are reported and left out. Raises NetError where the data set cannot be read, its classes
    are not the net's, or no image was scored; OSError. `limit` is the least overlap of a box that is right, `shown` the
    score from which pictures have boxes.
    """
    data = _open(asked)
    classes = classes_of(names, source.labels, source.background, data)
    coco = data.coco if isinstance(data, BoxSet) else None
    if coco is not None:
        require_pycocotools()
    scored: list[_Scored] = []
    worst: list[Worst] = []

    def count(done: Done) -> str:
        try:
            found: Detections = job.task.result(done.arrays, done.seen)
        except ValueError as error:
            return reason_of(error)
        item: _Item = done.key
        assert item.truth is not None
        if len(found) and not 0 <= int(found.classes.min()) <= int(found.classes.max()) < len(classes.names):
            return f"a box has the label {int(found.classes.max())}, the net has {len(classes.names)} classes"
        matches = _matches(found, item.truth, len(classes.names), limit)
        record = {"image": item.path, "detections": records(found, classes.names)}
        scored.append(_Scored(item.index, item.number, found, matches, record))
        _keep(worst, asked.worst, item, found, matches, done.seen.rgb, shown, classes.names)
        return ""

    mine = list(group.share(len(data.samples) if isinstance(data, BoxSet) else len(data)))
    results = infer_images(ahead(_reads(job, data, classes, mine)), job, asked.batch)
    counts = each(results, len(mine), group.leads, lambda item: str(item.path), asked.note, count)
    images, broken = (int(total) for total in group.sum(np.array(counts)))
    if not images:
        refuse("data-set", "not one image could be scored", why="each is reported above")
    parts = group.gather((scored, worst))
    everything = sorted((one for part, _ in parts for one in part), key=lambda one: one.index)
    scores = _coco(coco, everything, classes, group) if coco is not None else None
    matches = together([one.matches for one in everything], len(classes.names))
    return DetectionScores(
        source.blobs[0], data.name if isinstance(data, BoxSet) else os.path.basename(os.path.abspath(asked.data)),
        images, broken, limit, class_scores(matches, classes.names), scores,
        tuple(_worst_of([one for _, part in parts for one in part], asked.worst)), shown,
        tuple(one.record for one in everything),
    )  # fmt: skip


def _open(asked: Asked) -> BoxSet | AnnotatedImages:
    if is_file(os.path.join(asked.data, "data.mdb")) or os.path.basename(asked.data) == "data.mdb":
        if asked.split is not None:
            refuse("usage", "--split names images of a folder: a data base has but one list")
        return open_annotated(asked.data)
    return open_boxes(asked.data, asked.split, asked.root)


def _reads(job: Job, data: BoxSet | AnnotatedImages, classes: Classes, indices: Sequence[int]) -> Iterator[Any]:
    """What reads each image, to be called in a thread."""
    for index in indices:
        if isinstance(data, AnnotatedImages):
            yield partial(_of_record, job, data, classes, index)
        else:
            sample = data.samples[index]
            truth = replace(sample.truth, classes=classes.labels[sample.truth.classes])
            yield partial(job.read, _Item(index, sample.name, sample.image, truth, sample.number), sample.image)


def _of_record(job: Job, data: AnnotatedImages, classes: Classes, index: int) -> Read:
    """The image and the boxes of a record. SSD keeps boxes as parts of the image."""
    nameless = _Item(index, "", f"{data.records.name}: record {index}")
    try:
        key, rgb, boxes = data[index]
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
            return Read(nameless, None, "it holds no image of three colours")
        height, width = rgb.shape[:2]
        strange = [box.label for box in boxes if not 0 <= box.label < len(classes.names)]
        if strange:
            why = f"a box has the label {strange[0]}, the net has {len(classes.names)} classes"
            return Read(nameless, None, why)
        corners = np.array([[b.xmin, b.ymin, b.xmax, b.ymax] for b in boxes], np.float64).reshape(-1, 4)
        truth = TrueBoxes(
            np.array([box.label for box in boxes], np.int64),
            corners * np.array([width, height] * 2),
            np.array([box.difficult for box in boxes], bool),
        )
        return job.prepared(_Item(index, key, key, truth), rgb)
    except MemoryError:
        return Read(nameless, None, "not enough memory for it")
    except Exception as error:  # as with files of images
        return Read(nameless, None, reason_of(error))


def _matches(found: Detections, truth: TrueBoxes, count: int, limit: float) -> Matches:
    """VOC's truth is compared with what would stand in VOC's files, pixel for pixel; other truth by edges."""
    boxes = voc_corners(found) - 1 if truth.whole_pixels else found.edges()
    return matched(
        found.classes, found.scores, boxes, truth.classes, truth.boxes, truth.difficult,
        count=count, limit=limit, border=1 if truth.whole_pixels else 0,
    )  # fmt: skip


def _coco(coco: Any, scored: Sequence[_Scored], classes: Classes, group: Processes) -> CocoScores:
    """Computed by the leading process, told to all."""
    ids = [classes.categories.get(label, -1) for label in range(len(classes.names))]
    own = coco_scores(coco, [(one.number, one.found) for one in scored], ids) if group.leads else None
    told = group.gather(own)[0]
    assert told is not None
    return told


def _keep(
    worst: list[Worst], keep: int, item: _Item, found: Detections, matches: Matches, rgb: Array, shown: float,
    names: Sequence[str],
) -> None:  # fmt: skip
    """Remember an image with its pictures if it is among the worst so far."""
    assert item.truth is not None
    sure = matches.scores >= shown
    right = int(matches.right[sure].sum())
    wrong, missed = int(sure.sum()) - right, int(matches.positives.sum()) - right
    if not keep or not right + wrong + missed:
        return
    share = 2 * right / (2 * right + wrong + missed)
    if len(worst) == keep and (share, item.name) >= (worst[-1].share, worst[-1].name):
        return
    truth = Detections(item.truth.classes, np.ones(len(item.truth)), item.truth.boxes, item.truth.whole_pixels)
    pictures = _picture(rgb, found.above(shown), names, True), _picture(rgb, truth, names, False)
    worst.append(Worst(item.name, share, right, wrong, missed, *pictures))
    worst[:] = _worst_of(worst, keep)


def _worst_of(images: list[Worst], keep: int) -> list[Worst]:
    return sorted(images, key=lambda image: (image.share, image.name))[:keep]


def _picture(rgb: Array, found: Detections, names: Sequence[str], scores: bool) -> Array:
    """The image, not larger than the page shows it, with boxes."""
    height, width = rgb.shape[:2]
    ratio = min(1.0, _LONGEST / max(height, width))
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    small = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR))
    boxes = Detections(found.classes, found.scores, found.edges()).moved((size[0] / width, size[1] / height))
    return drawn(small, boxes, names, scores)
