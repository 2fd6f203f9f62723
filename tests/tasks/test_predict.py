"""`predict`: label maps as NumPy computes them, resumed runs, broken images, several processes, kills."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netcompile.data.images import overlay, read_image, tinted
from netcompile.data.palettes import cityscapes_palette, voc_palette
from netcompile.surgery import write_weights
from tests import ranks
from tests.data.test_preprocessing import binaryproto
from tests.runtime.conftest import BIAS, WEIGHT

ENV = {**os.environ, "OMP_NUM_THREADS": "1"}


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def check_labels(out: Path, images: Path, pixels) -> None:
    for path in images.rglob("*.png"):
        name = path.relative_to(images)
        rgb = read_image(path)
        with Image.open(out / "labels" / name) as image:
            assert image.mode == "P"
            found = np.asarray(image)
            assert np.array_equal(np.asarray(image.convert("RGB")), voc_palette()[found])
        assert np.array_equal(found, pixels.labels(rgb))
        made = read_image(out / "overlays" / name)
        assert np.array_equal(made[: rgb.shape[0], : rgb.shape[1]], overlay(rgb, found))
        assert (made.shape[0] > rgb.shape[0]) == bool(found.any())  # the legend


def test_labels_overlays_and_probabilities(netcompile, pixels, images, tmp_path):
    out = tmp_path / "out"
    done = netcompile("predict", pixels.net, "--weights", pixels.weights, images, "-o", out, "--softmax")
    assert (done.code, done.out, done.err) == (0, f"wrote 6 of 6 images to {out}\n", "")
    check_labels(out, images, pixels)
    assert len(files(out)) == 18
    for path in images.rglob("*.png"):
        with np.load(out / "softmax" / path.relative_to(images).with_suffix(".npz")) as archive:
            prob = archive["prob"]
        score = pixels.scores(read_image(path)).astype(np.float64)
        exponents = np.exp(score - score.max(0))
        assert np.allclose(prob, exponents / exponents.sum(0), atol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_batches_change_nothing(netcompile, pixels, images, tmp_path, batch):
    netcompile("predict", pixels.net, "--weights", pixels.weights, images, "-o", tmp_path / "out", "--batch", batch)
    check_labels(tmp_path / "out", images, pixels)


def test_a_build_gives_the_same(netcompile, pixels, images, tmp_path):
    netcompile("build", pixels.net, "--weights", pixels.weights, "-o", tmp_path / "build")
    done = netcompile("predict", tmp_path / "build", images, "-o", tmp_path / "out")
    assert (done.code, done.err) == (0, "")  # the manifest has the mean
    check_labels(tmp_path / "out", images, pixels)


def test_a_build_that_was_changed_is_not_run(netcompile, pixels, images, tmp_path):
    netcompile("build", pixels.net, "--weights", pixels.weights, "-o", tmp_path / "build")
    module = tmp_path / "build" / "pixels.py"
    module.write_text(module.read_text() + "raise SystemExit('run')\n")
    done = netcompile("predict", tmp_path / "build", images, "-o", tmp_path / "out")
    assert done.code == 2
    assert "'pixels.py' is not the file that was built: its checksum differs from the manifest's" in done.err


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("-O", 2), "-O says how a prototxt is read"),
        (("--phase", "train", "--round-crops"), "--phase and --round-crops say how a prototxt is read"),
    ],
)
def test_a_build_is_as_it_was_built(netcompile, pixels, images, tmp_path, options, what):
    netcompile("build", pixels.net, "--weights", pixels.weights, "-o", tmp_path / "build")
    done = netcompile("predict", tmp_path / "build", images, "-o", tmp_path / "out", *options)
    assert (done.code, f"error[usage]: {what}, {tmp_path / 'build'} is a build" in done.err) == (2, True)


def test_a_second_run_keeps_what_is_done(netcompile, pixels, images, tmp_path):
    out = tmp_path / "out"
    call = ("predict", pixels.net, "--weights", pixels.weights, images, "-o", out)
    netcompile(*call)
    before = {name: (out / name).stat().st_mtime_ns for name in files(out)}
    os.unlink(out / "labels/i0.png")
    (out / "overlays/i1.png").write_bytes((out / "overlays/i1.png").read_bytes()[:-5])
    os.utime(images / "i3.png", ns=(time.time_ns() + 10**9,) * 2)
    done = netcompile(*call)
    assert done.out == f"wrote 3 of 6 images to {out}, 3 were there before\n"
    after = {name: (out / name).stat().st_mtime_ns for name in files(out)}
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {f"{kind}/{name}.png" for kind in ("labels", "overlays") for name in ("i0", "i1", "i3")}


def test_other_settings_make_everything_anew(netcompile, pixels, images, tmp_path):
    out = tmp_path / "out"
    call = ("predict", pixels.net, "--weights", pixels.weights, images, "-o", out)
    netcompile(*call)
    for option in (("--mean", "0"), ("--palette", "cityscapes"), ("--scale", "2"), ("--order", "rgb")):
        assert netcompile(*call, *option).out == f"wrote 6 of 6 images to {out}\n"
    assert netcompile(*call, "--softmax").out == f"wrote 6 of 6 images to {out}\n"
    assert netcompile(*call).out == f"wrote 0 of 6 images to {out}, 6 were there before\n"


def test_palettes(netcompile, pixels, images, tmp_path):
    netcompile(
        "predict", pixels.net, "--weights", pixels.weights, images / "i0.png", "-o", tmp_path / "out", "--palette",
        "cityscapes", "--no-overlays",
    )  # fmt: skip
    assert files(tmp_path / "out") == ["labels/i0.png"]
    with Image.open(tmp_path / "out/labels/i0.png") as image:
        labels = pixels.labels(read_image(images / "i0.png"))
        assert np.array_equal(np.asarray(image.convert("RGB")), cityscapes_palette()[labels])


def test_broken_images_are_reported_and_skipped(netcompile, pixels, images, tmp_path):
    whole = (images / "i0.png").read_bytes()
    (images / "cut.png").write_bytes(whole[: len(whole) // 2])
    (images / "text.jpg").write_text("hello")
    out = tmp_path / "out"
    done = netcompile("predict", pixels.net, "--weights", pixels.weights, images, "-o", out)
    assert done.code == 1
    assert done.out == f"wrote 6 of 8 images to {out}, 2 broken\n"
    assert f"warning[image-broken]: {images}/cut.png is skipped\n  why: " in done.err
    assert f"{images}/text.jpg is skipped\n  why: it is no image in a format known here\n" in done.err
    assert len(files(out)) == 12


def test_an_image_whose_outputs_can_have_no_name_is_skipped(netcompile, pixels, images, tmp_path):
    long = images / ("x" * 201 + ".png")
    long.write_bytes((images / "i0.png").read_bytes())
    out = tmp_path / "out"
    done = netcompile("predict", pixels.net, "--weights", pixels.weights, images, "-o", out)
    assert (done.code, done.out) == (1, f"wrote 6 of 7 images to {out}, 1 broken\n")
    assert "is skipped\n  why: outputs are named after it, and its name has more than 200 bytes\n" in done.err
    assert len(files(out)) == 12


def test_sizes_that_the_net_cannot_take(netcompile, pixels, images, tmp_path):
    net = tmp_path / "big.prototxt"
    net.write_text(pixels.net.read_text().replace("kernel_size: 1", "kernel_size: 1 dilation: 1 } } layer { name: 'p' "
                   "type: 'Pooling' bottom: 'score' top: 'p' pooling_param { kernel_size: 13 stride: 1 round_mode: "
                   "FLOOR").replace("bottom: \"score\" bottom", 'bottom: "p" bottom'))  # fmt: skip
    done = netcompile("predict", net, "--weights", pixels.weights, images / "i0.png", "-o", tmp_path / "out")
    assert done.code == 1, done.err
    assert "why: the net is not legal for 12×9 pixels" in done.err


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--with-loss",), "error[usage]: --with-loss needs labels: netcompile evaluate has them"),
        (("--opacity", "2"), "error[usage]: --opacity 2 is not between 0 and 1"),
        (("--output", "skore"), "error[unknown-blob]: the net has no blob 'skore'"),
        (("--batch", "0"), "argument --batch: '0' is no number above 0"),
        (("--mean", "x.binaryproto"), "error[mean-file]: 'x.binaryproto' is neither numbers nor a file"),
    ],
)
def test_refusals(netcompile, pixels, images, tmp_path, options, what):
    done = netcompile("predict", pixels.net, "--weights", pixels.weights, images, "-o", tmp_path / "out", *options)
    assert done.code == 2
    assert what in done.err
    assert not (tmp_path / "out").exists()


def test_nets_that_give_no_map(netcompile, images, tmp_path):
    net = tmp_path / "net.prototxt"
    layer = 'layer { name: "r" type: "Reduction" bottom: "data" top: "r" reduction_param { axis: 1 } }\n'
    net.write_text(
        'layer { name: "d" type: "Input" top: "data" input_param { shape { dim: [1, 3, 4, 4] } } }\n' + layer
    )
    done = netcompile("predict", net, images, "-o", tmp_path / "out", "--task", "segmentation")
    assert done.code == 2
    assert done.err == (
        "error[task]: the net gives no label maps: no output is a map (N×C×H×W) with a score for each class\n"
        "  why: its outputs are 'r' 1\n"
        "  fix: --output BLOB names another blob; --task raw writes what there is\n"
    )
    done = netcompile("predict", "nyud-fcn32s-color-hha/test.prototxt", images, "-o", tmp_path / "out")
    assert (done.code, "the net takes 2 images (color, hha), IMAGES are for 'color' alone" in done.err) == (2, True)
    assert "fix: --also hha=DIR: images of the same names" in done.err


def test_a_build_keeps_a_mean_image(netcompile, images, tmp_path):
    mean = np.random.RandomState(3).randint(0, 90, (3, 12, 9)).astype(np.float32)
    (tmp_path / "mean.binaryproto").write_bytes(binaryproto(mean))
    net, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    net.write_text(
        'layer { name: "d" type: "Data" top: "data" data_param { batch_size: 1 } '
        'transform_param { mean_file: "mean.binaryproto" } }\n'
        'layer { name: "score" type: "Convolution" bottom: "data" top: "score" '
        "convolution_param { num_output: 3 kernel_size: 1 } }\n"
    )
    write_weights(weights, {"score": (WEIGHT.reshape(3, 3, 1, 1), np.zeros(3, np.float32))})
    build = netcompile("build", net, "--weights", weights, "-o", tmp_path / "build")
    assert build.code == 0, build.err
    for what, out in ((("predict", net, "--weights", weights), "a"), (("predict", tmp_path / "build"), "b")):
        done = netcompile(*what, images, "-o", tmp_path / out, "--task", "segmentation")
        assert (done.code, done.err) == (0, "")
    for name in files(images):
        with Image.open(tmp_path / "a/labels" / name) as a, Image.open(tmp_path / "b/labels" / name) as b:
            assert np.array_equal(np.asarray(a), np.asarray(b))
    rgb = read_image(images / "i0.png")
    scores = np.einsum("oc,chw->ohw", WEIGHT, rgb[:, :, ::-1].transpose(2, 0, 1) - mean)
    with Image.open(tmp_path / "b/labels/i0.png") as image:
        assert np.array_equal(np.asarray(image), scores.argmax(0))


TWO = """
name: "two"
layer { name: "d" type: "Python" top: "color" top: "depth" top: "label" python_param { module: "nyud_layers"
  layer: "NYUDSegDataLayer" param_str: "{'tops': ['color', 'depth', 'label'], 'split': 'test'}" } }
