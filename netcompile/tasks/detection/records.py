"""Detections as lines of JSON, one for each."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from netcompile.data.boxes import Detections
from netcompile.diagnostics.visible import visible_json


def records(image: str, found: Detections, names: Sequence[str]) -> list[dict[str, Any]]:
    """For each detection of an image, the best first: image, class (its name), label (its number), score, box.

    The box is xmin, ymin, xmax, ymax in pixels of the original image, to hundredths; scores have six digits. R-CNN's
    corners are whole pixels that belong to the box, those of SSD and YOLO its edges.
    """
    ordered = found.best_first()
    return [
        {
            "image": image,
            "class": names[label] if 0 <= label < len(names) else f"class {label}",
            "label": label,
            "score": round(score, 6),
            "box": [round(value, 2) for value in box],
        }
        for label, score, box in zip(
            ordered.classes.tolist(), ordered.scores.tolist(), ordered.boxes.tolist(), strict=True
        )
    ]


def json_lines(rows: Sequence[dict[str, Any]]) -> str:
    """The records, a line each; characters that do not show are written as JSON's escapes."""
    return "".join(visible_json(json.dumps(row, ensure_ascii=False)) + "\n" for row in rows)


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
