"""Sixty steps of the demo: the shapes net from scratch, on drawn scenes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from netcompile.data.datasets import open_data
from netcompile.tasks.segmentation.metrics import Scores
from netcompile.train import demo
from netcompile.train.demo import CLASSES, Plan, score, start
from netcompile.train.shapes import IGNORED, Scenes, draw_scene


def test_scenes_are_a_function_of_seed_and_number() -> None:
    first, again, other = Scenes(1).batch(4), Scenes(1).batch(4), Scenes(2).batch(4)
    np.testing.assert_array_equal(first["data"], again["data"])
    assert not np.array_equal(first["data"], other["data"])
    assert (first["data"].shape, first["label"].shape) == ((1, 3, 96, 128), (1, 1, 96, 128))


def test_scenes_show_every_class() -> None:
    seen: set[int] = set()
    for index in range(20):
        image, label = draw_scene(np.random.default_rng(index), 96, 128)
        assert (image.dtype, image.shape, label.shape) == (np.uint8, (96, 128, 3), (96, 128))
        seen |= set(np.unique(label).tolist())
    assert seen == {*range(len(CLASSES)), IGNORED}


@pytest.mark.long
def test_sixty_steps_learn(shapes: Path) -> None:
    said: list[str] = []
    training = start(Plan(iterations=60, height=48, width=64), said.append)
    assert said == ["bilinear kernels: upscore2, upscore_pool4, upscore8"]
    training.run()
    assert len(training.losses) == 60
    assert np.mean(training.losses[-20:]) < 0.25 * np.mean(training.losses[:10])
    found = score(training, str(shapes / "VOC"), limit=2)
    assert len(found.iu) == len(CLASSES)
    assert 0 < found.overall_accuracy < 1


@pytest.mark.parametrize(("reached", "code"), [(0.6750, 0), (0.6749, 1), (float("nan"), 1)])
def test_the_exit_code_says_whether_enough_is_reached(
    reached: float, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reference's mean IU is 0.70496."""
    monkeypatch.setattr(demo, "main", lambda plan: Scores(1.0, 1.0, (), reached, 1.0))
    assert demo.run([]) == code
    assert ("should be 0.6750 at least" in capsys.readouterr().err) == bool(code)


def test_a_number_of_steps_only_shows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    few = open_data(str(demo.DATA / "VOC"), "val")
    monkeypatch.setattr(demo, "open_data", lambda folder, split: replace(few, samples=few.samples[:1]))
    monkeypatch.setattr(demo, "Plan", lambda iterations: Plan(iterations, 48, 64))
    assert demo.run(["2"]) == 0
    out = capsys.readouterr().out
    names = ["overall accuracy", "mean accuracy", "mean IU", "fwavacc"]
    assert re.findall(r">>> .* Iteration 2 ([A-Za-z ]+) [0-9.]+\n", out) == names
    assert [line.split()[0] for line in out.splitlines()[-6:]] == list(CLASSES)
    assert (tmp_path / "train-demo-out" / "final.safetensors").is_file()
