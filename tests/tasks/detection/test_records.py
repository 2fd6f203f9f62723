"""Detections as records, and the names of VOC's files."""

from __future__ import annotations

import numpy as np

from netcompile.data.boxes import Detections
from netcompile.tasks.detection.records import records, voc_file_names


def test_records():
    boxes = np.array([[0, 1, 2.005, 3.3333], [4, 5, 6, 7]])
    found = Detections(np.array([1, 7]), np.array([0.25, 1 / 3]), boxes)
    rows = records(found, ("background", "cat\x1b"))
    assert rows == [
        {"class": 7, "name": None, "score": 0.333333, "box": [4, 5, 6, 7]},
        {"class": 1, "name": "cat\x1b", "score": 0.25, "box": [0, 1, 2, 3.33]},
    ]


def test_file_names_stay_within_their_folder():
    names = ["../../etc/passwd", "A", "a", "potted plant", "", "x" * 300, "é", "nul\0"]
    files = voc_file_names(names)
    assert len({file.lower() for file in files.values()}) == len(names)
    assert all(file.startswith("comp4_det_test_") and file.endswith(".txt") for file in files.values())
    assert not any("/" in file or "\0" in file or len(file) > 130 for file in files.values())
    assert files["potted plant"] == "comp4_det_test_potted plant.txt"
