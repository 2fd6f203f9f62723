"""SSD's layers: prior boxes, their refusals and notes, and detections."""

from __future__ import annotations

import numpy as np
import pytest

from netcompile.prelude.boxes import best_first
from tests.conftest import REPOSITORY
from tests.layers.harness import analyse_text, check_text, refusals, run_text
from tests.layers.test_forks import draw, net
from tests.oracles.forks_structured import ORACLES

MAP, IMAGE = (1, 2, 2, 3), (2, 3, 21, 33)


def test_ratio_boxes_come_from_min_size() -> None:
    """The second square alone has √(min · max): 20×20, 30×30, 40×10 on an image of 100."""
    text = (REPOSITORY / "tests" / "found" / "nets" / "priorbox-max-size-aspect.prototxt").read_text()
    text = text.replace("min_size: 20", "min_size: 20 max_size: 45") if "max_size" not in text else text
    inputs = {"img": np.zeros((1, 3, 100, 100)), "f": np.zeros((1, 2, 1, 1))}
    boxes = run_text(text, inputs, dtype="float32")["p"][0, 0].reshape(-1, 4) * 100
    sizes = boxes[:, 2:] - boxes[:, :2]
    np.testing.assert_allclose(sizes, [[20, 20], [30, 30], [40, 10]], rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "shapes", "param"),
    [
        ("PriorBoxClustered", (MAP, IMAGE), "width: [29.5, 41.25] height: [67, 90.5] variance: [0.1, 0.1, 0.2, 0.2]"),
        ("PriorBoxClustered", (MAP, IMAGE), "width: 5 height: 6 step: 16 offset: 0.25 clip: true flip: true"),
        ("PriorBox", ((1, 6), IMAGE), "min_size: 4 max_size: 9 aspect_ratio: 3"),
        ("PriorBox", ((1, 6, 5), (3, 8)), "min_size: 4 step_h: 2 step_w: 3 clip: true"),
        ("PriorBox", (MAP, IMAGE), "min_size: 5 aspect_ratio: [2, 0.5, 2.0000001] flip: true"),
        ("PriorBox", (MAP, IMAGE), "min_size: 0.5 max_size: 1.5 img_h: 7 img_w: 9"),
    ],
)
def test_prior_boxes(kind: str, shapes: tuple[tuple[int, ...], ...], param: str) -> None:
    check_text(net(shapes, kind, f"prior_box_param {{ {param} }}"), draw(shapes), ORACLES, tolerance=1e-6)


@pytest.mark.parametrize(
    ("kind", "param", "what"),
    [
        ("PriorBox", "min_size: 4 img_h: 5", "img_w missing"),
        ("PriorBox", "min_size: 4 step: 0", "step must be larger than 0"),
        ("PriorBox", "min_size: [4, 5] max_size: 9", "1 max_size for 2 min_size"),
        ("PriorBox", "min_size: [4, -5]", "min_size must be positive and finite"),
        ("PriorBox", "min_size: 4 step: 2 step_h: 2 step_w: 2", "step and step_h/step_w together"),
        ("PriorBoxClustered", "width: 4", "no height"),
        ("PriorBoxClustered", "width: 4 height: [4, 5]", "2 heights for 1 widths"),
        ("PriorBoxClustered", "width: 4 height: -4", "height must be positive and finite"),
    ],
)
def test_prior_boxes_refused(kind: str, param: str, what: str) -> None:
    found = refusals(net((MAP, IMAGE), kind, f"prior_box_param {{ {param} }}"))
    assert [diagnostic.what for diagnostic in found] == [what]
    assert all(diagnostic.span is not None for diagnostic in found)


def test_a_size_that_loses_its_fraction_is_noted() -> None:
    analysed = analyse_text(net((MAP, IMAGE), "PriorBox", "prior_box_param { min_size: 7.5 max_size: 9 }"))
    notes = [note for note in analysed.notes if note.code == "fork-reading"]
    assert [(note.what, note.severity) for note in notes] == [("min_size 7.5 loses its fraction", "note")]


DETECT = "detection_output_param {{ num_classes: 3 code_type: CENTER_SIZE {} }}"


