"""`convert-weights`: with and without a net, several files, means, the manifest."""

from __future__ import annotations

import shutil
import struct

import numpy as np
import pytest
from safetensors.numpy import load_file

DEMO = "shapes-fcn8s/deploy.prototxt"


@pytest.fixture
def caffemodel(tmp_path, repository):
    return shutil.copy(repository / "weights" / "shapes-fcn8s.caffemodel", tmp_path / "a.caffemodel")


def test_without_a_net(netcompile, caffemodel, tmp_path):
    result = netcompile("convert-weights", caffemodel)
    assert result.code == 0
    assert result.out == f"wrote {tmp_path}/a.safetensors (39 blobs, 2.9 MB)\n"
    tensors = load_file(tmp_path / "a.safetensors")
    assert len(tensors) == 39
    assert tensors["conv1_1.0"].ndim == 4
    assert tensors["conv1_1.1"].ndim == 1


def test_with_a_net_the_keys_are_the_modules(netcompile, caffemodel, tmp_path):
    out = tmp_path / "x.st"
    assert netcompile("convert-weights", caffemodel, "--net", DEMO, "-o", out).code == 0
    tensors = load_file(out)
    assert {"conv1_1.weight", "conv1_1.bias", "upscore8.weight"} <= set(tensors)


def test_the_same_bytes_as_build(netcompile, caffemodel, tmp_path):
    assert netcompile("convert-weights", caffemodel, "--net", DEMO, "-o", tmp_path / "x.st").code == 0
    assert netcompile("build", DEMO, "--weights", caffemodel, "-o", tmp_path / "b").code == 0
    assert (tmp_path / "x.st").read_bytes() == (tmp_path / "b" / "shapes_fcn8s.safetensors").read_bytes()


def test_several_files_into_a_folder(netcompile, caffemodel, tmp_path):
    other = shutil.copy(caffemodel, tmp_path / "b.caffemodel")
    (tmp_path / "bad.caffemodel").write_bytes(b"x")
    result = netcompile("convert-weights", caffemodel, tmp_path / "bad.caffemodel", other, "-o", tmp_path / "o")
    assert result.code == 2
    assert "error[caffemodel-" in result.err
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == ["a.safetensors", "b.safetensors"]


def test_two_files_for_one_place(netcompile, caffemodel, tmp_path):
    (tmp_path / "sub").mkdir()
    other = shutil.copy(caffemodel, tmp_path / "sub" / "a.caffemodel")
    result = netcompile("convert-weights", caffemodel, other, "-o", tmp_path / "o")
    assert result.code == 2
    assert f"would both become {tmp_path}/o/a.safetensors: convert them one by one" in result.err


def test_the_output_is_the_input(netcompile, caffemodel):
    result = netcompile("convert-weights", caffemodel, "-o", caffemodel)
    assert result.code == 2
    assert "error[output-path]: " in result.err


def test_a_mean(netcompile, tmp_path):
    values = np.arange(12, dtype="<f4")
    packed = b"".join(bytes([tag, n]) for tag, n in ((0x08, 1), (0x10, 3), (0x18, 2), (0x20, 2)))
    packed += b"\x2a" + bytes([values.nbytes]) + values.tobytes()
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(packed)
    assert netcompile("convert-weights", path).code == 0
    tensors = load_file(tmp_path / "mean.safetensors")
    assert list(tensors) == ["mean"]
    assert tensors["mean"].tolist() == values.reshape(1, 3, 2, 2).tolist()
    path.write_bytes(struct.pack("<I", 7))
    assert netcompile("convert-weights", path).code == 2


MANIFEST = """
[[weights]]
name = "demo"
net = "shapes-fcn8s/deploy.prototxt"
file = "a.caffemodel"

[[weights]]
name = "other"
net = "voc-fcn8s/val.prototxt"
file = "other.caffemodel"
source = "http://example.org/other.caffemodel"
"""


def test_the_manifest(netcompile, caffemodel, tmp_path):
    (tmp_path / "manifest.toml").write_text(MANIFEST)
    result = netcompile("convert-weights", "--manifest", tmp_path / "manifest.toml")
    assert result.code == 0
    assert result.out == (
        f"wrote {tmp_path}/a.safetensors (39 tensors of ShapesFcn8s, 2.9 MB)\n"
        "1 of 2 caffemodels are absent. To convert one, fetch it:\n"
        "  other: http://example.org/other.caffemodel\n"
        f"    save as {tmp_path}/other.caffemodel\n"
        "and run this again.\n"
    )


def test_a_refused_file_of_the_manifest(netcompile, caffemodel, tmp_path):
    (tmp_path / "manifest.toml").write_text(MANIFEST)
    shutil.copy(caffemodel, tmp_path / "other.caffemodel")
    result = netcompile("convert-weights", "--manifest", tmp_path / "manifest.toml")
    assert result.code == 2
    assert (tmp_path / "a.safetensors").exists()
    assert not (tmp_path / "other.safetensors").exists()
    assert f"other ({tmp_path}/other.caffemodel) was not converted:\n" in result.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[weights", "is no TOML file"),
        ("x = 1", "has no [[weights]] tables"),
        ("weights = [1]", "has no [[weights]] tables"),
        ("[[weights]]\nname = 1\nnet = 'a'", "[[weights]] number 1 has no text for name, file"),
    ],
)
def test_a_broken_manifest(netcompile, tmp_path, text, message):
    (tmp_path / "m.toml").write_text(text)
    result = netcompile("convert-weights", "--manifest", tmp_path / "m.toml")
    assert result.code == 2
    assert message in result.err


def test_the_bundled_manifest_names_bundled_nets(repository):
    from netcompile.zoo.find import find_definition
    from netcompile.zoo.published import read_manifest

    rows = read_manifest(str(repository / "weights" / "manifest.toml"))
    assert len(rows) == 31
    assert all(find_definition(row.net) for row in rows if row.net)
    assert {row.name for row in rows if not row.source} == {
        "shapes-fcn8s", "shapes-classifier", "shapes-ssd", "ssd300-voc",
    }  # fmt: skip
