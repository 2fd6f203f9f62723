"""Twelve steps of real Caffe with eleven solver settings: every loss, and all weights at the end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from netcompile.caffemodel.reader import read_caffemodel
from netcompile.cli.commands import train as command
from netcompile.cli.main import entry
from tests.conftest import TRAINING

SETTINGS = sorted(path.parent.name for path in TRAINING.glob("*/solver.prototxt"))


def test_the_settings_are_there() -> None:
    assert len(SETTINGS) == 11
    assert command.SHOWN


@pytest.mark.parametrize("setting", SETTINGS)
def test_losses_and_weights_are_caffes(setting: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from safetensors.numpy import load_file

    folder = TRAINING / setting
    arguments = [str(folder / "solver.prototxt"), "--weights", str(folder / "init.caffemodel")]
    arguments += ["--data", str(TRAINING / "batches.npz"), "-o", str(tmp_path)]
    assert entry(["train", *arguments]) == 0
    assert capfd.readouterr().out == ""
    losses = json.loads((tmp_path / "log.json").read_text())["loss"]
    expected = json.loads((folder / "expected.json").read_text())["losses"]
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    found = load_file(tmp_path / "final.safetensors")
    keys = set()
    for layer in read_caffemodel(folder / "final.caffemodel").layers:
        for index, blob in enumerate(layer.blobs):
            key = f"{layer.name}.{index}"
            keys.add(key)
            assert found[key].shape == blob.shape
            reference = blob.array()
            np.testing.assert_allclose(found[key], reference, rtol=0, atol=1e-5 * np.abs(reference).max(), err_msg=key)
    assert set(found) == keys