@pytest.mark.parametrize(
    ("shapes", "param", "what"),
    [
        (
            ((2, 8), (2, 6), (1, 2, 8)),
            "background_label_id: -1",
            "share_location with background_label_id -1",
        ),
        (((2, 8), (1, 6), (1, 2, 8)), "", "layer 'x': scores of 1 images for 2"),
        (((2, 8), (2, 6), (1, 2, 8)), "nms_param { nms_threshold: -1 }", "nms_threshold is negative"),
        (((2, 8), (2, 6), (1, 2, 8)), "nms_param { eta: 0 }", "eta 0 is not in (0, 1]"),
        (((2, 8), (2, 6), (1, 2, 8)), "share_location: false", "layer 'x': 8 numbers for each image, not 24"),
    ],
)
def test_detection_output_refused(shapes: tuple[tuple[int, ...], ...], param: str, what: str) -> None:
    found = refusals(net(shapes, "DetectionOutput", DETECT.format(param)))
    assert [diagnostic.what for diagnostic in found] == [what]


@pytest.mark.parametrize("param", ["", "confidence_threshold: -1e30"])
def test_scores_that_no_threshold_lets_through(param: str) -> None:
    """Without a threshold SSD's is the least float: minus infinity and NaN stay out."""
    scores = [[0, 0, -np.inf], [0, np.nan, 0.5], [0, 0.25, -1], [0, -np.inf, np.nan]]
    boxes = np.array([[i, i, i + 9, i + 9] for i in range(4)])
    inputs = {
        "a": np.zeros((1, 16), np.float32),
        "b": np.array(scores, np.float32).reshape(1, -1),
        "c": np.stack([boxes.ravel(), np.full(16, 0.1)])[None].astype(np.float32),
    }
    param = DETECT.format(f"{param} nms_param {{ nms_threshold: 1 }}")
    text = net(tuple(v.shape for v in inputs.values()), "DetectionOutput", param)
    rows = run_text(text, inputs, dtype="float32")["y"][0, 0]
    assert rows[:, 1:3].tolist() == [[1, 0.25], [1, 0], [2, 0.5], [2, -1]]


def by_std_sort(rows: str) -> list[int]:
    return [int(word) for word in rows.split()]


@pytest.mark.parametrize(
    ("scores", "wanted"),
    [
        ([], ""),
        ([1.0] * 16, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"),
        ([1.0] * 18, "9 17 16 15 14 13 12 11 10 0 8 7 6 5 4 3 2 1"),
        (
            [1.0] * 40,
            "30 21 22 23 24 25 26 27 28 29 20 31 32 33 34 35 36 37 38 39 "
            "10 1 2 3 4 5 6 7 8 9 0 11 12 13 14 15 16 17 18 19",
        ),
        (
            [0.5, 1, 1, 0.5, 1, 1, 1, 0.5, 1, 1, 0.25, 1, 1, 1, 1, 1, 0.5, 1, 1, 1],
            "1 19 18 17 15 14 13 12 11 9 8 6 5 4 2 7 16 3 0 10",
        ),
        ([i % 7 / 8 + i / 1000 for i in range(30)], ""),
    ],
)
def test_ties_come_in_the_order_of_std_sort(scores: list[float], wanted: str) -> None:
    """The orders are those that GCC's std::sort gave with SSD's comparison."""
    found = best_first(scores)
    assert found == (by_std_sort(wanted) or sorted(range(len(scores)), key=lambda i: -scores[i]))


def test_a_limit_keeps_of_equal_scores_what_std_sort_puts_first() -> None:
    """Eighteen boxes apart, all of score 1: their std::sort begins 9, 17, 16."""
    corners = np.array([[i, 0, i + 0.5, 1] for i in range(18)], np.float32)
    inputs = {
        "a": np.zeros((1, 72), np.float32),
        "b": np.tile(np.array([0, 1], np.float32), 18)[None],
        "c": np.stack([corners.ravel(), np.full(72, 0.1, np.float32)])[None],
    }
    param = "detection_output_param { num_classes: 2 code_type: CENTER_SIZE keep_top_k: 3 }"
    text = net(tuple(v.shape for v in inputs.values()), "DetectionOutput", param)
    assert run_text(text, inputs, dtype="float32")["y"][0, 0, :, 3].tolist() == [9, 17, 16]


def test_softmax_along_the_last_axis_is_softmax() -> None:
    x = np.random.default_rng(0).normal(size=(2, 5, 7)) * 4
    text = net((x.shape,), "Softmax", "softmax_param { axis: 2 }")
    e = np.exp(x - x.max(axis=2, keepdims=True))
    np.testing.assert_allclose(run_text(text, {"a": x})["y"], e / e.sum(axis=2, keepdims=True), rtol=1e-12)
