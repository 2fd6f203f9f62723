"""The bundled classifier and detector: what they are drawn from, how they learn, and what they reach."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import netcompile
from netcompile.prototxt.parser import parse
from netcompile.train import demo, demo_nets
from netcompile.train.demo_nets import LESSONS, definition, start
from netcompile.train.demo_sets import (
    HEIGHT,
    TEST_SEED,
    WIDTH,
    Boxes,
    SingleShapes,
    annotation,
    mirrored,
    write_classes,
    write_scenes,
)
from netcompile.train.drawing import KINDS, UNIT, Dice, Figure, Found, draw_several
from netcompile.train.solver import read_solver
from tests.train.scoring import annotations, average_precisions, judged

DATA = Path(__file__).resolve().parents[1] / "data"
CLASSES, SCENES = DATA / "shapes-classes", DATA / "shapes-detection"
MEAN = np.array([104, 117, 123], np.float32)
LEVELS = (0, 1, 2)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


def as_input(image: np.ndarray) -> torch.Tensor:
    """BGR less the mean, 1×3×H×W."""
    values = image[:, :, ::-1].astype(np.float32) - MEAN
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))[None]


# what is drawn -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("write", "folder", "count"), [(write_classes, CLASSES, 102), (write_scenes, SCENES, 66)])
def test_the_test_sets_are_what_is_drawn(write, folder: Path, count: int, tmp_path: Path) -> None:
    """Texts to the byte, pictures to the pixel: how PNG is packed is up to the zlib of the machine."""
    write(tmp_path)
    drawn = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    kept = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "expected.json")
    assert [path.relative_to(tmp_path) for path in drawn] == [path.relative_to(folder) for path in kept]
    assert len(drawn) == count
    for mine, theirs in zip(drawn, kept, strict=True):
        if mine.suffix == ".png":
            np.testing.assert_array_equal(pixels(mine), pixels(theirs))
        else:
            assert mine.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("lesson", LESSONS.values(), ids=LESSONS)
def test_no_training_draws_the_test_pictures(lesson: demo_nets.Lesson) -> None:
    assert read_solver(definition(lesson.net, "solver")).random_seed != TEST_SEED


@pytest.mark.parametrize("source", [SingleShapes, Boxes])
def test_batches_are_a_function_of_seed_and_number(source: type[SingleShapes] | type[Boxes]) -> None:
    first, again = source(5, 3).batch(2), source(5, 3).batch(2)
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    for other in (source(6, 3).batch(2), source(5, 3).batch(3)):
        assert not np.array_equal(first["data"], other["data"])


def test_shapes_of_batches() -> None:
    single, boxes = SingleShapes(5, 4).batch(0), Boxes(5, 3).batch(0)
    assert {name: array.shape for name, array in single.items()} == {"data": (4, 3, 64, 64), "label": (4,)}
    assert boxes["data"].shape == (3, 3, HEIGHT, WIDTH)
    assert boxes["label"].shape[:2] == (1, 1)
    rows = boxes["label"][0, 0]
    assert rows.shape[1] == 8
    assert set(rows[:, 0]) == {0, 1, 2}
    assert set(rows[:, 1]) <= set(range(1, len(KINDS) + 1))
    assert (rows[:, 3:5] < rows[:, 5:7]).all()
    assert ((rows[:, 3:7] > 0) & (rows[:, 3:7] <= 1)).all()


# A figure that reaches one pixel from its centre; the area is that of the shape.
AREAS = [
    ("circle", 0, np.pi),
    ("ring", 16, np.pi * (1 - 1 / 4)),
    ("square", 0, (2 * 13 / 16) ** 2),
    ("triangle", 0, 3 * np.sqrt(3) / 4),
    ("cross", 8, 2 * 2 / 2 - 1 / 4),
    ("bar", 0, 4),
]


@pytest.mark.parametrize(("kind", "inner", "area"), AREAS, ids=[row[0] for row in AREAS])
@pytest.mark.parametrize(("p", "q"), [(128, 0), (96, 80), (-50, 117)])
@pytest.mark.parametrize("radius", [12, 32])
def test_a_figure_covers_its_area_however_it_is_turned(
    kind: str, inner: int, area: float, p: int, q: int, radius: int
) -> None:
    top, left, parts = Figure(kind, 30 * UNIT, 20 * UNIT, radius * UNIT, radius * UNIT, p, q, inner).coverage()
    assert parts.sum() / 16 == pytest.approx(area * radius**2, rel=0.03)
    rows, columns = np.mgrid[0 : len(parts), 0 : len(parts)]
    centre = [float((place * parts).sum() / parts.sum()) + 0.5 for place in (columns + left, rows + top)]
    assert centre == pytest.approx([30, 20], abs=0.1)


@pytest.mark.parametrize("kind", [row[0] for row in AREAS])
def test_the_largest_figure_is_drawn_without_overflow(kind: str) -> None:
    """As Python's own numbers, which have no limit, say."""
    large = Figure(kind, 0, 0, 32 * UNIT, 32 * UNIT, -127, 15, 23)
    points = np.arange(-48 * UNIT, 48 * UNIT, 7)
    exact = large.contains(points.astype(object)[None, :], points.astype(object)[:, None])
    np.testing.assert_array_equal(large.contains(points[None, :], points[:, None]), exact.astype(bool))


