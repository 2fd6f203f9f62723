"""`predict` and `evaluate` of boxes: a net that finds red and green cells, and an R-CNN with drawn weights."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netcompile.data.resizing import resized
from netcompile.surgery import write_weights
from tests import ranks
from tests.data import lmdb_files
from tests.tasks.detection.nets import cells, write_rcnn, write_ssd
from tests.tasks.detection.oracles import average_precisions, curve, rcnn

NAMES = ("background", "red", "green")
COLOURS = {1: (250, 20, 10), 2: (10, 200, 30)}
FAINT = {1: (140, 80, 80), 2: (90, 140, 80)}
PLAIN = ("--mean", "0", "--scale", 1 / 255)


def scene(seed: int, repeat: int = 1) -> tuple[np.ndarray, list[tuple[int, tuple[int, int], bool]]]:
    """An image of 4 × 4 cells of 8 · `repeat` pixels, some coloured, some faintly; and those of its cells that are
    objects: label, (column, row), difficult. Some objects have no colour, some colours are no objects."""
    random = np.random.default_rng(seed)
    image, objects = np.full((4, 4, 3), 60, np.uint8), []
    for place in random.permutation(16)[:6].tolist():
        row, column = divmod(place, 4)
        label, luck = int(random.integers(1, 3)), random.uniform()
        if luck > 0.15:
            image[row, column] = (COLOURS if luck > 0.5 else FAINT)[label]
            image[row, column, 2] += place  # no two scores are the same
        if luck < 0.8:
            objects.append((label, (column, row), bool(luck > 0.7)))
    return image.repeat(8 * repeat, 0).repeat(8 * repeat, 1), objects


@pytest.fixture
def ssd(tmp_path: Path) -> tuple[Any, ...]:
    net, weights = write_ssd(tmp_path)
    return net, "--weights", weights, *PLAIN


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    path = tmp_path / "labelmap.prototxt"
    path.write_text(
        'item { name: "2" label: 2 display_name: "green" }\nitem { name: "1" label: 1 display_name: "red" }\n'
    )
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    """All detections of a file, each with its image."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [{"image": one["image"], **box} for one in found for box in one["detections"]]


# --- predict


def test_boxes_are_those_of_numpy(netcompile, ssd, classes, tmp_path):
    """An image of twice the net's size, and one that is wider than high: boxes are in pixels of the image."""
    image, _ = scene(3, repeat=2)
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(image.repeat(2, 1)).save(tmp_path / "wide.png")
    found = netcompile(
        "predict", *ssd, tmp_path / "a.png", tmp_path / "wide.png", "-o", tmp_path / "out", "--classes", classes
    )
    assert found.code == 0, found.err
    assert "every image is resized to 32x32" in found.err
    expected = cells(image[::2, ::2])
    assert len(expected) >= 4
    rows = lines(tmp_path / "out" / "detections.jsonl")
    for name, across in (("a.png", 16), ("wide.png", 32)):
        own = [row for row in rows if row["image"] == str(tmp_path / name)]
        assert [(row["class"], row["name"]) for row in own] == [(label, NAMES[label]) for label, _, _ in expected]
        np.testing.assert_allclose([row["score"] for row in own], [score for _, score, _ in expected], atol=2e-6)
        sides = np.array([box for *_, box in expected]) * [across, 16, across, 16]
        np.testing.assert_allclose([row["box"] for row in own], sides, atol=0.011)
    record = json.loads((tmp_path / "out" / "boxes" / "wide.json").read_text())
    assert (record["height"], record["width"], record["resized"]) == (64, 128, [32, 32])
    with Image.open(tmp_path / "out" / "overlays" / "wide.png") as drawing:
        assert drawing.size == (128, 64)
        assert (np.asarray(drawing) != image.repeat(2, 1)).any()
    best = expected[0]
    assert f"{best[1]:.4f}"[:5] in found.out
    assert NAMES[best[0]] in found.out


