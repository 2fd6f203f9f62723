"""docs/migration.md: every command in it runs, on files of the names that it uses; every tool of Caffe's is in it."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netcompile.cli.main import entry
from netcompile.data.images import read_image
from tests.conftest import REPOSITORY, SHAPES
from tests.data.lmdb_files import annotated, encoded, write
from tests.tasks.detection.nets import write_rcnn

DOCUMENT = REPOSITORY / "docs" / "migration.md"
TOOLS = """caffe train, caffe test, caffe time, caffe device_query, upgrade_net_proto_text, upgrade_net_proto_binary,
compute_image_mean, convert_imageset, extract_features, draw_net.py, parse_log.py, classify.py, detect.py, NetSpec,
coord_map.crop, surgery.interp, surgery.transplant, score.py, net.blobs, net.params, net.forward(), net.forward(start=,
net.forward(end=, net.save, caffe.io.Transformer, caffe.set_mode_gpu, .step(1), net.backward, caffe.layers,
--center_only, classification.bin, caffe.Classifier, caffe.io.oversample, ssd_detect.bin, score_ssd_pascal.py,
create_annoset.py, tools/demo.py, tools/test_net.py, create_imagenet.sh"""


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
    classifier_and_detectors(path)
    # A BlobProto of four numbers: num, channels, height, width, data.
    (path / "mean.binaryproto").write_bytes(
        b"\x08\x01\x10\x01\x18\x02\x20\x02\x2a\x10" + np.arange(4, dtype="<f4").tobytes()
    )
    return path


def classifier_and_detectors(path: Path) -> None:
    """Nets whose answers are classes and boxes, and data sets of each kind that is read."""
    for name, net in (("classes", "shapes-classifier"), ("ssd", "shapes-ssd")):
        shutil.copy(REPOSITORY / "prototxt" / net / "deploy.prototxt", path / f"{name}.prototxt")
        shutil.copy(REPOSITORY / "weights" / f"{net}.caffemodel", path / f"{name}.caffemodel")
    for file, wanted in zip(write_rcnn(path), ("frcnn.prototxt", "frcnn.caffemodel"), strict=True):
        file.rename(path / wanted)
    drawn, scenes = SHAPES.with_name("shapes-classes"), SHAPES.with_name("shapes-detection")
    shutil.copy(drawn / "synset_words.txt", path)
    shutil.copy(scenes / "labelmap_shapes.prototxt", path / "labelmap.prototxt")
    (path / "names.txt").write_text("background\ncircle\nring\ncross\n")
    names = [f"shape_000{number}.png" for number in range(3)]
    (path / "photos").mkdir()
    for name in names:
        shutil.copy(drawn / "images" / name, path / "photos")
    Image.open(path / "photos" / names[0]).save(path / "cat.jpg")
    (path / "val.txt").write_text("".join(f"{name} {label}\n" for label, name in enumerate(names)))
    pixels = [read_image(path / "photos" / name) for name in names]
    write(path / "val_lmdb", [encoded(image, label) for label, image in enumerate(pixels)])
    box = {"xmin": 0.2, "ymin": 0.3, "xmax": 0.6, "ymax": 0.7}
    write(path / "test_lmdb", [annotated(encoded(image), {3: [box]}) for image in pixels])
    (path / "ilsvrc_mean.binaryproto").write_bytes(
        b"\x08\x01\x10\x03\x18\x01\x20\x01\x2a\x0c" + np.array([104, 117, 123], "<f4").tobytes()
    )
    shutil.copytree(scenes / "VOC", path / "VOC2007")
    (path / "VOC2007" / "ImageSets" / "Main" / "test.txt").write_text("scene_0031\n")


@pytest.mark.long
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
        "scores/report.html", "spec.prototxt", "classes/classes.jsonl", "centre/classes.jsonl",
        "cat/classes/cat.json", "features/raw/shape_0000.npz", "boxes/detections.jsonl", "regions/detections.jsonl",
        "ap/report.html", "start.caffemodel", "more.prototxt", "conv.prototxt", "mean.safetensors",
    ):  # fmt: skip
        assert (folder / made).exists(), made


def test_nothing_is_left_out() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [tool for tool in re.split(r",\s+", TOOLS) if tool not in text] == []


def test_the_readme_names_it() -> None:
    assert "(docs/migration.md)" in (REPOSITORY / "README.md").read_text(encoding="utf-8")