def test_boxes_hold_what_shows() -> None:
    """Pixels of a shape's colour reach to the sides of its box: within 3 pixels, as tips are mixed with the ground."""
    seen = 0
    for number in range(30):
        image, found = draw_several(Dice(99, number), HEIGHT, WIDTH)
        for box in found:
            inside = image[box.ymin - 1 : box.ymax, box.xmin - 1 : box.xmax].reshape(-1, 3)
            colours, counts = np.unique(inside, axis=0, return_counts=True)
            even = (image == colours[counts.argmax()]).all(axis=2)  # a shape has one colour, a ground has grain
            if counts.max() < 150 or box.difficult:
                continue
            rows, columns = even.nonzero()
            assert abs(int(columns.min()) + 1 - box.xmin) <= 3
            assert abs(int(rows.min()) + 1 - box.ymin) <= 3
            assert abs(int(columns.max()) + 1 - box.xmax) <= 3
            assert abs(int(rows.max()) + 1 - box.ymax) <= 3
            seen += 1
    assert seen > 20


def test_boxes_of_a_picture_that_is_turned_over() -> None:
    box = Found(2, 1, 10, 30, 40, truncated=True, difficult=False)
    assert mirrored(box, down=False, right=True) == replace(box, xmin=131, xmax=160)
    assert mirrored(box, down=True, right=False) == replace(box, ymin=81, ymax=111)
    assert mirrored(mirrored(box, down=True, right=True), down=True, right=True) == box


def test_an_annotation() -> None:
    text = annotation("a.png", [Found(3, 1, 2, 30, 40, truncated=True, difficult=False)])
    wanted = "<name>cross</name><pose>Unspecified</pose><truncated>1</truncated><difficult>0</difficult>"
    wanted += "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
    assert f"<object>{wanted}</object>" in "".join(text.split())
    assert "<size><width>160</width><height>120</height><depth>3</depth></size>" in "".join(text.split())


# the nets ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("net", "learning"), [("shapes-classifier", "train_val"), ("shapes-ssd", "train")])
def test_what_is_trained_is_what_is_deployed(net: str, learning: str) -> None:
    """Layers of both definitions are the same, and those of one alone have nothing to learn."""
    trained, deployed = (
        {str(layer.get("name")): layer for layer in parse(definition(net, name)).all("layer")}
        for name in (learning, "deploy")
    )
    both = trained.keys() & deployed.keys() - {"data"}
    assert len(both) >= 15
    for name in both:
        assert trained[name] == deployed[name]
    alone = [layer for layers in (trained, deployed) for name, layer in layers.items() if name not in both]
    assert not [layer.get("name") for layer in alone if layer.get("type") in ("Convolution", "InnerProduct", "Scale")]


@pytest.mark.parametrize("name", LESSONS)
def test_some_steps_learn_and_are_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(LESSONS, name, replace(LESSONS[name], size=4))
    assert demo.run([name, "2"]) == 0
    net = LESSONS[name].net
    written = tmp_path / "train-demo-out" / f"{net}.caffemodel"
    out, err = capsys.readouterr()
    assert f"wrote train-demo-out/{net}.caffemodel\n" in err
    assert ("top-1: " in out) == (name == "classifier")
    assert ("mean AP (11 points): " in out) == (name == "detector")
    learned, bundled = (
        netcompile.load(f"{net}/deploy.prototxt", path).state_dict() for path in (written, f"{net}.caffemodel")
    )
    assert learned.keys() == bundled.keys()
    again = start(LESSONS[name], 2, lambda text: None)
    again.run()
    weight = next(take for take in again.blobs if (take.layer, take.index) == ("conv1", 0))
    torch.testing.assert_close(learned["conv1.weight"], again.blobs[weight].detach(), rtol=0, atol=0)