def test_formats_of_results(netcompile, ssd, classes, tmp_path):
    image, _ = scene(3)
    Image.fromarray(image).save(tmp_path / "000000000042.png")
    out = tmp_path / "out"
    found = netcompile(
        "predict", *ssd, tmp_path / "000000000042.png", "-o", out, "--classes", classes, "--voc", "--coco",
        "--no-overlays", "--min-score", "0.5",
    )  # fmt: skip
    assert found.code == 0, found.err
    expected = [row for row in cells(image) if row[1] >= 0.5]
    assert 0 < len(expected) < len(cells(image))
    assert sorted(os.listdir(out / "voc")) == ["comp4_det_test_green.txt", "comp4_det_test_red.txt"]
    assert not (out / "overlays").exists()
    red = (out / "voc" / "comp4_det_test_red.txt").read_text().splitlines()
    boxes = [[8 * side for side in box] for label, _, box in expected if label == 1]
    assert [[round(float(side)) for side in row.split()[2:]] for row in red] == boxes
    assert all(row.startswith("000000000042 0.") for row in red)
    coco = json.loads((out / "coco.json").read_text())
    assert [(row["image_id"], row["category_id"]) for row in coco] == [(42, label) for label, _, _ in expected]
    assert all(round(row["bbox"][2]) == round(row["bbox"][3]) == 8 for row in coco)


def test_a_second_run_leaves_what_is_there(netcompile, ssd, tmp_path):
    Image.fromarray(scene(3)[0]).save(tmp_path / "a.png")
    call = ("predict", *ssd, tmp_path / "a.png", "-o", tmp_path / "out")
    assert netcompile(*call).code == 0
    before = (tmp_path / "out" / "detections.jsonl").read_text()
    assert "1 were there before" in netcompile(*call).out
    assert (tmp_path / "out" / "detections.jsonl").read_text() == before
    assert "wrote 1 of 1" in netcompile(*call, "--min-score", "0.9").out


def test_an_image_without_anything(netcompile, ssd, tmp_path):
    Image.new("RGB", (50, 40), (60, 60, 60)).save(tmp_path / "a.png")
    found = netcompile("predict", *ssd, tmp_path / "a.png", "-o", tmp_path / "out", "--voc", "--coco")
    assert found.code == 0, found.err
    assert lines(tmp_path / "out" / "detections.jsonl") == []
    assert json.loads((tmp_path / "out" / "coco.json").read_text()) == []
    assert json.loads((tmp_path / "out" / "boxes" / "a.json").read_text())["detections"] == []


SIZES = [(1, 1), (7, 4000), (4000, 7), (33, 31)]


