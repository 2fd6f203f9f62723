"""docs/migration.md: every command in it runs, on files of the names that it uses; every tool of Caffe's is in it."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from netcompile.cli.main import entry
from tests.conftest import REPOSITORY, SHAPES

DOCUMENT = REPOSITORY / "docs" / "migration.md"
TOOLS = """caffe train, caffe test, caffe time, caffe device_query, upgrade_net_proto_text, upgrade_net_proto_binary,
compute_image_mean, convert_imageset, extract_features, draw_net.py, parse_log.py, classify.py, detect.py, NetSpec,
coord_map.crop, surgery.interp, surgery.transplant, score.py, net.blobs, net.params, net.forward(), net.forward(start=,
net.forward(end=, net.save, caffe.io.Transformer, caffe.set_mode_gpu, .step(1), net.backward, caffe.layers"""


def commands() -> list[str]:
    """Every command line of the document, as it stands; "…" is in those that are no more than a hint."""
    spans = re.findall(r"`(netcompile [a-z][^`]*)`", DOCUMENT.read_text(encoding="utf-8"))
    return [span for span in dict.fromkeys(spans) if "…" not in span and span.count(" ") > 1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files."""
    path = tmp_path_factory.mktemp("migration")
    nets = REPOSITORY / "prototxt" / "shapes-fcn8s"
    shutil.copy(nets / "deploy.prototxt", path / "net.prototxt")
    shutil.copy(nets / "train.prototxt", path)
    shutil.copy(REPOSITORY / "weights" / "shapes-fcn8s.caffemodel", path / "weights.caffemodel")
    (path / "solver.prototxt").write_text(
        'net: "train.prototxt" base_lr: 1e-4 lr_policy: "fixed" max_iter: 3 snapshot: 2 snapshot_prefix: "snap"'
    )
    (path / "old.prototxt").write_text('input: "x" input_dim: [1, 3, 8, 8]\n')
    head = 'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: [1, 3, 4, 4] } } }\n'
    (path / "classifier.prototxt").write_text(
        head + 'layer { name: "fc" type: "InnerProduct" bottom: "d" top: "fc" inner_product_param { num_output: 5 } }\n'
    )
    (path / "net.py").write_text(
        "import caffe\nfrom caffe import layers as L\n"
        "n = caffe.NetSpec()\nn.data = L.Input(shape=dict(dim=[1, 3, 8, 8]))\nn.relu = L.ReLU(n.data)\n"
        "with open('spec.prototxt', 'w') as file:\n    file.write(str(n.to_proto()))\n"
    )
    (path / "images").mkdir()
    names = ["shapes_0000", "shapes_0001"]
    for name in names:
        shutil.copy(SHAPES / "VOC" / "JPEGImages" / f"{name}.jpg", path / "images")
        shutil.copy(SHAPES / "VOC" / "SegmentationClass" / f"{name}.png", path)
    (path / "list.txt").write_text("".join(f"images/{name}.jpg {name}.png\n" for name in names))
    random = np.random.RandomState(0)
    np.savez(path / "in.npz", data=random.standard_normal((1, 3, 32, 40)).astype(np.float32))
    np.savez(
        path / "batches.npz",
        data=random.standard_normal((3, 1, 3, 32, 40)).astype(np.float32),
        label=random.randint(0, 6, (3, 1, 1, 32, 40)).astype(np.float32),
    )
    # A BlobProto of four numbers: num, channels, height, width, data.
    (path / "mean.binaryproto").write_bytes(
        b"\x08\x01\x10\x01\x18\x02\x20\x02\x2a\x10" + np.arange(4, dtype="<f4").tobytes()
    )
    return path


def test_every_command_runs(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """In the order in which they stand, as somebody would who reads the page."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("netcompile.runtime.timing.peaks", lambda *_: {"matmul": 1e9})
    found = commands()
    assert len(found) > 20
    for line in found:
        words = shlex.split(line.split(" > ")[0])
        code = entry(words[1:])
        _, err = capfd.readouterr()
        assert code == 0, f"{line}: {err}"
    for made in (
        "run/log.json", "run/snap_iter_2.json", "new.caffemodel", "features.npz", "built/report.html", "out/labels",
        "scores/report.html", "spec.prototxt", "start.caffemodel", "more.prototxt", "conv.prototxt", "mean.safetensors",
    ):  # fmt: skip
        assert (folder / made).exists(), made


def test_nothing_is_left_out() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [tool for tool in re.split(r",\s+", TOOLS) if tool not in text] == []


def test_the_readme_names_it() -> None:
    assert "(docs/migration.md)" in (REPOSITORY / "README.md").read_text(encoding="utf-8")