@pytest.mark.parametrize(("known", "code"), [(95, 0), (94, 1)])
def test_the_exit_code_says_whether_enough_is_known(
    known: int, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(demo, "train", lambda *arguments: None)
    monkeypatch.setattr(demo_nets, "write_weights", lambda *arguments: None)
    monkeypatch.setattr(demo_nets, "right", lambda *arguments: (known, 100))
    assert demo.run(["classifier"]) == code


# what they reach -----------------------------------------------------------------------------------------------------


def test_average_precision_of_a_hand_made_ranking() -> None:
    """Right, wrong, right, not counted, wrong, of 4: precisions 1, 1/2, 2/3, 1/2 at recalls 1/4, 1/4, 1/2, 1/2."""
    eleven, area = average_precisions(np.array([1, 0, 1, -1, 0]), 4)
    assert eleven == pytest.approx((3 * 1 + 3 * 2 / 3) / 11)
    assert area == pytest.approx(1 / 4 + 1 / 4 * 2 / 3)


def test_judging_by_hand() -> None:
    """An object is found once; one that is difficult counts neither way; a box must be half right."""
    box = np.array([1, 1, 10, 10.0])
    truth = [[("ring", box, False), ("ring", box + 50, True), ("cross", box + 90, False)], []]
    detections = [
        (0, 0.5, box),
        (0, 0.9, box + np.array([0, 0, 0, 10])),
        (0, 0.8, box + 50),
        (0, 0.4, box + 90),
        (1, 0.7, box),
    ]
    scores, verdicts, shares, count = judged(detections, truth, "ring")
    assert scores.tolist() == [0.9, 0.8, 0.7, 0.5, 0.4]
    assert verdicts.tolist() == [1, -1, 0, 0, 0]
    assert shares[:2].tolist() == [0.5, 1]
    assert count == 1


@pytest.mark.parametrize("level", LEVELS)
def test_the_classifier(level: int) -> None:
    expected = json.loads((CLASSES / "expected.json").read_text())
    lines = [line.split() for line in (CLASSES / "val.txt").read_text().splitlines()]
    labels = np.array([int(label) for _, label in lines])
    batch = torch.cat([as_input(pixels(CLASSES / name)[4:68, 4:68]) for name, _ in lines])
    net = netcompile.load("shapes-classifier/deploy.prototxt", "shapes-classifier.caffemodel", level=level)
    with torch.inference_mode():
        chances = net(batch).numpy()
    confusion = np.zeros((5, 5), int)
    np.add.at(confusion, (labels, chances.argmax(1)), 1)
    assert confusion.tolist() == expected["confusion"]
    assert int(confusion.trace()) == expected["top1"] > 95
    ordered = np.sort(chances, axis=1)
    assert float((ordered[:, -1] - ordered[:, -2]).min()) > expected["margin"]


@pytest.mark.parametrize("level", LEVELS)
def test_the_detector(level: int) -> None:
    expected = json.loads((SCENES / "expected.json").read_text())
    names, truth = annotations(SCENES / "VOC", "test")
    net = netcompile.load("shapes-ssd/deploy.prototxt", "shapes-ssd.caffemodel", level=level)
    with torch.inference_mode():
        images = [pixels(SCENES / "VOC" / "JPEGImages" / f"{name}.png") for name in names]
        rows = [net(as_input(image)).reshape(-1, 7).numpy() for image in images]
    scale = np.array([WIDTH, HEIGHT] * 2, np.float64)
    eleven, areas = [], []
    for label, (kind, wanted) in enumerate(expected["classes"].items(), 1):
        found = [(image, float(r[2]), r[3:] * scale) for image, own in enumerate(rows) for r in own if r[1] == label]
        scores, verdicts, shares, count = judged(found, truth, kind)
        precision = average_precisions(verdicts, count)
        assert (count, int((verdicts == 1).sum())) == (wanted["objects"], wanted["found"])
        assert precision == pytest.approx((wanted["ap_11_points"], wanted["ap_area"]), abs=1e-9)
        eleven.append(precision[0])
        areas.append(precision[1])
        # No other machine's rounding may turn a verdict, or exchange a right and a wrong one.
        counted = verdicts >= 0
        turns = np.diff(verdicts[counted]) != 0
        assert (-np.diff(scores[counted])[turns]).min(initial=1) > expected["score_margin"]
        assert abs(shares - 0.5).min() > expected["overlap_margin"]
    assert (np.mean(eleven), np.mean(areas)) == pytest.approx(
        (expected["map_11_points"], expected["map_area"]), abs=1e-9
    )
    assert np.mean(eleven) > 0.85
