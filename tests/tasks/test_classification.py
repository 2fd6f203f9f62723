"""Classes of images: a net whose scores are the mean of each colour, so that every number can be worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netcompile.data.preparation import Preparation, Resize
from netcompile.surgery import write_weights
from netcompile.tasks.classification.results import rank
from tests import ranks
from tests.data import lmdb_files

# Caffe's channels are BGR: class 0 is blue, 1 green, 2 red. Scores are means over the plane, divided by 50.
NET = """name: "colours"
layer {{ name: "d" type: "Input" top: "data" input_param {{ shape {{ dim: [1, 3, {size}, {size}] }} }} }}
layer {{ name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param {{ num_output: 3 }} }}
{tail}
"""
SOFTMAX = 'layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }'
LOSS = """layer { name: "l" type: "Data" top: "label" data_param { source: "x" batch_size: 1 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.prototxt"
    path.write_text(NET.format(size=8, tail=SOFTMAX))
    write_weights(tmp_path / "w.caffemodel", {"fc": (np.eye(3, dtype=np.float32) / 50, np.zeros(3, np.float32))})
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name, colour in {"red": (200, 10, 0), "green": (0, 90, 40), "blue": (30, 0, 60), "grey": (50, 50, 50)}.items():
        Image.new("RGB", (16, 12), colour).save(folder / f"{name}.png")
    return folder


def softmax(*scores: float) -> list[float]:
    exponents = np.exp(np.float64(scores))
    return list(exponents / exponents.sum())


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(netcompile, net: Path, images: Path, out: Path, *options):
    weights = net.parent / "w.caffemodel"
    return netcompile("predict", net, "--weights", weights, images, "-o", out, "--mean", "0", *options)


def test_probabilities_and_names(netcompile, net, images, tmp_path):
    (tmp_path / "synset_words.txt").write_text("n00000001 the sea\nn00000002 grass\nn00000003 fire\n")
    out = tmp_path / "out"
    done = run(netcompile, net, images, out, "--classes", tmp_path / "synset_words.txt", "--top", 2)
    assert done.code == 0
    assert done.err == (
        "classes of images: output 'prob' has 3 probabilities for each image (--task says otherwise)\n"
        "every image is resized to 8x8\n"
    )
    found = lines(out / "classes.jsonl")
    assert [Path(record["image"]).name for record in found] == ["blue.png", "green.png", "grey.png", "red.png"]
    prob = softmax(0 / 50, 10 / 50, 200 / 50)
    assert found[3]["top"] == [
        {"class": 2, "name": "fire", "score": pytest.approx(prob[2], abs=1e-6)},
        {"class": 1, "name": "grass", "score": pytest.approx(prob[1], abs=1e-6)},
    ]
    assert found[2]["top"][0] == {"class": 0, "name": "the sea", "score": pytest.approx(1 / 3, abs=1e-6)}  # the first
    assert found[0]["resized"] == [8, 8]
    assert f"red    {prob[2]:.4f}  2 fire\n" in done.out
    assert done.out.endswith(f"wrote 4 of 4 images to {out}\nwrote {out / 'classes.jsonl'}\n")


def test_scores_before_a_loss_become_probabilities(netcompile, net, images, tmp_path):
    net.write_text(NET.format(size=8, tail=LOSS))
    done = run(netcompile, net, images, tmp_path / "out")
    assert "output 'fc' has 3 scores for each image" in done.err
    (red,) = (record for record in lines(tmp_path / "out/classes.jsonl") if record["image"].endswith("red.png"))
    assert red["top"][0] == {"class": 2, "name": None, "score": pytest.approx(softmax(0, 0.2, 4)[2], abs=1e-6)}


def test_numbers_of_which_nothing_is_known_are_vectors(netcompile, net, images, tmp_path):
    net.write_text(NET.format(size=8, tail=""))
    done = run(netcompile, net, images, tmp_path / "out")
    assert done.err.startswith("vectors: 'fc' is a vector for each image (--task says otherwise)\n")
    with np.load(tmp_path / "out/raw/red.npz") as archive:
        assert archive["fc"] == pytest.approx([0, 0.2, 4], abs=1e-6)
    asked = run(netcompile, net, images, tmp_path / "classes", "--task", "classification")
    assert asked.code == 0
    assert len(lines(tmp_path / "classes/classes.jsonl")) == 4


def test_a_second_run_keeps_what_is_done(netcompile, net, images, tmp_path):
    out = tmp_path / "out"
    first = run(netcompile, net, images, out)
    before = (out / "classes.jsonl").read_bytes()
    (out / "classes/red.json").unlink()
    second = run(netcompile, net, images, out)
    assert f"wrote 1 of 4 images to {out}, 3 were there before\n" in second.out
    assert (out / "classes.jsonl").read_bytes() == before
    assert first.out.splitlines()[:6] == second.out.splitlines()[:6]


def test_a_build_gives_the_same(netcompile, net, images, tmp_path):
    run(netcompile, net, images, tmp_path / "a")
    netcompile("build", net, "--weights", tmp_path / "w.caffemodel", "-o", tmp_path / "build")
    done = netcompile("predict", tmp_path / "build", images, "-o", tmp_path / "b", "--mean", "0")
    assert done.code == 0
    assert (tmp_path / "a/classes.jsonl").read_text() == (tmp_path / "b/classes.jsonl").read_text()


def test_ten_crops(netcompile, net, images, tmp_path):
    """Left half red, right half blue: corners see one of them, the middle both; the mean is worked out from that."""
    pixels = np.zeros((12, 16, 3), np.uint8)
    pixels[:, :8, 0], pixels[:, 8:, 2] = 100, 100
    Image.fromarray(pixels).save(images / "halves.png")
    done = run(netcompile, net, images / "halves.png", tmp_path / "out", "--resize", "none", "--oversample")
    assert "every image is ten crops of 8x8\n" in done.err
    (record,) = lines(tmp_path / "out/classes.jsonl")
    one, both = softmax(0, 0, 2), softmax(1, 0, 1)
    red = (4 * one[2] + 4 * one[0] + 2 * both[2]) / 10
    assert record["top"][0]["score"] == pytest.approx(red, abs=1e-6)
    assert record["views"] == 10


def write_list(images: Path) -> Path:
    path = images / "val.txt"
    path.write_text("red.png 2\ngreen.png 1\nblue.png 0\ngrey.png 1\nbroken.png 2\n")
    (images / "broken.png").write_bytes(b"hello")
    return path


def test_evaluation(netcompile, net, images, tmp_path):
    call = ("evaluate", net, "--weights", tmp_path / "w.caffemodel", "--mean", "0", "--data", write_list(images))
    done = netcompile(*call, "-o", tmp_path / "scores", "--json")
    assert done.code == 1  # one is broken
    assert f"{images / 'broken.png'} is skipped\n  why: it is no image in a format known here" in done.err
    found = json.loads(done.out)
    assert found["task"] == "classification"
    assert (found["images"], found["broken"]) == (4, 1)
    # Of three equal scores the label's is beaten or equalled by two: wrong at first, right among five.
    assert (found["top1"], found["top5"]) == (0.75, 1.0)
    assert found["per_class"] == {"class 0": 1.0, "class 1": 0.5, "class 2": 1.0}
    assert found == json.loads((tmp_path / "scores/scores.json").read_text())
    with np.load(tmp_path / "scores/confusion.npz") as archive:
        assert archive["confusion"].tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    page = (tmp_path / "scores/report.html").read_text()
    assert '<b>grey.png</b><br><span class="quiet">class 0 33.33 %, and is class 1, 33.33 %</span>' in page
    text = netcompile(*call).out
    assert text.startswith("4 images of val.txt, 1 broken\ntop-1  75.00 %  (3 of 4)\ntop-5  100.00 %  (4 of 4)\n")


def test_folders_of_classes(netcompile, net, images, tmp_path):
    for name in ("blue", "green", "red"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (images / f"{name}.png").rename(tmp_path / "set" / name / "1.png")
    call = (
        "evaluate",
        net,
        "--weights",
        tmp_path / "w.caffemodel",
        "--mean",
        "0",
        "--data",
        tmp_path / "set",
        "--json",
    )
    found = json.loads(netcompile(*call).out)
    assert (found["top1"], found["per_class"]) == (1.0, {"blue": 1.0, "green": 1.0, "red": 1.0})


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("red.png\n", "val.txt: entry 1 is not of the form IMAGE LABEL\n  why: red.png"),
        ("red.png 2\nred.png x\n", "val.txt: entry 2 is not of the form IMAGE LABEL"),
        ("", "val.txt' has no labelled images"),
        ("no.png 1\n", "none of the 1 images of"),
    ],
)
def test_lists_that_are_none(netcompile, net, images, tmp_path, text, what):
    (images / "val.txt").write_text(text)
    done = netcompile("evaluate", net, "--weights", tmp_path / "w.caffemodel", "--data", images / "val.txt")
    assert (done.code, what in done.err) == (2, True), done.err


def test_classes_beyond_the_nets_are_reported(netcompile, net, images, tmp_path):
    (images / "val.txt").write_text("red.png 2\nblue.png 3\n")
    done = netcompile(
        "evaluate", net, "--weights", tmp_path / "w.caffemodel", "--mean", "0", "--data", images / "val.txt"
    )
    assert (done.code, "why: its class is 3, the net has 0 to 2" in done.err) == (1, True)


@pytest.mark.parametrize(
    ("scores", "label", "place"),
    [((1, 2, 3), 2, 0), ((1, 2, 3), 0, 2), ((3, 3, 1), 0, 1), ((np.nan, 1, 0), 1, 1), ((np.nan, 1, 0), 0, 2)],
)
def test_rank(scores, label, place):
    assert rank(np.float64(scores), label) == place


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        ('type: "ImageData" image_data_param { source: "x" batch_size: 1 new_height: 32 new_width: 40 } '
         "transform_param { crop_size: 24 }", Preparation(Resize("exact", 32, 40), (24, 24))),
        ('type: "ImageData" image_data_param { source: "x" batch_size: 1 new_height: 32 new_width: 40 }',
         Preparation(Resize("exact", 32, 40))),
        ('type: "Data" data_param { source: "x" batch_size: 1 } transform_param { crop_size: 24 }',
         Preparation(Resize("exact", 24, 24))),
        ('type: "Data" data_param { source: "x" batch_size: 1 } transform_param { crop_size: 24 resize_param '
         "{ prob: 1 resize_mode: FIT_SMALL_SIZE height: 28 width: 28 } }",
         Preparation(Resize("short", 28, 28), (24, 24))),
    ],
)  # fmt: skip
def test_the_data_layer_says_how_images_are_prepared(netcompile, net, images, tmp_path, layer, expected):
    text = net.read_text().split("\n", 2)
    net.write_text(f'{text[0]}\nlayer {{ name: "d" top: "data" {layer} }}\n{text[2]}')
    done = run(netcompile, net, images, tmp_path / "out")
    assert f"every image is {expected.text()}\n" in done.err


