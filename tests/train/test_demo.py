"""Sixty steps of the demo: the shapes net from scratch, on drawn scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

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


def test_sixty_steps_learn(shapes: Path) -> None:
    said: list[str] = []
    training = start(Plan(iterations=60, height=48, width=64), said.append)
    assert said == ["bilinear kernels: upscore2, upscore_pool4, upscore8"]
    training.run()
    assert len(training.losses) == 60
    assert np.mean(training.losses[-20:]) < 0.2 * np.mean(training.losses[:10])
    found = score(training, str(shapes / "VOC"), limit=2)
    assert len(found.iu) == len(CLASSES)
    assert 0 < found.overall_accuracy < 1