layer { name: "both" type: "Concat" bottom: "color" bottom: "depth" top: "both" }
layer { name: "score" type: "Convolution" bottom: "both" top: "score"
  convolution_param { num_output: 2 kernel_size: 1 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }
"""


@pytest.fixture
def two(tmp_path):
    """A net of colour and depth: class 1 where the depth's logarithm is above its mean by more than blue is by 1/99."""
    net, weights = tmp_path / "two.prototxt", tmp_path / "two.caffemodel"
    net.write_text(TWO)
    kernel = np.array([[1 / 99, 0, 0, 0], [0, 0, 0, 1]], np.float32).reshape(2, 4, 1, 1)
    write_weights(weights, {"score": (kernel, np.zeros(2, np.float32))})
    depths = tmp_path / "depths"
    depths.mkdir()
    return net, weights, depths


def depth_of(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.RandomState(len(path.stem)).randint(500, 9000, shape[:2]).astype(np.uint16)


@pytest.mark.parametrize("built", [False, True])
def test_two_images(netcompile, two, images, tmp_path, built):
    net, weights, depths = two
    names = sorted(path for path in images.rglob("*.png") if path.stem != "i3")
    for path in names:
        Image.fromarray(depth_of(path, read_image(path).shape)).save(depths / path.name)
    Image.fromarray(np.ones((3, 3), np.uint16)).save(depths / "i3.png")
    if built:
        assert netcompile("build", net, "--weights", weights, "-o", tmp_path / "build").code == 0
    what = ("predict", tmp_path / "build") if built else ("predict", net, "--weights", weights)
    out = tmp_path / "out"
    done = netcompile(*what, images, "-o", out, "--also", f"depth={depths}")
    assert (done.code, done.out) == (1, f"wrote 5 of 6 images to {out}, 1 broken\n")
    assert "i3.png is skipped\n  why: it is 13×9, its companion for input 'depth' 3×3\n" in done.err
    for path in names:
        rgb = read_image(path)
        blue = (rgb[:, :, 2] - np.float32(116.190)) / 99
        depth = np.log(depth_of(path, rgb.shape).astype(np.float32)) - np.float32(7.8952)
        with Image.open(out / "labels" / path.relative_to(images)) as image:
            sure = np.abs(depth - blue) > 1e-4
            assert np.array_equal(np.asarray(image)[sure], (depth > blue)[sure])
    again = netcompile(*what, images, "-o", out, "--also", f"depth={depths}")
    assert again.out == f"wrote 0 of 6 images to {out}, 5 were there before, 1 broken\n"
    os.utime(depths / "i0.png")
    again = netcompile(*what, images, "-o", out, "--also", f"depth={depths}")
    assert again.out == f"wrote 1 of 6 images to {out}, 4 were there before, 1 broken\n"


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ((), "error[image-input]: the net takes 2 images (color, depth), IMAGES are for 'color' alone"),
        (("--also", "depth"), "error[usage]: --also depth is not of the form BLOB=DIR"),
        (("--also", "depth=/none"), "error[no-such-file]: there is no folder '/none' for input 'depth'"),
        (("--also", "depth=.", "--also", "hha=."), "the net has no further input 'hha': it has color, depth"),
        (("--also", "depth=.", "--also", "color=."), "the net has no further input 'color': IMAGES are for it"),
    ],
)
def test_refusals_of_further_images(netcompile, two, images, tmp_path, options, what):
    net, weights, _ = two
    done = netcompile("predict", net, "--weights", weights, images, "-o", tmp_path / "out", *options)
    assert (done.code, what in done.err) == (2, True)


