"""Rows of SSD's and YOLO's last layers, and R-CNN's three outputs, as detections."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcompile.tasks.detection.rcnn import moved_regions, rcnn_detections, scale_of
from netcompile.tasks.detection.rows import detections_of_rows
from tests.tasks.detection.oracles import rcnn


def test_rows_of_ssd():
    rows = np.array(
        [[0, 15, 0.9, 0.1, 0.2, 0.5, 1.25], [1, 3, 0.5, 0, 0, 1, 1], [0, 2, 0.25, -0.5, 0, 0.5, 0.5]], np.float32
    ).reshape(1, 1, 3, 7)
    found = detections_of_rows(rows)
    assert found.classes.tolist() == [15, 2]
    assert found.scores.tolist() == [pytest.approx(0.9), 0.25]
    placed = found.moved((500, 300)).clipped(300, 500)
    np.testing.assert_allclose(placed.boxes, [[50, 60, 250, 300], [0, 0, 250, 150]], rtol=1e-6)
    assert detections_of_rows(rows, image=1).classes.tolist() == [3]
    assert len(detections_of_rows(rows, image=2)) == 0
    assert placed.above(0.3).classes.tolist() == [15]
    assert found.chosen(np.array([1, 0])).best_first().classes.tolist() == [15, 2]


def test_rows_of_minus_one_are_nothing():
    rows = np.full((1, 1, 2, 7), -1.0)
    rows[0, 0, :, 0] = [0, 1]
    assert [len(detections_of_rows(rows, image)) for image in (0, 1)] == [0, 0]
    assert len(detections_of_rows(np.zeros((1, 1, 0, 7)))) == 0


def test_rows_of_centres():
    """YoloDetectionOutput of OpenCL Caffe: image, class from 0, score, centre, width and height."""
    found = detections_of_rows(np.array([[0, 0, 0.5, 0.5, 0.25, 0.5, 0.25]]), centres=True)
    assert (found.classes.tolist(), found.boxes.tolist()) == ([0], [[0.25, 0.125, 0.75, 0.375]])


def test_shifted_rows():
    """An image that was put into the middle of the net's input: 200 × 100 of 200 × 200, from row 50 on."""
    found = detections_of_rows(np.array([[0, 1, 0.5, 0.25, 0.25, 0.5, 0.75]]))
    placed = found.moved((200, 200), (0, -50)).clipped(100, 200)
    assert placed.boxes.tolist() == [[50, 0, 100, 100]]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (np.zeros((1, 1, 3, 6)), "its shape is 1×1×3×6, not … × 7"),
        (np.array(1.0), "its shape is a single number, not … × 7"),
        (np.array([[0, 1, np.nan, 0, 0, 1, 1]]), "not finite numbers"),
        (np.array([[0, 1, 0.5, 0, 0, np.inf, 1]]), "not finite numbers"),
    ],
)
def test_outputs_that_are_no_rows(output, message):
    with pytest.raises(ValueError, match=message):
        detections_of_rows(output)


# --- R-CNN


@pytest.mark.parametrize(
    ("height", "width", "scale"),
    [
        (600, 600, 1.0),
        (375, 500, 1.6),
        (500, 375, 1.6),
        (600, 1000, 1.0),
        (599, 1000, 1.0),  # the long side decides
        (300, 5000, 0.2),
        (7, 4000, 0.25),
        (1, 1, 600.0),
        (480, 800, 1.25),  # just 1000
        (4799, 8000, 600 / 4799),  # 1000.2 pixels are 1000
        (4795, 8000, 0.125),
    ],
)
def test_scale(height, width, scale):
    """Short side 600, long side at most 1000."""
    assert scale_of(height, width) == scale


def test_moved_regions_by_hand():
    """A region of 10 × 20 pixels: moved by half its width, as high as before, and doubled in width."""
    regions = np.array([[10.0, 20.0, 19.0, 39.0]])
    offsets = np.array([[0.0, 0.0, 0.0, 0.0, 0.5, 0.0, np.log(2), 0.0]])
    moved = moved_regions(regions, offsets)
    # With offsets of 0 py-faster-rcnn's boxes grow by a pixel: 10 + 10/2 ± 10/2.
    np.testing.assert_allclose(moved, [[10, 20, 20, 40, 10, 20, 30, 40]], rtol=1e-12)


