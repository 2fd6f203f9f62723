"""Detection by loops over single boxes, from the definitions, in plain Python and exact fractions: the tests' judge.

Average precision: the PASCAL VOC challenge (Everingham et al., IJCV 2010, section 4.2 for eleven points; the kit of
2012, section 3.4.1, for the area). R-CNN's boxes: Girshick et al., "Rich feature hierarchies", appendix C, with
widths that count whole pixels, and greedy suppression for each class.
"""

from __future__ import annotations

from fractions import Fraction
from math import exp


def overlap(a, b, border):
    """Intersection over union of two boxes of whole numbers, as a fraction."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + border
    height = min(a[3], b[3]) - max(a[1], b[1]) + border
    if width <= 0 or height <= 0:
        return Fraction(0)
    sizes = [Fraction((box[2] - box[0] + border) * (box[3] - box[1] + border)) for box in (a, b)]
    shared = Fraction(width * height)
    return shared / (sizes[0] + sizes[1] - shared)


def curve(images, label, limit, border):
    """Whether each detection of a class that counts is right, best first, and how many boxes there are to find.

    `images`: for each the detections (label, score, box) and the true boxes (label, box, difficult).
    """
    ranked = [
        (-score, number, place, box)
        for number, (found, _) in enumerate(images)
        for place, (own, score, box) in enumerate(found)
        if own == label
    ]
    taken = set()
    right = []
    for _, number, _, box in sorted(ranked, key=lambda row: row[:3]):
        best, at = Fraction(-1), None
        for index, (own, true, _) in enumerate(images[number][1]):
            if own == label and (shared := overlap(box, true, border)) > best:
                best, at = shared, index
        if at is None or best < limit:
            right.append(False)
        elif images[number][1][at][2]:
            continue
        else:
            right.append((number, at) not in taken)
            taken.add((number, at))
    positives = sum(own == label and not difficult for _, truth in images for own, _, difficult in truth)
    return right, positives


def average_precisions(right, positives):
    """Eleven points, the area under the envelope, and the area under the curve itself, as fractions."""
    recalls, precisions = [], []
    for count in range(1, len(right) + 1):
        hits = sum(right[:count])
        recalls.append(Fraction(hits, positives))
        precisions.append(Fraction(hits, count))

    def best_from(recall):
        return max((p for r, p in zip(recalls, precisions, strict=True) if r >= recall), default=Fraction(0))

    eleven = sum(best_from(Fraction(tenth, 10)) for tenth in range(11)) / 11
    area = integral = before = Fraction(0)
    for recall, precision in zip(recalls, precisions, strict=True):
        area += (recall - before) * best_from(recall)
        integral += (recall - before) * precision
        before = recall
    return eleven, area, integral


def rcnn(regions, scores, offsets, size, scale, threshold, limit, most):
    """R-CNN's detections of image 0: (label, score, box), in Python's floats."""
    height, width = size
    found = []
    classes = len(scores[0]) if scores else 0
    for label in range(1, classes):
        candidates = []
        for region, chances, moves in zip(regions, scores, offsets, strict=True):
            if region[0] != 0 or not chances[label] > threshold:
                continue
            x1, y1, x2, y2 = (value / scale for value in region[1:])
            at = 4 * label if len(moves) == 4 * classes else 4
            dx, dy, dw, dh = moves[at : at + 4]
            w, h = x2 - x1 + 1, y2 - y1 + 1
            cx, cy = dx * w + x1 + w / 2, dy * h + y1 + h / 2
            w, h = exp(dw) * w, exp(dh) * h
            box = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
            box = [min(max(value, 0), limit - 1) for value, limit in zip(box, (width, height) * 2, strict=True)]
            candidates.append((chances[label], box))
        kept = []
        for score, box in sorted(candidates, key=lambda row: -row[0]):
            if all(plain_overlap(box, other) <= limit for _, other in kept):
                kept.append((score, box))
        found += [(label, score, box) for score, box in kept]
    if len(found) > most:
        last = sorted((score for _, score, _ in found), reverse=True)[most - 1]
        found = [row for row in found if row[1] >= last]
    return found


def plain_overlap(a, b):
    """As `overlap` for whole pixels, in floats."""
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) + 1 for i in (0, 1))
    if width <= 0 or height <= 0:
        return 0.0
    sizes = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return width * height / (sizes[0] + sizes[1] - width * height)