EDGES = """
name: "edges"
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: [1, 3, 4, 4] } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 1 kernel_size: 1 } }
layer { name: "edge" type: "Sigmoid" bottom: "c" top: "edge" }
layer { name: "s" type: "Convolution" bottom: "data" top: "s" convolution_param { num_output: 3 kernel_size: 1 } }
layer { name: "best" type: "ArgMax" bottom: "s" top: "best" argmax_param { axis: 1 } }
"""


@pytest.mark.parametrize("built", [False, True])
def test_one_channel_gives_a_grey_map_and_argmax_its_labels(netcompile, pixels, images, tmp_path, built):
    net, weights = tmp_path / "edges.prototxt", tmp_path / "edges.caffemodel"
    net.write_text(EDGES)
    blue = np.array([0.03, 0, 0], np.float32).reshape(1, 3, 1, 1)
    write_weights(weights, {"c": (blue, np.full(1, -3, np.float32)), "s": (WEIGHT.reshape(3, 3, 1, 1), BIAS)})
    if built:
        assert netcompile("build", net, "--weights", weights, "-o", tmp_path / "build").code == 0
    what = ("predict", tmp_path / "build") if built else ("predict", net, "--weights", weights)
    out = tmp_path / "out"
    done = netcompile(*what, images, "-o", out, "--mean", "10,20,30", "--softmax")
    assert (done.code, done.err) == (0, "")
    rgb = read_image(images / "i0.png")
    likely = 1 / (1 + np.exp(3 - 0.03 * (rgb[:, :, 2].astype(float) - 10)))
    with Image.open(out / "labels/edge/i0.png") as image:
        assert image.mode == "L"
        assert np.abs(np.asarray(image) - 255 * likely).max() <= 0.501
    with np.load(out / "softmax/edge/i0.npz") as archive:
        assert np.allclose(archive["prob"], likely[None], atol=1e-5)
    expected = tinted(rgb, np.rint(255 * likely) / 255 * 0.6, voc_palette()[1]).astype(int)
    assert np.abs(read_image(out / "overlays/edge/i0.png") - expected).max() <= 1
    with Image.open(out / "labels/best/i0.png") as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), pixels.labels(rgb))
    assert sorted(path.name for path in (out / "softmax").iterdir()) == ["edge"]
    only = netcompile(*what, images, "-o", tmp_path / "other", "--softmax", "--output", "best")
    assert (only.code, "best hold labels: there are no probabilities" in only.err) == (2, True)