def records(folder: Path) -> Path:
    """Six images of one colour in an LMDB, the last of a class that the net has not."""
    kind = lmdb_files.message("Datum")
    values = []
    for label, colour in ((2, (0, 10, 200)), (1, (40, 90, 0)), (0, (60, 0, 30)), (1, (50, 50, 50)), (0, (0, 0, 90))):
        pixels = np.broadcast_to(np.uint8(colour)[:, None, None], (3, 12, 16))
        values.append(kind(channels=3, height=12, width=16, data=pixels.tobytes(), label=label).SerializeToString())
    values.append(kind(channels=3, height=12, width=16, data=pixels.tobytes(), label=9).SerializeToString())
    return lmdb_files.write(folder, values)


def test_evaluation_on_a_data_base(netcompile, net, tmp_path):
    call = ("evaluate", net, "--weights", tmp_path / "w.caffemodel", "--mean", "0", "--data", records(tmp_path / "db"))
    done = netcompile(*call, "--json")
    assert done.code == 1
    assert "\n  why: its class is 9, the net has 0 to 2\n" in done.err
    found = json.loads(done.out)
    assert (found["images"], found["broken"], found["right"]) == (5, 1, [1, 1, 1])
    assert (found["top1"], found["counts"]) == (0.6, [2, 2, 1])


