"""Pages with scores and pictures, of made-up results: one of each kind."""

from __future__ import annotations

import numpy as np

from netcompile.runtime.blobs import Activations, Place
from netcompile.runtime.verify import Compared, Verification
from netcompile.runtime.verify_report import verification_page
from netcompile.tasks.classification.evaluate import ClassScores
from netcompile.tasks.classification.results import Wrong
from netcompile.tasks.detection.average_precision import ClassScore
from netcompile.tasks.detection.results import DetectionScores
from netcompile.tasks.detection.results import Worst as WorstBoxes
from netcompile.tasks.segmentation.evaluation_page import evaluation_page
from netcompile.tasks.segmentation.metrics import scores
from netcompile.tasks.segmentation.results import Head, Results, Worst

NAMES = ("background", "a-class-with-a-name-that-is-longer-than-names-of-classes-use-to-be")
PALETTE = np.array([[0, 0, 0], [128, 0, 0]] + [[9, 9, 9]] * 254, np.uint8)
MATRIX = np.array([[90, 10], [5, 15]])


def segmentation() -> str:
    truth, predicted = np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.uint8)
    truth[0, 0], truth[1], predicted[1, 2:] = 255, 1, 1
    worst = Worst("picture_7", 0.25, 0.5, np.zeros((4, 6, 3), np.uint8), truth, predicted)
    head = Head("score", "label", NAMES, MATRIX, scores(MATRIX), (worst,))
    return evaluation_page(Results((head,), 3, 1, None), "net", "VOC", PALETTE)


def detections() -> str:
    classes = tuple(ClassScore(name, 8, 20, 6, 0.5, 0.625, 0.6) for name in NAMES)
    picture = np.zeros((4, 6, 3), np.uint8)
    worst = WorstBoxes("scene_2", 0.5, 1, 1, 1, picture, picture)
    return DetectionScores("detection_out", "VOC", 1, 0, 0.5, classes, None, (worst,), 0.5, ()).page("net")


def classification() -> str:
    worst = Wrong("shape_3", 1, 0, 0.75, 0.25, np.zeros((4, 6, 3), np.uint8))
    within = np.cumsum([[90, 10, 0, 0, 0], [15, 5, 0, 0, 0]], axis=1)
    found = ClassScores("val.txt", MATRIX, within, NAMES, 120, 0, (worst,))
    page = found.files("net", 0)["report.html"]
    assert isinstance(page, bytes)
    return page.decode()


def verification() -> str:
    mine, other = np.zeros((1, 2, 5, 5)), np.zeros((1, 2, 5, 5))
    other[0, 1, 2, 2] = 1.0
    place = Place(0, NAMES[1], "Convolution", 3)
    compared = Compared("conv", place, mine.shape, 1.0, 1.0, 0.02, (0, 1, 2, 2), False)
    blobs = Activations({"conv": mine}, {"conv": place})
    found = Verification((compared,), (), (), 1e-4)
    return verification_page([("against /home/somebody/secret/ref.npz", found, blobs, {"conv": other})], "net")


PAGES = {
    "segmentation": segmentation,
    "detections": detections,
    "classification": classification,
    "verification": verification,
}
