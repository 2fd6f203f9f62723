"""Detections as records for JSON, and the names of PASCAL VOC's files of results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from netcompile.data.boxes import Detections


def records(found: Detections, names: Sequence[str]) -> list[dict[str, Any]]:
    """Each detection, the best first: class (its number), name (None where nobody says it), score, box.

    The box is xmin, ymin, xmax, ymax in pixels of the original image, to hundredths; scores have six digits. R-CNN's
    corners are whole pixels that belong to the box, those of SSD and YOLO its edges.
    """
    ordered = found.best_first()
    return [
        {
            "class": label,
            "name": names[label] if 0 <= label < len(names) else None,
            "score": round(score, 6),
            "box": [round(value, 2) for value in box],
        }
        for label, score, box in zip(
            ordered.classes.tolist(), ordered.scores.tolist(), ordered.boxes.tolist(), strict=True
        )
    ]


def voc_file_names(names: Sequence[str], prefix: str = "comp4_det_test_") -> dict[str, str]:
    """The name of the file of results for each class, all different; what no file name should have becomes "_".

    >>> voc_file_names(["cat", "a/b", "a:b"])
    {'cat': 'comp4_det_test_cat.txt', 'a/b': 'comp4_det_test_a_b.txt', 'a:b': 'comp4_det_test_a_b_2.txt'}
    """
    made: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        stem = re.sub(r"[^\w .+-]", "_", name)[:100]
        count, free = 1, stem
        while free.lower() in taken:
            count += 1
            free = f"{stem}_{count}"
        taken.add(free.lower())
        made[name] = f"{prefix}{free}.txt"
    return made
