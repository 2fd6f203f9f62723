"""Scores of a detector after the text of PASCAL VOC's development kit (VOCevaldet.m, VOCap.m), in plain NumPy."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

CORNERS = ("xmin", "ymin", "xmax", "ymax")


def annotations(root: Path, split: str) -> tuple[list[str], list[list[tuple[str, np.ndarray, bool]]]]:
    """The images of a split, and of each its objects: class, box, whether it is difficult."""
    names = (root / "ImageSets" / "Main" / f"{split}.txt").read_text().split()
    found = []
    for name in names:
        tree = ET.parse(root / "Annotations" / f"{name}.xml")
        objects = []
        for item in tree.iter("object"):
            box = np.array([float(item.findtext(f"bndbox/{corner}") or "nan") for corner in CORNERS])
            objects.append((item.findtext("name") or "", box, item.findtext("difficult") == "1"))
        found.append(objects)
    return names, found


def overlaps(box: np.ndarray, others: np.ndarray, border: float) -> np.ndarray:
    """Intersection over union; `border` 1 where both corners are pixels of the box."""
    wide = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0]) + border
    high = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1]) + border
    shared = np.maximum(wide, 0) * np.maximum(high, 0)
    areas = (others[:, 2] - others[:, 0] + border) * (others[:, 3] - others[:, 1] + border)
    return shared / ((box[2] - box[0] + border) * (box[3] - box[1] + border) + areas - shared)


def judged(
    detections: list[tuple[int, float, np.ndarray]], truth: list[list[tuple[str, np.ndarray, bool]]], name: str,
    border: float = 1.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:  # fmt: skip
    """One class, from the highest score down: scores; 1 right, 0 wrong, -1 not counted; overlaps with the object that
    judges; and how many objects count.

    A detection is (image, score, box in pixels).
    """
    objects = [[(box, hard) for kind, box, hard in image if kind == name] for image in truth]
    count = sum(not hard for image in objects for _, hard in image)
    taken = [[False] * len(image) for image in objects]
    order = np.argsort([-score for _, score, _ in detections], kind="stable")
    verdicts, shares = [], []
    for at in order:
        image, _, box = detections[at]
        share = overlaps(box, np.array([b for b, _ in objects[image]]), border) if objects[image] else np.zeros(1)
        best = int(share.argmax())
        shares.append(share[best])
        if share[best] < 0.5:
            verdicts.append(0)
        elif objects[image][best][1]:
            verdicts.append(-1)
        else:
            verdicts.append(0 if taken[image][best] else 1)
            taken[image][best] = True
    return np.array([detections[at][1] for at in order]), np.array(verdicts), np.array(shares), count


def average_precisions(verdicts: np.ndarray, count: int) -> tuple[float, float]:
    """Average precision at 11 points (VOC 2007), and as the area under the curve (from VOC 2010 on)."""
    counted = verdicts[verdicts >= 0]
    right = np.cumsum(counted)
    recall, precision = right / count, right / np.arange(1, len(counted) + 1)
    eleven = sum(precision[recall >= point / 10].max(initial=0.0) for point in range(11)) / 11
    recall, precision = np.r_[0, recall, 1], np.r_[0, precision, 0]
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float(eleven), float((np.diff(recall) * falling[1:]).sum())
