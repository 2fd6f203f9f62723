"""A net that anyone can compute by hand, and images for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from netcompile.cli.main import entry
from netcompile.surgery import write_weights

MEAN = (10.0, 20.0, 30.0)
# One 1×1 convolution from B, G, R to three classes: which of the channels is brightest, so to say.
WEIGHT = np.array([[1, -0.5, -0.25], [-0.5, 1, -0.25], [-0.25, -0.5, 1]], np.float32)
BIAS = np.array([3, 2, 1], np.float32)
NET = """\
name: "pixels"
layer { name: "data" type: "Python" top: "data" top: "label"
  python_param { module: "m" layer: "L" param_str: "{'mean': (10, 20, 30), 'split': 'val'}" } }
layer { name: "score" type: "Convolution" bottom: "data" top: "score"
  convolution_param { num_output: 3 kernel_size: 1 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss"
  loss_param { ignore_label: 255 normalize: false } }
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def netcompile(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`netcompile("predict", …)` in this process; a bug shows its traceback."""
    monkeypatch.setenv("NETCOMPILE_TRACEBACK", "1")

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        code = entry([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return call


@dataclass(frozen=True, slots=True)
class Pixels:
    """The net's files, and what it computes."""

    net: Path
    weights: Path

    def scores(self, rgb: np.ndarray) -> np.ndarray:
        """C×H×W scores of an image, by NumPy."""
        bgr = rgb[:, :, ::-1].astype(np.float32) - np.array(MEAN, np.float32)
        return np.einsum("oc,hwc->ohw", WEIGHT, bgr) + BIAS[:, None, None]

    def labels(self, rgb: np.ndarray) -> np.ndarray:
        return self.scores(rgb).argmax(0)


@pytest.fixture
def pixels(tmp_path: Path) -> Pixels:
    net, weights = tmp_path / "net.prototxt", tmp_path / "net_iter_1200.caffemodel"
    net.write_text(NET)
    write_weights(weights, {"score": (WEIGHT.reshape(3, 3, 1, 1), BIAS)})
    return Pixels(net, weights)


def picture(seed: int, height: int = 12, width: int = 9) -> np.ndarray:
    """An H×W×3 image of coarse random blocks."""
    blocks = np.random.RandomState(seed).randint(0, 256, (height // 3 + 1, width // 3 + 1, 3), np.uint8)
    return blocks.repeat(3, 0).repeat(3, 1)[:height, :width]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of PNGs of two sizes, in two levels."""
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    for index in range(6):
        name = folder / ("deep" if index % 3 == 2 else "") / f"i{index}.png"
        Image.fromarray(picture(index, 12 + index % 2, 9)).save(name)
    return folder


@pytest.fixture
def voc(tmp_path: Path, pixels: Pixels) -> Path:
    """A VOC folder whose truth is the net's own answer with some pixels changed, and some that do not count."""
    root = tmp_path / "VOC"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    names = [f"x{index}" for index in range(5)]
    for index, name in enumerate(names):
        rgb = picture(index)
        Image.fromarray(rgb).save(root / "JPEGImages" / f"{name}.png")
        truth = pixels.labels(rgb)
        truth[index, :] = (truth[index, :] + 1) % 3
        truth[:, 0] = 255
        Image.fromarray(truth.astype(np.uint8)).save(root / "SegmentationClass" / f"{name}.png")
    (root / "ImageSets/Segmentation/val.txt").write_text("\n".join(names) + "\n")
    return root