def test_rcnn_by_hand():
    """Three regions, two classes; the second region lies on the first, the third counts for class 2 only."""
    regions = np.array([[0, 0, 0, 19, 19], [0, 0, 2, 19, 21], [0, 40, 40, 59, 59]], np.float32)
    scores = np.array([[0.1, 0.9, 0.0], [0.2, 0.8, 0.0], [0.3, 0.05, 0.65]], np.float32)
    offsets = np.zeros((3, 12), np.float32)
    found = rcnn_detections(regions, scores, offsets, (25, 100), 2.0)
    assert found.whole_pixels
    assert found.classes.tolist() == [1, 2]  # a score of exactly the threshold does not count
    np.testing.assert_allclose(found.scores, [0.9, 0.65], rtol=1e-6)
    np.testing.assert_allclose(found.boxes, [[0, 0, 10.5, 10.5], [20, 20, 30.5, 24]], rtol=1e-6)


def test_rcnn_without_offsets_keeps_the_regions():
    regions = np.array([[0, 2, 4, 10, 12], [1, 0, 0, 5, 5]], np.float32)
    scores = np.array([[0.5, 0.5], [0.1, 0.9]], np.float32)
    assert rcnn_detections(regions, scores, None, (100, 100), (2.0, 4.0)).boxes.tolist() == [[1, 1, 5, 3]]
    assert rcnn_detections(regions, scores, None, (100, 100), 1.0, image=1).boxes.tolist() == [[0, 0, 5, 5]]


def test_outputs_with_axes_of_length_one():
    """R-FCN's scores and offsets come as R × C × 1 × 1."""
    random = np.random.default_rng(0)
    regions, scores, offsets = _rcnn_outputs(random, 6, 3, shared=True)
    flat = rcnn_detections(regions, scores, offsets, (50, 60), 1.5)
    long = rcnn_detections(*(a[..., None, None] for a in (regions, scores, offsets)), (50, 60), 1.5)
    assert len(flat) > 0
    assert (flat.boxes == long.boxes).all()


def _rcnn_outputs(random, count, classes, shared):
    low = random.integers(0, 60, (count, 2))
    boxes = np.concatenate((low, low + random.integers(0, 40, (count, 2))), axis=1)
    regions = np.concatenate((np.zeros((count, 1)), boxes), axis=1)
    scores = random.dirichlet(np.ones(classes), count)
    offsets = random.normal(0, 0.3, (count, 8 if shared else 4 * classes))
    return regions, scores, offsets


@given(st.integers(0, 2**32), st.integers(0, 30), st.integers(2, 5), st.booleans(), st.sampled_from([1, 3, 100]))
def test_rcnn_is_that_of_loops_over_boxes(seed, count, classes, shared, most):
    random = np.random.default_rng(seed)
    regions, scores, offsets = _rcnn_outputs(random, count, classes, shared)
    found = rcnn_detections(regions, scores, offsets, (45, 50), 1.75, overlap=0.4, most=most)
    expected = rcnn(regions.tolist(), scores.tolist(), offsets.tolist(), (45, 50), 1.75, 0.05, 0.4, most)
    assert found.classes.tolist() == [label for label, _, _ in expected]
    assert found.scores.tolist() == [score for _, score, _ in expected]
    np.testing.assert_allclose(found.boxes, np.array([box for *_, box in expected]).reshape(-1, 4), atol=1e-9)


def test_boxes_without_bounds_are_cut_to_the_image():
    regions = np.array([[0, 2, 4, 10, 12]], np.float32)
    offsets = np.full((1, 8), 500, np.float32)
    assert rcnn_detections(regions, np.array([[0.0, 1.0]]), offsets, (30, 40), 1.0).boxes.tolist() == [[0, 0, 39, 29]]


BAD = {
    "regions": ((np.zeros((2, 4)), np.zeros((2, 3)), None), "regions have 4 numbers each, not 5"),
    "counts": ((np.zeros((2, 5)), np.zeros((3, 3)), None), "there are 2 regions and scores for 3"),
    "one-class": ((np.zeros((2, 5)), np.zeros((2, 1)), None), "scores of 1 class"),
    "offsets": ((np.zeros((2, 5)), np.zeros((2, 3)), np.zeros((2, 9))), "offsets are 2×9, not 2×12, or 2×8"),
    "nan": ((np.zeros((2, 5)), np.full((2, 3), np.nan), None), "not finite"),
    "single": ((np.zeros(()), np.zeros((2, 3)), None), "a single number"),
}


@pytest.mark.parametrize("name", BAD)
def test_rcnn_outputs_that_do_not_fit(name):
    arrays, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        rcnn_detections(*arrays, (10, 10), 1.0)
