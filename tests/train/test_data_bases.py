"""Training on data bases, from outside: as on the same images in a list, and with its last snapshot where a record is
wrong.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netcompile.cli.main import entry
from tests.data.lmdb_files import annotated, encoded, raw, write

LAYERS = """
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "l" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "l" }
layer { name: "a" type: "Accuracy" bottom: "ip" bottom: "label" top: "a" include { phase: TEST } }
"""
TRANSFORM = "transform_param { scale: 0.01 mean_value: 100 mirror: true crop_size: 5 }"
SOLVER = """
net: "NET" base_lr: 0.1 lr_policy: "fixed" max_iter: 6 random_seed: 3 snapshot: 2 snapshot_prefix: "s"
test_iter: 2 test_interval: 3
"""


def data(kind: str, source: str, phase: str, param: str) -> str:
    return (
        f'layer {{ name: "d" type: "{kind}" top: "data" top: "label" {param} {{ source: "{source}" batch_size: 3 }} '
        f"include {{ phase: {phase} }} {TRANSFORM} }}\n"
    )


@pytest.fixture
def images() -> list[np.ndarray]:
    """20 images of 7×6."""
    return list(np.random.default_rng(0).integers(0, 256, (20, 7, 6, 3), dtype=np.uint8))


def train(folder: Path, net: str, *more: str) -> tuple[int, list[float]]:
    (folder / f"{net}.prototxt").write_text((folder / f"{net}.txt").read_text() + LAYERS)
    (folder / f"{net}-solver.prototxt").write_text(SOLVER.replace("NET", f"{net}.prototxt"))
    out = folder / f"out-{net}"
    code = entry(["train", str(folder / f"{net}-solver.prototxt"), "-o", str(out), *more])
    return code, json.loads((out / "log.json").read_text())["loss"] if (out / "log.json").exists() else []


def test_a_data_base_trains_as_a_list_of_its_images(
    tmp_path: Path, images: list[np.ndarray], capfd: pytest.CaptureFixture[str]
) -> None:
    for k, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{k}.png")
    (tmp_path / "list").write_text("".join(f"{k}.png {k % 3}\n" for k in range(20)))
    write(tmp_path / "db", [encoded(image, k % 3) for k, image in enumerate(images)])
    write(tmp_path / "raw", [raw(image[:, :, ::-1].transpose(2, 0, 1), k % 3) for k, image in enumerate(images)])
    said = []
    for name, kind, param, source in (
        ("list", "ImageData", "image_data_param", "list"),
        ("db", "Data", "data_param", "db"),
        ("raw", "Data", "data_param", "raw"),
    ):
        (tmp_path / f"{name}.txt").write_text("".join(data(kind, source, p, param) for p in ("TRAIN", "TEST")))
        code, losses = train(tmp_path, name)
        assert (code, len(losses)) == (0, 6)
        err = capfd.readouterr().err
        said.append((losses, [line for line in err.splitlines() if "Test net output" in line]))
    assert len(said[0][1]) == 6  # three tests of a loss and an accuracy
    assert said[1] == said[0]
    assert said[2] == said[0]


@pytest.mark.parametrize("wrong", [b"\x08", b"", encoded(np.zeros((7, 6, 3), np.uint8))[:-9]])
def test_a_wrong_record_ends_a_training_that_can_go_on(
    tmp_path: Path, images: list[np.ndarray], wrong: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of a record that is reached in iteration 4: its snapshot is there, and goes on as if nothing had been."""
    (tmp_path / "db.txt").write_text("".join(data("Data", "db", phase, "data_param") for phase in ("TRAIN", "TEST")))
    records = [encoded(image, k % 3) for k, image in enumerate(images)]
    write(tmp_path / "db", records)
    train(tmp_path, "db", "-o", str(tmp_path / "whole"))
    whole = json.loads((tmp_path / "whole" / "log.json").read_text())["loss"]
    write(tmp_path / "db", [*records[:13], wrong, *records[14:]])
    assert train(tmp_path, "db") == (2, [])
    err = capfd.readouterr().err
    assert f"{tmp_path / 'db.prototxt'}:1:" in err
    assert "record 13 (key 00000013_x): " in err
    assert (tmp_path / "out-db" / "s_iter_4.json").exists()
    write(tmp_path / "db", records)
    assert train(tmp_path, "db", "--resume", str(tmp_path / "out-db" / "s_iter_4.json")) == (0, whole)


SSD = """
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 8 kernel_size: 5 stride: 4
        weight_filler { type: "xavier" } } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "p" type: "PriorBox" bottom: "c" bottom: "data" top: "p" prior_box_param { min_size: 10 flip: true
        clip: false variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 } }
layer { name: "loc" type: "Convolution" bottom: "c" top: "loc" convolution_param { num_output: 4 kernel_size: 1
        weight_filler { type: "xavier" } } }
layer { name: "lp" type: "Permute" bottom: "loc" top: "lp" permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "lf" type: "Flatten" bottom: "lp" top: "lf" }
layer { name: "conf" type: "Convolution" bottom: "c" top: "conf" convolution_param { num_output: 3 kernel_size: 1
        weight_filler { type: "xavier" } } }
layer { name: "cp" type: "Permute" bottom: "conf" top: "cp" permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "cf" type: "Flatten" bottom: "cp" top: "cf" }
layer { name: "l" type: "MultiBoxLoss" bottom: "lf" bottom: "cf" bottom: "p" bottom: "label" top: "l"
        multibox_loss_param { num_classes: 3 overlap_threshold: 0.4 neg_pos_ratio: 3 } }
"""


def test_an_ssd_trains_on_annotated_data(tmp_path: Path) -> None:
    """Batches have different numbers of boxes."""
    random, records = np.random.default_rng(0), []
    for k in range(12):
        image, groups = np.full((40, 40, 3), 128, np.uint8), {}
        for label in range(1, 2 + k % 2):
            top, left = (int(n) for n in random.integers(0, 28, 2))
            image[top : top + 12, left : left + 12] = 255 * (label - 1)
            box = {"xmin": left / 40, "ymin": top / 40, "xmax": (left + 12) / 40, "ymax": (top + 12) / 40}
            groups[label] = [box]
        records.append(annotated(encoded(image), groups))
    write(tmp_path / "db", records)
    transform = "scale: 0.01 mean_value: 128 mirror: true resize_param { height: 32 width: 32 interp_mode: LINEAR } "
    layer = (
        'layer { name: "d" type: "AnnotatedData" top: "data" top: "label" include { phase: TRAIN } '
        f'data_param {{ source: "db" batch_size: 4 backend: LMDB }} transform_param {{ {transform} '
        "emit_constraint { emit_type: CENTER } } "
        "annotated_data_param { batch_sampler { max_sample: 1 max_trials: 1 } } }"
    )
    (tmp_path / "net.prototxt").write_text(layer + SSD)
    (tmp_path / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 max_iter: 15 random_seed: 1\n'
    )
    assert entry(["train", str(tmp_path / "solver.prototxt"), "-o", str(tmp_path / "out")]) == 0
    losses = json.loads((tmp_path / "out" / "log.json").read_text())["loss"]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3])
