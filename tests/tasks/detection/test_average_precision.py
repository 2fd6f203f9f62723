"""Average precision by hand and by an implementation with fractions; COCO's scores beside it."""

from __future__ import annotations

import builtins
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcompile.data.boxes import Detections, TrueBoxes
from netcompile.data.boxes_coco import CocoImage, CocoTruth
from netcompile.diagnostics.diagnostic import NetError
from netcompile.tasks.detection.average_precision import class_scores, matched, mean, precisions, together
from netcompile.tasks.detection.coco_scores import NAMES, coco_scores
from tests.tasks.detection.oracles import average_precisions, curve

# Whether each detection is right, boxes to find; the three precisions, worked out by hand.
CURVES = {
    "all": ([1, 1], 2, (1, 1, 1)),
    "none": ([0, 0], 2, (0, 0, 0)),
    "nothing-said": ([], 3, (0, 0, 0)),
    # recall 1/2 at precision 1, recall 1 at 2/3: six points of 1, five of 2/3
    "a-mistake-between": ([1, 0, 1], 2, (Fraction(6 + Fraction(10, 3), 11), Fraction(5, 6), Fraction(5, 6))),
    # precisions 0, 1/2, 2/3: the envelope is 2/3 everywhere
    "a-mistake-first": ([0, 1, 1], 2, (Fraction(2, 3), Fraction(2, 3), Fraction(7, 12))),
    # recall 3/10 exactly, at precision 1: four of eleven points
    "three-of-ten": ([1, 1, 1], 10, (Fraction(4, 11), Fraction(3, 10), Fraction(3, 10))),
    # recall 7/10 exactly: eight points, where floats of 32 bits find seven
    "seven-of-ten": ([1] * 7, 10, (Fraction(8, 11), Fraction(7, 10), Fraction(7, 10))),
}


@pytest.mark.parametrize("name", CURVES)
def test_precisions(name):
    right, positives, expected = CURVES[name]
    assert precisions(np.array(right, bool), positives) == pytest.approx(tuple(map(float, expected)), rel=1e-15)


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 10))
def test_precisions_are_those_of_fractions(right, missed):
    positives = sum(right) + missed
    found = precisions(np.array(right, bool), positives)
    if not positives:
        assert all(map(math.isnan, found))
    else:
        assert found == pytest.approx([float(value) for value in average_precisions(right, positives)], abs=1e-13)


def matches_of(found, truth, count, **options):
    classes, scores, boxes = ([row[i] for row in found] for i in range(3))
    true_classes, true_boxes, difficult = ([row[i] for row in truth] for i in range(3))
    return matched(
        np.array(classes, np.int64), np.array(scores, np.float64), np.array(boxes, np.float64).reshape(-1, 4),
        np.array(true_classes, np.int64), np.array(true_boxes, np.float64).reshape(-1, 4), np.array(difficult, bool),
        count=count, **options,
    )  # fmt: skip


BOX, FAR = [0, 0, 9, 9], [50, 50, 59, 59]
# Detections (class, score, box), true boxes (class, box, difficult); which detections count, and are right.
IMAGES = {
    "found": ([(1, 0.9, BOX)], [(1, BOX, False)], [True]),
    "other-class": ([(2, 0.9, BOX)], [(1, BOX, False)], [False]),
    "far": ([(1, 0.9, FAR)], [(1, BOX, False)], [False]),
    "twice": ([(1, 0.5, BOX), (1, 0.9, BOX)], [(1, BOX, False)], [True, False]),
    "twice-on-difficult": ([(1, 0.5, BOX), (1, 0.9, BOX)], [(1, BOX, True)], []),
    "difficult-of-another-class": ([(1, 0.9, BOX)], [(2, BOX, True)], [False]),
    "exactly-half": ([(1, 0.9, [0, 0, 9, 4])], [(1, BOX, False)], [True]),
    "less-than-half": ([(1, 0.9, [0, 0, 9, 3])], [(1, BOX, False)], [False]),
    # The best of its true boxes is taken, so it is wrong, though the other one is free and overlaps by half.
    "second-choice": (
        [(1, 0.9, BOX), (1, 0.8, [0, 0, 9, 10])],
        [(1, BOX, False), (1, [0, 3, 9, 14], False)],
        [True, False],
    ),
    "nothing-there": ([(1, 0.9, BOX)], [], [False]),
    "nothing-found": ([], [(1, BOX, False)], []),
    "nothing": ([], [], []),
}


@pytest.mark.parametrize("name", IMAGES)
def test_matching(name):
    found, truth, right = IMAGES[name]
    matches = matches_of(found, truth, 3, border=1)
    assert matches.right.tolist() == right
    assert matches.positives.tolist() == [sum(c == label and not d for c, _, d in truth) for label in range(3)]


boxes = st.tuples(*[st.integers(0, 6)] * 2, *[st.integers(0, 5)] * 2).map(lambda b: (*b[:2], b[0] + b[2], b[1] + b[3]))
images = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4).map(lambda n: n / 4), boxes), max_size=6),
        st.lists(st.tuples(st.integers(0, 2), boxes, st.booleans()), max_size=4),
    ),
    min_size=1,
    max_size=4,
)