@pytest.mark.parametrize("count", [2, 3])
def test_evaluation_by_several_processes(netcompile, net, images, tmp_path, count):
    """Of a list with a broken image, and of a data base: the same files to the byte."""
    common = ["evaluate", str(net), "--weights", str(tmp_path / "w.caffemodel"), "--mean", "0", "--worst", "2"]
    sets = {"list": str(write_list(images)), "lmdb": str(records(tmp_path / "db"))}
    for name, data in sets.items():
        assert netcompile(*common, "--data", data, "-o", tmp_path / name / "one").code == 1
    calls = [[*common, "--data", data, "-o", str(tmp_path / name / "many")] for name, data in sets.items()]
    program = tmp_path / "all.py"
    program.write_text(
        "from netcompile.cli.main import main\nfrom netcompile.runtime.processes import processes\n"
        f"with processes():\n    for call in {calls!r}:\n        assert main(call) == 1\n"
    )
    done = ranks.run(count, program)
    assert done.returncode == 0, done.stderr
    for name in sets:
        one, many = ({p.name: p.read_bytes() for p in (tmp_path / name / of).iterdir()} for of in ("one", "many"))
        assert set(one) == {"scores.json", "report.html", "confusion.npz"}
        assert one == many, name


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (
            ("JPEGImages", "a", "b"),
            "has no folder for each class\n  why: it has JPEGImages, as data sets of label maps",
        ),
        (("a", "b"), "has 2 folders, the net 3 classes\n  why: the first folder by name is class 0"),
    ],
)
def test_folders_that_are_no_classes(netcompile, net, images, tmp_path, names, what):
    for name in names:
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "set" / name / "1.png")
    done = netcompile("evaluate", net, "--weights", tmp_path / "w.caffemodel", "--data", tmp_path / "set")
    assert done.code == 2
    assert f"error[data-set]: '{tmp_path / 'set'}' {what}" in done.err
