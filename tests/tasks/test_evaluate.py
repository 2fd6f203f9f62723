"""`evaluate`: confusion matrices to the pixel, score.py's lines, several heads, several processes, the page."""

from __future__ import annotations

import json
import os
import re
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netcompile.data.images import read_labels
from netcompile.tasks.segmentation.metrics import confusion, python2_float, score_lines, scores
from tests import ranks
from tests.data.test_datasets import matfile
from tests.runtime.conftest import picture


def by_hand(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    matrix = np.zeros((classes, classes), np.int64)
    for t, p in zip(truth.ravel(), predicted.ravel(), strict=True):
        if t < classes:
            matrix[t, p] += 1
    return matrix


def expected(voc: Path, pixels) -> np.ndarray:
    matrix = np.zeros((3, 3), np.int64)
    for index in range(5):
        truth = read_labels(voc / "SegmentationClass" / f"x{index}.png")
        matrix += by_hand(truth, pixels.labels(picture(index)), 3)
    return matrix


# --- the numbers


def test_scores_leave_out_what_is_not_there():
    matrix = np.array([[6, 2, 0, 0], [1, 3, 0, 2], [0, 0, 0, 0], [0, 0, 0, 0]])
    found = scores(matrix)
    assert found.overall_accuracy == 9 / 14
    assert found.accuracy[:2] == (6 / 8, 3 / 6)
    assert np.isnan(found.accuracy[2:]).all()
    assert found.mean_accuracy == pytest.approx((6 / 8 + 3 / 6) / 2)
    assert found.iu[:2] == (6 / 9, 3 / 8)
    assert (np.isnan(found.iu[2]), found.iu[3]) == (True, 0.0)
    assert found.mean_iu == pytest.approx((6 / 9 + 3 / 8 + 0) / 3)
    assert found.mean_iu_present == pytest.approx((6 / 9 + 3 / 8) / 2)
    assert found.fwavacc == pytest.approx(8 / 14 * 6 / 9 + 6 / 14 * 3 / 8)
    assert np.isnan(scores(np.zeros((2, 2), np.int64)).overall_accuracy)


def test_confusion_counts_as_a_loop_does():
    random = np.random.RandomState(0)
    truth, predicted = random.randint(0, 9, (20, 30)), random.randint(0, 5, (20, 30))
    truth[truth == 8] = 255
    assert np.array_equal(confusion(truth, predicted, 5), by_hand(truth, predicted, 5))
    assert confusion(truth, predicted, 5).dtype == np.int64


@pytest.mark.parametrize(
    ("value", "text"), [(2 / 3, "0.666666666667"), (1.0, "1.0"), (1e-7, "1e-07"), (float("nan"), "nan"), (0.5, "0.5")]
)
def test_numbers_as_python_2_prints_them(value, text):
    assert python2_float(value) == text


def test_the_loss_line_comes_first():
    lines = score_lines(scores(np.eye(2, dtype=int)), datetime(2016, 1, 2, 3, 4, 5, 678), 4000, 12345.678901234)
    assert lines == (
        ">>> 2016-01-02 03:04:05.000678 Begin seg tests\n"
        ">>> 2016-01-02 03:04:05.000678 Iteration 4000 loss 12345.6789012\n"
        ">>> 2016-01-02 03:04:05.000678 Iteration 4000 overall accuracy 1.0\n"
        ">>> 2016-01-02 03:04:05.000678 Iteration 4000 mean accuracy 1.0\n"
        ">>> 2016-01-02 03:04:05.000678 Iteration 4000 mean IU 1.0\n"
        ">>> 2016-01-02 03:04:05.000678 Iteration 4000 fwavacc 1.0\n"
    )


# --- the command


def test_the_confusion_matrix_is_exact(netcompile, pixels, voc, tmp_path):
    out = tmp_path / "out"
    done = netcompile("evaluate", pixels.net, "--weights", pixels.weights, "--data", voc, "-o", out)
    assert (done.code, done.err) == (0, "")
    matrix = expected(voc, pixels)
    with np.load(out / "confusion.npz") as archive:
        assert archive["score"].dtype == np.int64
        assert np.array_equal(archive["score"], matrix)
    found = scores(matrix)
    head = json.loads((out / "scores.json").read_text())["heads"][0]
    assert head["hist"] == matrix.tolist()
    assert (head["mean_iu"], head["fwavacc"], head["iu"]) == (found.mean_iu, found.fwavacc, list(found.iu))
    stamp = r">>> \d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{6})? "
    lines = done.out.splitlines()
    assert re.fullmatch(stamp + "Begin seg tests", lines[0])
    for line, (name, value) in zip(
        lines[1:5],
        [("overall accuracy", found.overall_accuracy), ("mean accuracy", found.mean_accuracy),
         ("mean IU", found.mean_iu), ("fwavacc", found.fwavacc)],
        strict=True,
    ):  # fmt: skip
        assert re.fullmatch(stamp + f"Iteration 1200 {name} {re.escape(python2_float(value))}", line)


def test_with_the_loss_of_the_net(netcompile, pixels, voc):
    done = netcompile("evaluate", pixels.net, "--weights", pixels.weights, "--data", voc, "--with-loss", "--json")
    assert done.code == 0, done.err
    losses = []
    for index in range(5):
        score = pixels.scores(picture(index)).astype(np.float64)
        logs = score - score.max(0) - np.log(np.exp(score - score.max(0)).sum(0))
        truth = read_labels(voc / "SegmentationClass" / f"x{index}.png")
        rows, columns = np.nonzero(truth != 255)
        losses.append(-np.maximum(logs[truth[rows, columns], rows, columns], np.log(np.float32(1.17549435e-38))).sum())
    assert done.json["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert done.json["heads"][0]["hist"] == expected(voc, pixels).tolist()


def test_lists_of_files(netcompile, pixels, voc, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"/JPEGImages/x{i}.png /SegmentationClass/x{i}.png\n" for i in range(5)))
    done = netcompile(
        "evaluate", pixels.net, "--weights", pixels.weights, "--data", listed, "--root", voc, "--json", "--classes",
        "sift-flow-geometric",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["heads"][0]["hist"] == expected(voc, pixels).tolist()
    assert done.json["heads"][0]["classes"] == ["sky", "horizontal", "vertical"]


TWO = """\
layer { name: "geo" type: "Convolution" bottom: "data" top: "geo" convolution_param { num_output: 3 kernel_size: 1 } }
"""


def test_two_heads_on_sift_flow(netcompile, pixels, tmp_path):
    """Labels from MATLAB files start at 1; 0, and −1 among the geometric ones, do not count."""
    folder = "spatial_envelope_256x256_static_8outdoorcategories"
    root = tmp_path / "sift-flow"
    for kind in ("Images", "SemanticLabels", "GeoLabels"):
        (root / kind / folder).mkdir(parents=True)
    semantic, geometric = np.zeros((2, 3, 3), np.int64)
    for index in range(2):
        rgb = picture(index)
        Image.fromarray(rgb).save(root / "Images" / folder / f"a{index}.jpg", quality=95)
        with Image.open(root / "Images" / folder / f"a{index}.jpg") as image:
            predicted = pixels.labels(np.asarray(image))
        truth = np.random.RandomState(index).randint(0, 4, rgb.shape[:2])
        other = np.random.RandomState(index + 9).choice([-1, 1, 2, 3], rgb.shape[:2])
        (root / "SemanticLabels" / folder / f"a{index}.mat").write_bytes(matfile("S", truth.astype(float)))
        (root / "GeoLabels" / folder / f"a{index}.mat").write_bytes(matfile("S", other.astype(np.int16)))
        semantic += by_hand(np.where(truth > 0, truth - 1, 255), predicted, 3)
        geometric += by_hand(np.where(other > 0, other - 1, 255), predicted, 3)
    (root / "test.txt").write_text("a0\na1\n")
    net = tmp_path / "two.prototxt"
    net.write_text(pixels.net.read_text().replace('"score"', '"score_sem"') + TWO)
    from netcompile.surgery import read_weights, write_weights

    blobs = read_weights(pixels.weights)["score"]
    write_weights(tmp_path / "two.caffemodel", {"score_sem": blobs, "geo": blobs})
    done = netcompile("evaluate", net, "--weights", tmp_path / "two.caffemodel", "--data", root, "--json")
    assert done.code == 0, done.err
    heads = {head["output"]: head for head in done.json["heads"]}
    assert heads["score_sem"]["hist"] == semantic.tolist()
    assert heads["geo"]["hist"] == geometric.tolist()
    assert (heads["score_sem"]["label"], heads["geo"]["label"]) == ("sem", "geo")
    assert heads["geo"]["classes"] == ["sky", "horizontal", "vertical"]


def test_samples_that_cannot_be_scored(netcompile, pixels, voc):
    (voc / "JPEGImages/x0.png").write_bytes(b"no image")
    os.unlink(voc / "SegmentationClass/x1.png")
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(voc / "SegmentationClass/x2.png")
    done = netcompile("evaluate", pixels.net, "--weights", pixels.weights, "--data", voc, "--json")
    assert done.code == 1
    assert (done.json["images"], done.json["broken"]) == (2, 3)
    assert "x1.png is skipped\n  why: its labels cannot be read: No such file or directory" in done.err
    assert "x2.png is skipped\n  why: output 'score' is 12×9, the label map 5×5" in done.err


@pytest.mark.parametrize(
    ("change", "code", "what"),
    [
        (("--data", "nowhere"), 2, "error[no-such-file]: there is no data set 'nowhere'"),
        (("--split", "test"), 2, "error[data-set]: there is no split 'test'"),
        (("--classes", "pascal"), 2, "error[class-names]: 'pascal' names 21 classes, the net has 3"),
        (("--classes", "none.txt"), 2, "error[class-names]: there is no list of classes 'none.txt'"),
    ],
)
def test_refusals(netcompile, pixels, voc, change, code, what):
    done = netcompile("evaluate", pixels.net, "--weights", pixels.weights, "--data", voc, *change)
    assert (done.code, what in done.err) == (code, True), done.err


def test_the_page_is_self_contained_and_escaped(netcompile, pixels, voc, tmp_path):
    evil = "<script>alert('x')</script>"
    classes = tmp_path / "classes.txt"
    classes.write_text(f"a\n{evil}\nc\n")
    out = tmp_path / "out"
    netcompile(
        "evaluate",
        pixels.net,
        "--weights",
        pixels.weights,
        "--data",
        voc,
        "-o",
        out,
        "--classes",
        classes,
        "--worst",
        3,
    )
    page = (out / "report.html").read_text()
    assert evil not in page
    assert "&lt;script&gt;" in page
    assert "Content-Security-Policy" in page
    assert "img-src data:" in page
    assert not re.search(r"""(?:src|href)="(?!data:image/)|style="|<script|@import|url\(""", page)
    assert page.count("<figure>") == 3
    assert page.count('<img src="data:image/png;base64,') == 12
    worst = re.findall(r"<figcaption><b>(x\d)</b>", page)
    ius = []
    for index in range(5):
        truth = read_labels(voc / "SegmentationClass" / f"x{index}.png")
        ius.append((scores(by_hand(truth, pixels.labels(picture(index)), 3)).mean_iu, f"x{index}"))
    assert worst == [name for _, name in sorted(ius)[:3]]


def test_the_demo_scores_as_caffe_scored_it(netcompile, shapes):
    """The small FCN-8s that real Caffe trained: every one of its 32 × 128 × 96 pixels, and its JSON's means."""
    known = json.loads((shapes / "expected.json").read_text())
    done = netcompile(
        "evaluate", "shapes-fcn8s/deploy.prototxt", "--weights", "shapes-fcn8s.caffemodel", "--data", shapes / "VOC",
        "--mean", ",".join(map(str, known["mean_bgr"])), "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    head = done.json["heads"][0]
    assert np.abs(np.array(head["hist"]) - known["hist"]).sum() <= 20  # of 489308: ties of float32 sums, if any
    for ours, theirs in (("overall_accuracy",) * 2, ("mean_accuracy",) * 2, ("mean_iu",) * 2):
        assert head[ours] == pytest.approx(known[theirs], abs=5e-4)
    assert head["iu"] == pytest.approx(known["iu"], abs=5e-4)


def test_three_processes_count_as_one(netcompile, pixels, voc, tmp_path):
    out = tmp_path / "out"
    call = [
        "-m",
        "netcompile",
        "evaluate",
        pixels.net,
        "--weights",
        pixels.weights,
        "--data",
        voc,
        "-o",
        out,
        "--with-loss",
    ]
    done = ranks.run(3, *call)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Begin seg tests") == 1
    alone = netcompile(*map(str, call[2:-3]), "--with-loss", "--json").json
    assert json.loads((out / "scores.json").read_text()) == alone


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("x0.png 2", "none of the 1 label maps of {list} is there\n  why: no {folder}/2\n"),
        ("x0.png x0.xml", "{list}: entry 1 is not of the form IMAGE LABELS\n  why: x0.xml says where boxes are"),
    ],
)
def test_lists_of_other_tasks(netcompile, pixels, voc, line, what):
    listed = voc / "JPEGImages" / "list.txt"
    listed.write_text(f"{line}\n")
    done = netcompile("evaluate", pixels.net, "--weights", pixels.weights, "--data", listed)
    assert done.code == 2
    assert "error[data-set]: " + what.format(list=listed, folder=listed.parent) in done.err


def test_pixels_that_a_crop_left_out_do_not_count(netcompile, pixels, voc):
    """The net sees each pixel by itself, so that inside the crop the answer is what it is without one."""
    call = ("evaluate", pixels.net, "--weights", pixels.weights, "--data", voc, "--json")
    done = netcompile(*call, "--crop", "4x6")
    assert done.code == 0, done.err
    total = np.zeros((3, 3), np.int64)
    for index in range(5):
        truth, labels = read_labels(voc / "SegmentationClass" / f"x{index}.png"), pixels.labels(picture(index))
        top, left = (truth.shape[0] - 4) // 2, (truth.shape[1] - 6) // 2
        here = slice(top, top + 4), slice(left, left + 6)
        total += by_hand(truth[here], labels[here], 3)
    assert done.json["heads"][0]["hist"] == total.tolist()