@given(images, st.sampled_from([0, 1]), st.sampled_from([0.5, 0.25]))
def test_scores_of_images_are_those_of_fractions(found, border, limit):
    parts = [matches_of(*image, 3, border=border, limit=limit) for image in found]
    scores = {score.name: score for score in class_scores(together(parts, 3), ("a", "b", "c"))}
    for label, name in enumerate("abc"):
        right, positives = curve(found, label, Fraction(limit), border)
        if name not in scores:
            assert (right, positives) == ([], 0)
            continue
        got = scores[name]
        assert (got.positives, got.detections, got.right) == (positives, len(right), sum(right))
        if positives:
            expected = [float(value) for value in average_precisions(right, positives)]
            assert [got.eleven_point, got.area, got.integral] == pytest.approx(expected, abs=1e-13)


def test_the_mean_is_over_classes_with_something_to_find():
    assert mean([1.0, float("nan"), 0.5]) == 0.75
    assert math.isnan(mean([float("nan")]))
    assert math.isnan(mean([]))


# --- COCO


def truth_of(annotations, images=2):
    raw = {"annotations": annotations}
    return CocoTruth(
        tuple(CocoImage(10 * number, "", 0, 0) for number in range(1, images + 1)),
        {18: "dog", 90: "toothbrush"},
        {},
        raw,
    )


def annotation(image, category, bbox, **more):
    return {"id": 0, "image_id": image, "category_id": category, "bbox": bbox, **more}


def said(*rows):
    classes, scores, corners = zip(*rows, strict=True)
    return Detections(np.array(classes), np.array(scores), np.array(corners, np.float64))


def test_coco_by_hand(capsys):
    """Of two dogs one is found exactly, the other to 6/10: right up to a limit of 0.6, three of the ten limits.

    At those recall 1 has precision 1; at the others recall stays 1/2, 51 of 101 points. The toothbrush is not found.
    """
    pytest.importorskip("pycocotools")
    truth = truth_of(
        [annotation(10, 18, [0, 0, 10, 10]), annotation(20, 18, [0, 0, 10, 10]), annotation(20, 90, [0, 0, 50, 50])]
    )
    found = [(10, said((1, 0.9, [0, 0, 10, 10]))), (20, said((1, 0.8, [0, 0, 10, 6])))]
    scores = coco_scores(truth, found, (0, 18, 90))
    dog = (3 * 1 + 7 * 51 / 101) / 10
    assert tuple(scores.summary) == NAMES
    assert scores.categories == {"dog": (pytest.approx(dog), pytest.approx(1.0)), "toothbrush": (0.0, 0.0)}
    assert scores.summary["AP"] == pytest.approx(dog / 2)
    assert scores.summary["AP50"] == pytest.approx(0.5)
    assert scores.summary["AP small"] == pytest.approx(dog)
    assert scores.summary["AP medium"] == 0.0
    assert math.isnan(scores.summary["AP large"])
    assert capsys.readouterr() == ("", "")


def test_coco_crowds_count_neither_way():
    """A detection within a crowd is no mistake, and a crowd need not be found."""
    pytest.importorskip("pycocotools")
    truth = truth_of([annotation(10, 18, [0, 0, 10, 10]), annotation(10, 18, [20, 20, 40, 40], iscrowd=1)])
    rows = said((1, 0.9, [22, 22, 30, 30]), (1, 0.8, [0, 0, 10, 10]))
    assert coco_scores(truth, [(10, rows)], (0, 18)).summary["AP"] == pytest.approx(1.0)


def test_coco_without_detections_or_boxes():
    pytest.importorskip("pycocotools")
    none = coco_scores(truth_of([annotation(10, 18, [0, 0, 10, 10])]), [], (0, 18))
    assert (none.summary["AP"], none.categories["dog"]) == (0.0, (0.0, 0.0))
    empty = coco_scores(truth_of([]), [(10, said((1, 0.9, [0, 0, 10, 10])))], (0, 18))
    assert math.isnan(empty.summary["AP"])
    assert math.isnan(empty.categories["dog"][0])


def test_area_at_one_limit_is_near_that_of_coco():
    """COCO takes 101 points of the same curve that VOC integrates: they differ by less than a point's width a step."""
    pytest.importorskip("pycocotools")
    random = np.random.default_rng(2)
    annotations, found, parts = [], [], []
    for number in range(1, 31):
        true = random.uniform(0, 60, (4, 2))
        true = np.concatenate((true, true + random.uniform(20, 30, (4, 2))), axis=1)
        annotations += [annotation(10 * number, 18, [b[0], b[1], b[2] - b[0], b[3] - b[1]]) for b in true.tolist()]
        boxes = true + random.normal(0, 4, (4, 4))
        scores = random.uniform(0, 1, 4)
        found.append((10 * number, Detections(np.ones(4, np.int64), scores, boxes)))
        ones = np.ones(4, np.int64)
        parts.append(matched(ones, scores, boxes, ones, true, np.zeros(4, bool), count=2))
    theirs = coco_scores(truth_of(annotations, images=30), found, (0, 18)).summary["AP50"]
    ours = class_scores(together(parts, 2), ("background", "dog"))[0].area
    assert 0.3 < ours < 0.99
    assert theirs == pytest.approx(ours, abs=0.02)


def test_without_pycocotools(monkeypatch):
    real = builtins.__import__

    def no_coco(name, *rest):
        if name.startswith("pycocotools"):
            raise ModuleNotFoundError(f"No module named {name!r}", name="pycocotools")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", no_coco)
    with pytest.raises(NetError) as caught:
        coco_scores(truth_of([]), [], ())
    assert str(caught.value) == (
        "error[coco-missing]: scores on COCO's files need a package that is not installed: pycocotools\n"
        '  fix: pip install "netcompile[coco]"'
    )


def test_true_boxes_have_a_length():
    assert len(TrueBoxes(np.zeros(2), np.zeros((2, 4)), np.zeros(2, bool))) == 2
