"""`netcompile.predict`: the values of the command, for paths, arrays and images; and what it refuses."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

import netcompile as package
from netcompile.data.images import read_image
from netcompile.diagnostics.diagnostic import NetError
from tests.tasks.test_every_task import INPUT, NETS


@pytest.fixture
def files(images):
    return sorted(images.glob("*.png"))


def net_of(tmp_path, task):
    path = tmp_path / f"{task}.prototxt"
    path.write_text(f'name: "n"\n{INPUT}{NETS[task]}\n')
    return path


@pytest.mark.parametrize("task", NETS)
@pytest.mark.parametrize("built", [False, True])
def test_as_the_command(netcompile, tmp_path, files, task, built):
    path, out = net_of(tmp_path, task), tmp_path / "out"
    assert netcompile("predict", path, *files, "-o", out, "--mean", "0").code == 0
    if built:
        assert netcompile("build", path, "-o", tmp_path / "build").code == 0
        path = tmp_path / "build"
    net = package.load(path)
    values = package.predict(net, files, mean="0")
    for file, value in zip(files, values, strict=True):
        same(out, file, task, value)
    alone = package.predict(net, read_image(files[0]), mean="0")
    assert type(alone) is type(values[0])


def same(out, file, task, value):
    if task in ("segmentation", "map"):
        with Image.open(out / f"labels/{file.stem}.png") as image:
            assert np.array_equal(np.asarray(image), value)
    elif task == "image":
        assert np.array_equal(read_image(out / f"images/{file.stem}.png"), value)
    elif task in ("vector", "raw"):
        with np.load(out / f"raw/{file.stem}.npz") as archive:
            assert all(np.array_equal(archive[name], array) for name, array in value.items())
    else:
        (lines,) = out.glob("*.jsonl")
        records = [json.loads(line) for line in lines.read_text().splitlines()]
        assert value == next(record for record in records if record["image"] == str(file))


def test_one_image_of_each_kind(tmp_path, files):
    net = package.load(net_of(tmp_path, "segmentation"))
    with Image.open(files[0]) as image:
        kinds = [str(files[0]), files[0], read_image(files[0]), image.convert("RGB")]
        found = [package.predict(net, kind, mean="0") for kind in kinds]
    assert all(np.array_equal(one, found[0]) for one in found)


def test_copies_know_what_they_are(tmp_path, files):
    net = package.load(net_of(tmp_path, "classification"))
    expected = package.predict(net, files[0], mean="0", top=1)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert package.predict(other, files[0], mean="0", top=1) == expected
    assert len(expected["top"]) == 1


def test_mistakes(tmp_path, files):
    net = package.load(net_of(tmp_path, "segmentation"))
    with pytest.raises(TypeError, match=r"Identity is no net that netcompile\.load gave"):
        package.predict(torch.nn.Identity(), files)
    with pytest.raises(TypeError, match="predict has no option 'tpo'; those of tasks are "):
        package.predict(net, files, tpo=1)
    with pytest.raises(ValueError, match="task is one of detection, segmentation, "):
        package.predict(net, files, task="boxes")
    with pytest.raises(ValueError, match="'3' is none of HxW, short=N"):
        package.predict(net, files, resize="3")
    for image in (np.zeros((3, 4), np.uint8), np.zeros((3, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="an image is H×W×3 bytes"):
            package.predict(net, image)
    with pytest.raises(TypeError, match="a path, an array or a Pillow image, not a int"):
        package.predict(net, [3])
    (tmp_path / "broken.png").write_bytes(b"hello")
    with pytest.raises(NetError, match="it is no image in a format known here"):
        package.predict(net, tmp_path / "broken.png")
    with pytest.raises(NetError, match="the net gives no vectors"):
        package.predict(net, files, task="vector")