@pytest.mark.parametrize("size", SIZES)
def test_boxes_stay_within_any_image(netcompile, ssd, tmp_path, size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    pixels[: size[0] // 2 + 1] = COLOURS[1]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert netcompile("predict", *ssd, tmp_path / "a.png", "-o", tmp_path / "out").code == 0
    rows = lines(tmp_path / "out" / "detections.jsonl")
    assert rows
    for row in rows:
        x0, y0, x1, y1 = row["box"]
        assert 0 <= x0 <= x1 <= size[1]
        assert 0 <= y0 <= y1 <= size[0]
    with Image.open(tmp_path / "out" / "overlays" / "a.png") as drawing:
        assert drawing.size == size[::-1]


def test_an_image_that_is_fitted_in(netcompile, ssd, tmp_path):
    """64 × 32 pixels become 32 × 16 in the middle rows of the input: boxes are in pixels of the image all the same."""
    small, _ = scene(5)
    strip = small[8:24]  # the two middle rows of cells
    Image.fromarray(strip.repeat(2, 0).repeat(2, 1)).save(tmp_path / "a.png")
    found = netcompile("predict", *ssd, tmp_path / "a.png", "-o", tmp_path / "out", "--resize", "fit")
    assert found.code == 0, found.err
    whole = np.zeros((32, 32, 3), np.uint8)
    whole[8:24] = strip
    expected = [row for row in cells(whole) if 1 <= row[2][1] < 3]
    assert len(expected) >= 2
    rows = lines(tmp_path / "out" / "detections.jsonl")
    assert [row["class"] for row in rows] == [label for label, _, _ in expected]
    sides = np.array([box for *_, box in expected]) * 16 - [0, 16, 0, 16]
    np.testing.assert_allclose([row["box"] for row in rows], sides, atol=0.011)
    record = json.loads((tmp_path / "out" / "boxes" / "a.json").read_text())
    assert (record["resized"], record["crop"]) == ([16, 32], [-8, 0, 32, 32])


def test_an_image_that_lies_on_its_side(netcompile, ssd, tmp_path):
    """Its EXIF tag turns it: boxes are in pixels of the upright image, as the overlay shows it."""
    upright, _ = scene(3)
    upright = upright[:, :24]
    turned, tag = Image.fromarray(np.rot90(upright)), Image.Exif()
    tag[0x0112] = 6  # shown a quarter turned to the right
    Image.fromarray(upright).save(tmp_path / "upright.png")
    turned.save(tmp_path / "turned.png", exif=tag)
    found = netcompile("predict", *ssd, tmp_path / "upright.png", tmp_path / "turned.png", "-o", tmp_path / "out")
    assert found.code == 0, found.err
    rows = lines(tmp_path / "out" / "detections.jsonl")
    by_image = [[{**row, "image": ""} for row in rows if name in row["image"]] for name in ("upright", "turned")]
    assert by_image[0] == by_image[1] != []


YOLO = """\
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 32 dim: 32 } } }
layer { name: "cells" type: "Pooling" bottom: "data" top: "cells" pooling_param { pool: AVE kernel_size: 8 stride: 8 } }
layer { name: "maps" type: "Convolution" bottom: "cells" top: "maps"
  convolution_param { num_output: 7 kernel_size: 1 } }
layer { name: "found" type: "YoloDetectionOutput" bottom: "maps" top: "found"
  yolo_detection_output_param { num_classes: 2 side: 4 num_box: 1 confidence_threshold: 0.25 nms_threshold: 0.45
    biases: 1 biases: 2 FORM } }
"""


@pytest.mark.parametrize(("form", "first"), [("", 1), ("ssd_format: true", 1), ("ssd_format: false", 0)])
def test_rows_of_yolo(netcompile, tmp_path, form, first):
    """Three forms of a row: MobileNet-YOLO's, and those of OpenCL Caffe with corners and with centre and size.

    Boxes are a cell wide and two cells high around the middle of their cell; class 0 is red, 1 is green.
    """
    net, weights = tmp_path / "yolo.prototxt", tmp_path / "yolo.caffemodel"
    net.write_text(YOLO.replace("FORM", form))
    kernel = np.zeros((7, 3), np.float32)  # x, y, width, height, objectness, red, green; from B, G, R
    kernel[4:] = [[0, 10, 10], [0, 0, 10], [0, 10, 0]]
    bias = np.array([0, 0, 0, 0, -6, 0, 0], np.float32)
    write_weights(weights, {"maps": (kernel.reshape(7, 3, 1, 1), bias)})
    rgb, _ = scene(3)
    Image.fromarray(rgb).save(tmp_path / "a.png")
    call = ("predict", net, "--weights", weights, *PLAIN, tmp_path / "a.png", "-o", tmp_path / "out")
    assert netcompile(*call).code == 0
    expected = []
    for row in range(4):
        for column in range(4):
            values = kernel @ (rgb[8 * row, 8 * column, ::-1] / 255) + bias
            chances = np.exp(values[5:]) / np.exp(values[5:]).sum()
            score = chances.max() / (1 + np.exp(-values[4]))
            if score >= 0.25:
                top, bottom = max(0, 8 * row - 4), min(32, 8 * row + 12)
                expected.append((int(chances.argmax()) + first, score, [8 * column, top, 8 * column + 8, bottom]))
    rows = lines(tmp_path / "out" / "detections.jsonl")
    expected.sort(key=lambda one: -one[1])
    assert len(expected) >= 3
    assert [one["class"] for one in rows] == [label for label, _, _ in expected]
    np.testing.assert_allclose([one["score"] for one in rows], [score for _, score, _ in expected], atol=2e-6)
    np.testing.assert_allclose([one["box"] for one in rows], [box for *_, box in expected], atol=0.011)
    named = tmp_path / "names.txt"
    named.write_text("red\ngreen\n")
    assert netcompile(*call, "--classes", named).code == 0
    rows = lines(tmp_path / "out" / "detections.jsonl")
    assert [one["name"] for one in rows] == [("red", "green")[label - first] for label, _, _ in expected]


def test_a_build_says_the_same(netcompile, ssd, classes, tmp_path):
    Image.fromarray(scene(3, repeat=2)[0]).save(tmp_path / "a.png")
    net, flag, weights, *plain = ssd
    assert netcompile("build", net, flag, weights, "-o", tmp_path / "build").code == 0
    rows = []
    for source in ((net, flag, weights), (tmp_path / "build",)):
        found = netcompile("predict", *source, *plain, tmp_path / "a.png", "-o", tmp_path / "out", "--classes", classes)
        assert found.code == 0, found.err
        rows.append(lines(tmp_path / "out" / "detections.jsonl"))
    assert rows[0] == rows[1] != []
    too_many = netcompile(
        "predict", tmp_path / "build", tmp_path / "a.png", "-o", tmp_path / "out", "--classes", "coco"
    )
    assert too_many.code == 2
    assert "'coco' names 80 classes, the net has 3" in too_many.err


def test_what_is_no_use(netcompile, ssd, tmp_path):
    Image.fromarray(scene(3)[0]).save(tmp_path / "a.png")
    call = ("predict", *ssd, tmp_path / "a.png", "-o", tmp_path / "out")
    for more, message in (
        (("--nms", "0.5"), "--nms is for R-CNN: the net's last layer has suppressed boxes already"),
        (("--oversample",), "--oversample is a mean over crops, and no use for boxes of objects"),
        (("--min-score", "2"), "'2' is no number between 0 and 1"),
        (("--classes", "voc"), "'voc' names 21 classes, the net has 3"),
    ):
        found = netcompile(*call, *more)
        assert (found.code, message in found.err) == (2, True), found.err


# --- R-CNN


def test_rcnn_is_that_of_loops(netcompile, tmp_path):
    """Twice enlarged to a short side of 600: the net's own three outputs, judged by loops over boxes."""
    net, weights = write_rcnn(tmp_path)
    pixels = np.random.default_rng(1).integers(0, 256, (300, 400, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    call = (net, "--weights", weights)
    found = netcompile(
        "predict", *call, "--mean", "127,128,129", tmp_path / "a.png", "-o", tmp_path / "out", "--nms", "0.4"
    )
    assert found.code == 0, found.err
    assert "every image is resized to short=600,max=1000" in found.err
    blob = resized(pixels[:, :, ::-1].transpose(2, 0, 1), 600, 800).astype(np.float32) - np.reshape(
        [127, 128, 129], (3, 1, 1)
    )
    arrays = {"data": blob[None].astype(np.float32), "im_info": np.array([[600, 800, 2]], np.float32)}
    np.savez(tmp_path / "in.npz", **arrays)
    outputs = ("--output", "chances", "--output", "moved", "--output", "where")
    ran = netcompile("run", *call, "--inputs", tmp_path / "in.npz", "--out", tmp_path / "raw.npz", *outputs)
    assert ran.code == 0, ran.err
    with np.load(tmp_path / "raw.npz") as raw:
        regions, scores, moved = (raw[name].astype(float).tolist() for name in ("where", "chances", "moved"))
    expected = rcnn(regions, scores, moved, (300, 400), 2.0, 0.05, 0.4, 100)
    assert len(expected) >= 100
    rows = lines(tmp_path / "out" / "detections.jsonl")
    ranked = sorted(expected, key=lambda row: -row[1])
    assert [row["class"] for row in rows] == [label for label, _, _ in ranked]
    np.testing.assert_allclose([row["score"] for row in rows], [score for _, score, _ in ranked], atol=1e-5)
    np.testing.assert_allclose([row["box"] for row in rows], [box for *_, box in ranked], atol=0.02)


def test_a_build_of_an_rcnn_needs_its_regions(netcompile, tmp_path):
    net, weights = write_rcnn(tmp_path)
    Image.new("RGB", (64, 48), (9, 90, 200)).save(tmp_path / "a.png")
    assert netcompile("build", net, "--weights", weights, "-o", tmp_path / "b").code == 0
    found = netcompile("predict", tmp_path / "b", tmp_path / "a.png", "-o", tmp_path / "out")
    assert found.code == 2
    assert "the build gives 'chances' and 'moved', and not the regions that they are of" in found.err
    outputs = ("--output", "chances", "--output", "moved", "--output", "where")
    assert netcompile("build", net, "--weights", weights, "-o", tmp_path / "b2", *outputs).code == 0
    found = netcompile("predict", tmp_path / "b2", tmp_path / "a.png", "-o", tmp_path / "out")
    assert found.code == 0, found.err
    assert lines(tmp_path / "out" / "detections.jsonl")


# --- evaluate


def expected_scores(images: list[tuple[list[Any], list[Any]]], border: int) -> dict[str, list[float]]:
    """For each class the average precisions, by fractions."""
    made = {}
    for label in (1, 2):
        right, positives = curve(images, label, Fraction(1, 2), border)
        made[NAMES[label]] = [float(value) for value in average_precisions(right, positives)]
        made[NAMES[label]] += [positives, len(right), sum(right)]
    return made


def check(scores: dict[str, Any], images: list[tuple[list[Any], list[Any]]], border: int) -> None:
    expected = expected_scores(images, border)
    kinds = ("eleven_point", "area", "integral", "boxes", "found", "right")
    for one in scores["classes"]:
        assert [one[kind] for kind in kinds] == pytest.approx(expected[one["name"]], rel=1e-12)
    for index, kind in enumerate(kinds[:3]):
        assert scores["mean_ap"][kind] == pytest.approx((expected["red"][index] + expected["green"][index]) / 2)
    assert 0.2 < scores["mean_ap"]["area"] < 0.98
    assert scores["images"] == len(images)


def whole(box: list[float], size: int) -> list[int]:
    return [round(side * size) for side in box]


@pytest.fixture
def voc(tmp_path: Path) -> tuple[Path, list[tuple[list[Any], list[Any]]]]:
    """A folder in VOC's layout, and per image what the net finds and what is there, in VOC's numbers.

    SSD reads VOC's numbers as edges: cell (1, 0) is 8, 0, 16, 8 there.
    """
    root, images = tmp_path / "VOC2007", []
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for index in range(8):
        rgb, objects = scene(index)
        Image.fromarray(rgb).save(root / "JPEGImages" / f"{index:06}.png")
        rows, truth = "", []
        for label, (column, row), difficult in objects:
            box = [8 * column, 8 * row, 8 * column + 8, 8 * row + 8]
            truth.append((label, box, difficult))
            sides = "".join(
                f"<{side}>{value}</{side}>" for side, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
            )
            flags = f"<name>{NAMES[label]}</name><difficult>{difficult:d}</difficult>"
            rows += f"<object>{flags}<bndbox>{sides}</bndbox></object>"
        (root / "Annotations" / f"{index:06}.xml").write_text(f"<annotation>{rows}</annotation>")
        images.append(([(label, score, whole(box, 8)) for label, score, box in cells(rgb)], truth))
    (root / "ImageSets/Main/test.txt").write_text("".join(f"{index:06}\n" for index in range(8)))
    return root, images


def test_scores_on_voc(netcompile, ssd, classes, voc, tmp_path):
    root, images = voc
    out = tmp_path / "out"
    found = netcompile("evaluate", *ssd, "--data", root, "--classes", classes, "-o", out)
    assert found.code == 0, found.err
    scores = json.loads((out / "scores.json").read_text())
    assert (scores["task"], scores["data"], scores["overlap"], scores["broken"]) == ("detection", "VOC2007", 0.5, 0)
    check(scores, images, 1)
    mean = f"{100 * scores['mean_ap']['area']:.2f}"
    assert any(row.split()[:1] == ["mean"] and mean in row for row in found.out.splitlines())
    assert max(len(line) for line in found.out.splitlines() if not line.startswith("wrote ")) <= 80
    page = (out / "report.html").read_text()
    assert f"{mean} %" in page
    assert page.count("<figure>") >= 4
    rows = lines(out / "detections.jsonl")
    assert len(rows) == sum(len(own) for own, _ in images)
    strict = netcompile("evaluate", *ssd, "--data", root, "--classes", classes, "--overlap", "1", "--json").json
    assert strict["mean_ap"]["area"] < scores["mean_ap"]["area"] + 1e-9


def test_a_broken_image_is_left_out(netcompile, ssd, classes, voc):
    root, images = voc
    (root / "JPEGImages" / "000003.png").write_bytes(b"no image")
    found = netcompile("evaluate", *ssd, "--data", root, "--classes", classes, "--json")
    assert found.code == 1
    assert "000003.png is skipped" in found.err
    check(found.json, [own for index, own in enumerate(images) if index != 3], 1)


def test_three_processes_score_as_one(netcompile, ssd, classes, voc, tmp_path):
    root, _ = voc
    out = tmp_path / "out"
    call = ["evaluate", *map(str, ssd), "--data", str(root), "--classes", str(classes), "-o"]
    done = ranks.run(3, "-m", "netcompile", *call, out)
    assert done.returncode == 0, done.stderr
    alone = tmp_path / "alone"
    assert netcompile(*call, alone).code == 0
    for name in ("scores.json", "detections.jsonl", "report.html"):
        assert (out / name).read_bytes() == (alone / name).read_bytes(), name


def test_scores_on_a_data_base(netcompile, ssd, tmp_path):
    """SSD's AnnotatedDatums: boxes as parts of the image, labels as numbers, overlaps of edges."""
    records, images = [], []
    for index in range(8):
        rgb, objects = scene(index)
        groups: dict[int, list[dict[str, Any]]] = {}
        for label, (column, row), difficult in objects:
            sides = {"xmin": column / 4, "ymin": row / 4, "xmax": column / 4 + 0.25, "ymax": row / 4 + 0.25}
            groups.setdefault(label, []).append({**sides, "difficult": difficult})
        records.append(lmdb_files.annotated(lmdb_files.encoded(rgb), groups))
        truth = [(label, [8 * c, 8 * r, 8 * c + 8, 8 * r + 8], d) for label, (c, r), d in objects]
        images.append(([(label, score, whole(box, 8)) for label, score, box in cells(rgb)], truth))
    folder = lmdb_files.write(tmp_path / "test_lmdb", records)
    names = tmp_path / "names.txt"
    names.write_text("red\ngreen\n")
    found = netcompile("evaluate", *ssd, "--data", folder, "--classes", names, "--json")
    assert found.code == 0, found.err
    check(found.json, images, 0)
    numbered = netcompile("evaluate", *ssd, "--data", folder / "data.mdb", "--json").json
    assert [one["name"] for one in numbered["classes"]] == ["class 1", "class 2"]
    assert numbered["mean_ap"] == found.json["mean_ap"]
    records[2] = lmdb_files.annotated(lmdb_files.encoded(scene(2)[0]), {9: [{"xmax": 1.0, "ymax": 1.0}]})
    records[5] = b"\x0a\xff\xff"
    damaged = netcompile("evaluate", *ssd, "--data", lmdb_files.write(tmp_path / "bad_lmdb", records), "--json")
    assert damaged.code == 1
    assert "record 2 is skipped" in damaged.err
    assert "a box has the label 9, the net has 3 classes" in damaged.err
    assert "record 5 is skipped" in damaged.err
    assert damaged.json["images"] == 6


def test_scores_on_cocos_files(netcompile, ssd, classes, tmp_path, capsys):
    """What pycocotools reads from files that are written here, from the boxes that NumPy finds."""
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    folder, numbers = tmp_path / "val", {1: 70, 2: 3}
    folder.mkdir()
    whole_file: dict[str, list[Any]] = {
        "images": [], "annotations": [], "categories": [{"id": 70, "name": "red"}, {"id": 3, "name": "green"}]
    }  # fmt: skip
    results = []
    for index in range(6):
        rgb, objects = scene(index, repeat=4)
        Image.fromarray(rgb).save(folder / f"{index}.png")
        image = 100 - index
        whole_file["images"].append({"id": image, "file_name": f"{index}.png"})
        for label, (column, row), crowd in objects:
            box = [32 * column, 32 * row, 32, 32]
            whole_file["annotations"].append(
                {"id": len(whole_file["annotations"]) + 1, "image_id": image, "category_id": numbers[label],
                 "bbox": box, "area": 1024, "iscrowd": int(crowd)}
            )  # fmt: skip
        for label, score, (x, y, _, _) in cells(rgb[::4, ::4]):
            results.append(
                {"image_id": image, "category_id": numbers[label], "bbox": [32 * x, 32 * y, 32, 32], "score": score}
            )
    truth = tmp_path / "instances_val.json"
    truth.write_text(json.dumps(whole_file))
    (tmp_path / "results.json").write_text(json.dumps(results))
    true = COCO(str(truth))
    evaluation = COCOeval(true, true.loadRes(str(tmp_path / "results.json")), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    capsys.readouterr()
    found = netcompile("evaluate", *ssd, "--data", truth, "--classes", classes, "-o", tmp_path / "out", "--json")
    assert found.code == 0, found.err
    ours = list(found.json["coco"].values())
    theirs = [float(value) if value > -1 else None for value in evaluation.stats]
    assert [value is None for value in ours] == [value is None for value in theirs]
    assert [value or 0 for value in ours] == pytest.approx([value or 0 for value in theirs], rel=1e-9)
    assert 0.1 < ours[0] < 0.99
    assert set(found.json["classes"]) == {"red", "green"}
    text = netcompile("evaluate", *ssd, "--data", truth, "--classes", classes).out
    assert f"{100 * ours[0]:.2f}" in text
    assert f"{100 * ours[0]:.2f} %" in (tmp_path / "out" / "report.html").read_text()


def test_classes_that_do_not_fit(netcompile, ssd, voc, tmp_path):
    root, _ = voc
    call = ("evaluate", *ssd, "--data", root)
    nothing = netcompile(*call)
    assert nothing.code == 2
    assert "nothing says which of the net's classes are those of VOC2007: green, red" in nothing.err
    (tmp_path / "names.txt").write_text("red\ngreem\n")
    wrong = netcompile(*call, "--classes", tmp_path / "names.txt")
    assert wrong.code == 2
    assert "the data set has the class 'green', which is none of the net's" in wrong.err
    assert "did you mean 'greem'?" in wrong.err
    (tmp_path / "names.txt").write_text("Red\nGREEN\n")
    assert netcompile(*call, "--classes", tmp_path / "names.txt").code == 0
