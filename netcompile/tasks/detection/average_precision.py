"""Average precision as PASCAL VOC and SSD define it: which detections are right, and what that is worth.

Sources: the development kit of VOC2007 and VOC2012 (`VOCevaldet.m`), and SSD's `DetectionEvaluateLayer` and `ComputeAP`
(`src/caffe/util/bbox_util.cpp`). Both count a detection whose overlap is exactly the limit as right; py-faster-rcnn's
`voc_eval.py` does not. Recalls are compared exactly, as fractions: the binary numbers of those programs lose levels of
recall that are met exactly, voc_eval.py 0.3, 0.6 and 0.7, SSD 0.7 and 0.9.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from netcompile.array import Array
from netcompile.data.boxes import overlaps

LIMIT = 0.5  # the least overlap of a detection that is right


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """What became of the detections of one image, or of several; those of difficult boxes are left out.

    `classes`, `scores`: of each detection. `right`: whether it is a true positive. `positives`: for each class how many
    boxes there are to find, difficult ones left out.
    """

    classes: Array
    scores: Array
    right: Array
    positives: Array


@dataclass(frozen=True, slots=True, eq=False)
class ClassScore:
    """One class: boxes to find, detections, those that are right, and the average precisions; NaN without a box.

    `eleven_point`: VOC2007's, SSD's "11point". `area`: VOC2010's and later, SSD's "MaxIntegral". `integral`: SSD's
    "Integral".
    """

    name: str
    positives: int
    detections: int
    right: int
    eleven_point: float
    area: float
    integral: float


def matched(
    classes: Array, scores: Array, boxes: Array, true_classes: Array, true_boxes: Array, difficult: Array, *,
    count: int, limit: float = LIMIT, border: float = 0,
) -> Matches:  # fmt: skip
    """Which detections of one image are right. `count`: the number of classes; `border` as `overlaps` has it.

    Class by class and from the best score on, each takes the true box that it overlaps most. It is right if that
    overlap is at least `limit` and no earlier one took the box; a second one on the same box is wrong. Where the box is
    difficult the detection does not count.
    """
    positives = np.bincount(true_classes[~difficult], minlength=count)
    order = np.argsort(-scores, kind="stable")
    right, counts = np.zeros(len(order), bool), np.ones(len(order), bool)
    shared = overlaps(boxes[order], true_boxes, border)
    shared[classes[order, None] != true_classes[None]] = -1
    taken = np.zeros(len(true_classes), bool)
    for row in range(len(order) if len(taken) else 0):
        best = int(shared[row].argmax())
        if shared[row, best] < limit:
            continue
        if difficult[best]:
            counts[row] = False
        elif not taken[best]:
            right[row] = taken[best] = True
    kept = order[counts]
    return Matches(classes[kept], scores[kept], right[counts], positives)


def together(parts: Sequence[Matches], count: int) -> Matches:
    """The matches of several images, in their order."""
    if not parts:
        none = np.zeros(0)
        return Matches(none.astype(np.int64), none, none.astype(bool), np.zeros(count, np.int64))
    return Matches(
        np.concatenate([part.classes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.right for part in parts]),
        np.sum([part.positives for part in parts], axis=0),
    )


def class_scores(found: Matches, names: Sequence[str]) -> tuple[ClassScore, ...]:
    """Every class that has a box to find or a detection, by its index. Equal scores stay in the order of the images."""
    made = []
    for label, name in enumerate(names):
        mine = found.classes == label
        right = found.right[mine][np.argsort(-found.scores[mine], kind="stable")]
        positives = int(found.positives[label])
        if positives or len(right):
            values = precisions(right, positives)
            made.append(ClassScore(name, positives, len(right), int(right.sum()), *values))
    return tuple(made)


def precisions(right: Array, positives: int) -> tuple[float, float, float]:
    """The three average precisions of a class (11 points, area, integral) from whether each detection is right, best
    first; NaN where there is nothing to find.

    - 11 points: the mean, over the recalls 0, 0.1, …, 1, of the highest precision at that recall or beyond.
    - area: that under the curve of the highest precision at each recall or beyond.
    - integral: that under the curve of the precision itself.

    >>> precisions(np.array([True, False, True]), 2)
    (0.8484848484848484, 0.8333333333333333, 0.8333333333333333)
    """
    if not positives:
        return float("nan"), float("nan"), float("nan")
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(right) + 1)
    beyond = np.maximum.accumulate(precision[::-1])[::-1]
    first = np.searchsorted(hits * 10, np.arange(11) * positives)  # the first detection that reaches each recall
    points = [beyond[i] if i < len(beyond) else 0.0 for i in first]
    return (
        float(sum(points) / 11),
        float(beyond[right].sum() / positives),
        float(precision[right].sum() / positives),
    )


def mean(values: Iterable[float]) -> float:
    """The mean over the classes that have something to find; NaN where none has.

    SSD divides by all classes of the net, with 0 for those that have nothing to find.
    """
    known = [value for value in values if value == value]
    return float(sum(known) / len(known)) if known else float("nan")
