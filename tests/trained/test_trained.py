"""Trained nets of public repositories against real Caffe's outputs, where they lie beside the checkout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from netcompile.analyser import Analysed, analyse
from netcompile.cli.main import entry
from netcompile.ir.build import Options
from netcompile.prototxt.recognise import open_source
from tests.corpus import check as corpus

NETS = ("face-68", "face-rfb-320", "mtcnn-12", "mtcnn-24", "mtcnn-48", "plate-ssd", "qr-detect-ssd", "qr-sr")
TOLERANCE = 1e-4  # of max|reference|


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def load(folder: Path) -> Analysed:
    fed = frozenset(arrays(folder / "inputs.npz"))
    return analyse(open_source(folder / "net.prototxt"), Options(fed=fed), "declared")


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("name", NETS)
def test_outputs_are_caffes(shared: Path, name: str, level: int) -> None:
    from netcompile.runtime.execute import run

    folder = shared / "trained" / name
    if not folder.exists():
        pytest.skip(f"{folder} is absent")
    wanted = arrays(folder / "expected.npz")
    found = run(load(folder), folder / "net.caffemodel", arrays(folder / "inputs.npz"), level=level)
    assert set(found) == set(wanted)
    for blob, reference in wanted.items():
        assert found[blob].shape == reference.shape, blob
        scale = float(np.abs(reference).max())
        np.testing.assert_allclose(found[blob], reference, rtol=0, atol=TOLERANCE * scale, err_msg=blob)


@pytest.mark.parametrize("name", NETS)
def test_the_caffemodel_converts_by_the_net(shared: Path, name: str, tmp_path: Path) -> None:
    folder, out = shared / "trained" / name, tmp_path / "net.safetensors"
    if not folder.exists():
        pytest.skip(f"{folder} is absent")
    words = ["convert-weights", folder / "net.caffemodel", "--net", folder / "net.prototxt", "-o", out]
    assert entry([str(word) for word in [*words, "--crop-offsets", "declared"]]) == 0
    assert out.stat().st_size > 1000


@pytest.mark.parametrize("level", [0, 1, 2])
def test_detections_with_drawn_weights(shared: Path, level: int) -> None:
    """Hundreds of scores are exactly 1: which of them the limit keeps hangs on the order of sums and of sorting."""
    file = "chuanqi305__MobileNet-SSD/voc/MobileNetSSD_deploy.prototxt"
    path = shared / "truth-forks" / f"{file}.json"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    reference = json.loads(path.read_text())
    net = corpus.load(file, {name: tuple(shape) for name, shape in reference["inputs"].items()}).require()
    assert corpus.shape_differences(net, reference) == []
    error, where = corpus.worst_error(net, reference, level)
    assert error <= TOLERANCE, where
