"""Boxes of one image: what was found in it, what is truly there, and how far they overlap.

A box is xmin, ymin, xmax, ymax, from the image's top left corner. There are two ways to read its corners:

- edges: the box ends at xmax, its width is xmax − xmin. SSD, YOLO and COCO have it so.
- whole pixels: pixels are numbered from 0, those of xmin and xmax both belong to the box, and its width is
  xmax − xmin + 1. R-CNN has it so; the files of PASCAL VOC too, with pixels numbered from 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from netcompile.array import Array


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What a net found in one image, N boxes.

    `classes`: N indices of the net's classes. `scores`: N. `boxes`: N×4, in pixels of the original image unless who
    makes them says otherwise. `whole_pixels`: how the corners are read.
    """

    classes: Array
    scores: Array
    boxes: Array
    whole_pixels: bool = False

    def __len__(self) -> int:
        return len(self.scores)

    def chosen(self, which: Array) -> Detections:
        """Those at the indices, or where the mask says so."""
        return replace(self, classes=self.classes[which], scores=self.scores[which], boxes=self.boxes[which])

    def above(self, threshold: float) -> Detections:
        """Those whose score is at least the threshold."""
        return self.chosen(self.scores >= threshold)

    def best_first(self) -> Detections:
        """Sorted by score, the highest first; equal scores stay in their order."""
        return self.chosen(np.argsort(-self.scores, kind="stable"))

    def moved(self, scale: tuple[float, float], shift: tuple[float, float] = (0.0, 0.0)) -> Detections:
        """The same boxes in another frame: every x becomes x · scale[0] + shift[0], every y likewise with [1]."""
        return replace(self, boxes=self.boxes * np.tile(scale, 2) + np.tile(shift, 2))

    def clipped(self, height: float, width: float) -> Detections:
        """The boxes without what lies outside of a frame of this size; those that lie outside become empty."""
        return replace(self, boxes=clipped(self.boxes, height, width, self.whole_pixels))

    def edges(self) -> Array:
        """The corners as edges, N×4."""
        return self.boxes + np.array([0, 0, 1, 1]) if self.whole_pixels else self.boxes


NOTHING = Detections(np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 4)))


@dataclass(frozen=True, slots=True, eq=False)
class TrueBoxes:
    """What is truly in one image, N boxes.

    `classes`: N indices of the data set's classes. `boxes`: N×4 in pixels. `difficult`: N flags of those that need not
    be found: difficult ones of PASCAL VOC, crowds of COCO. `whole_pixels`: how the corners are read.
    """

    classes: Array
    boxes: Array
    difficult: Array
    whole_pixels: bool = False

    def __len__(self) -> int:
        return len(self.classes)


def clipped(boxes: Array, height: float, width: float, whole_pixels: bool = False) -> Array:
    """Boxes (… × 4) without what lies outside of an image of this size.

    Edges end at the width and height, as in SSD's `OutputBBox`; whole pixels at the last one, as in py-faster-rcnn's
    `clip_boxes`.

    >>> clipped(np.array([[-3.0, 2.5, 200.0, 7.0]]), height=5, width=100).tolist()
    [[0.0, 2.5, 100.0, 5.0]]
    """
    last = 1 if whole_pixels else 0
    return np.clip(boxes, 0, np.array([width - last, height - last] * 2, boxes.dtype))


def areas(boxes: Array, border: float = 0) -> Array:
    """The area of each box (… × 4); none where the corners are swapped. `border` 1 counts whole pixels."""
    sizes = np.maximum(boxes[..., 2:] - boxes[..., :2] + border, 0)
    return np.asarray(sizes[..., 0] * sizes[..., 1])


def overlaps(boxes: Array, others: Array, border: float = 0) -> Array:
    """Intersection over union of each of N boxes with each of M others, N×M between 0 and 1.

    `border` 0 reads corners as edges (COCO, SSD's own evaluation), 1 as whole pixels (PASCAL VOC's development kit,
    R-CNN). Boxes without area overlap with nothing.

    >>> a = np.array([[0.0, 0, 9, 9]])
    >>> float(overlaps(a, np.array([[5.0, 0, 14, 9]]), 1)[0, 0])  # 10 × 10 pixels each, 5 × 10 of them shared
    0.3333333333333333
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = areas(np.concatenate((low, high), axis=-1), border)
    together = areas(boxes, border)[:, None] + areas(others, border)[None] - shared
    return np.asarray(np.divide(shared, together, out=np.zeros_like(shared), where=shared > 0))


def suppressed(boxes: Array, scores: Array, overlap: float, border: float = 0) -> Array:
    """Greedy suppression: the indices of the boxes that stay, the best first.

    In order of the scores, a box goes if its overlap with one that stays exceeds `overlap`. Of equal scores the last
    comes first, as where NumPy's `argsort` is turned round (py-faster-rcnn's `py_cpu_nms`, and its version for GPUs;
    that for CPUs drops a box whose overlap is exactly the limit, too).
    """
    order = np.argsort(scores, kind="stable")[::-1]
    kept = []
    while len(order):
        kept.append(int(order[0]))
        shared = overlaps(boxes[order[:1]], boxes[order[1:]], border)[0]
        order = order[1:][shared <= overlap]
    return np.array(kept, np.int64)