def test_labels_that_are_an_input_are_not_asked_for(netcompile, pixels, images, tmp_path):
    """A training net whose labels come from an Input layer: its scores are what its loss is of."""
    net = tmp_path / "train.prototxt"
    net.write_text(
        'layer { name: "in" type: "Input" top: "data" top: "label" input_param { shape { dim: [1, 3, 4, 4] } '
        "shape { dim: [1, 1, 4, 4] } } }\n" + pixels.net.read_text().split("\n", 3)[3]
    )
    out = tmp_path / "out"
    done = netcompile("predict", net, "--weights", pixels.weights, images, "-o", out, "--mean", "10,20,30")
    assert (done.code, done.err) == (0, "")
    check_labels(out, images, pixels)


def test_outputs_among_the_images_are_no_images(netcompile, pixels, images):
    out = images / "out"
    (images / "deep/up").symlink_to(images)  # a circle of links
    for expected in ("wrote 6 of 6 images", "wrote 0 of 6 images"):
        done = netcompile("predict", pixels.net, "--weights", pixels.weights, images, "-o", out)
        assert (done.code, done.out.startswith(expected)) == (0, True)


def program(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "netcompile", *map(str, arguments)]


@pytest.mark.long
def test_killed_at_any_moment(pixels, tmp_path):
    """Whatever is there after a SIGKILL is whole, and the next run ends with everything."""
    folder, out = tmp_path / "many", tmp_path / "out"
    folder.mkdir()
    noise = np.random.RandomState(0)
    for index in range(60):
        Image.fromarray(noise.randint(0, 256, (150, 200, 3), np.uint8)).save(folder / f"{index}.png")
    call = ("-m", "netcompile", "predict", pixels.net, "--weights", pixels.weights, folder, "-o", out, "--batch", 1)
    moments = random.Random(1)
    for _ in range(2):
        goal = len(files(out)) + moments.randrange(30)
        process = ranks.Running(0, call, tmp_path / "out.txt", tmp_path / "err.txt")
        end = time.monotonic() + 60
        while process.poll() is None and len(files(out)) <= goal and time.monotonic() < end:
            time.sleep(0.002)
        process.kill()
        assert process.wait(60) in (0, -signal.SIGKILL)
        for name in files(out):
            if name.endswith(".png"):
                read_image(out / name)
    assert 0 < len(files(out)) < 120
    done = ranks.run(0, *call)
    assert done.returncode == 0, done.stderr
    assert files(out) == sorted(f"{kind}/{index}.png" for kind in ("labels", "overlays") for index in range(60))
    check_labels(out, folder, pixels)


def test_two_processes_share_the_images(pixels, images, tmp_path):
    (images / "broken.png").write_text("no image")
    out = tmp_path / "out"
    call = program("predict", pixels.net, "--weights", pixels.weights, images, "-o", out)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *call[1:]],
        env=ENV, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == [f"wrote 6 of 7 images to {out}, 1 broken"]
    os.unlink(images / "broken.png")
    check_labels(out, images, pixels)
