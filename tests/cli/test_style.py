"""A net in blocks as its users have it: built, run, verified, scored, exported, copied, loaded from a hub."""

from __future__ import annotations

import copy
import doctest
import io
import json
import pickle
import subprocess
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import netcompile as package
from netcompile.analyser import analyse
from netcompile.caffemodel.recipe import Take
from netcompile.caffemodel.writer import Blob, Layer, write_caffemodel
from netcompile.compiler import compile_net
from netcompile.ir.build import Options
from netcompile.prototxt.recognise import open_source
from netcompile.runtime.random_weights import numbers

INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 24 dim: 24 } } }\n'
CONV = """layer { name: "%s" type: "Convolution" bottom: "%s" top: "%s"
  convolution_param { num_output: %d kernel_size: 3 pad: 1 stride: %d bias_term: false } }
layer { name: "%s_bn" type: "BatchNorm" bottom: "%s" top: "%s" }
layer { name: "%s_scale" type: "Scale" bottom: "%s" top: "%s" scale_param { bias_term: true } }
"""
RELU = 'layer { name: "%s_relu" type: "ReLU" bottom: "%s" top: "%s" }\n'
SUM = 'layer { name: "%s" type: "Eltwise" bottom: "%s" bottom: "%s_branch2b" top: "%s" }\n'
HEAD = """layer { name: "all" type: "Pooling" bottom: "%s" top: "all" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "all" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def conv(name: str, bottom: str, width: int, stride: int = 1) -> str:
    return CONV % (name, bottom, name, width, stride, *[name] * 6)


def relu(name: str) -> str:
    return RELU % (name, name, name)


def residual_net() -> str:
    """A small classifier of residual blocks, of two widths."""
    text, before = INPUT + conv("conv1", "data", 4) + relu("conv1"), "conv1"
    for stage, width in enumerate((4, 8, 8), 2):
        for letter in "abcd":
            unit, short, stride = f"res{stage}{letter}", before, 1
            if letter == "a":
                short, stride = f"{unit}_branch1", min(stage - 1, 2)
                text += conv(short, before, width, stride)
            text += conv(f"{unit}_branch2a", before, width, stride) + relu(f"{unit}_branch2a")
            text += conv(f"{unit}_branch2b", f"{unit}_branch2a", width)
            text += SUM % (unit, short, unit, unit) + relu(unit)
            before = unit
    return text + HEAD % before


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The net's prototxt and a caffemodel for it."""
    folder = tmp_path_factory.mktemp("style")
    net, weights = folder / "small.prototxt", folder / "small.caffemodel"
    net.write_text(residual_net())
    analysed = analyse(open_source(str(net)), Options()).require()
    layers = []
    for found in compile_net(analysed, 0).blobs:
        name = found.node.name
        made = [numbers(Take(name, i), spec, 1) for i, spec in enumerate(found.specs)]
        if found.node.type == "BatchNorm":
            made[2] = np.ones_like(made[2])
        layers.append(Layer(name, found.node.type, [Blob(a.shape, a.astype("<f4").tobytes()) for a in made]))
    write_caffemodel(weights, "small", layers)
    return net, weights


@pytest.fixture(scope="module")
def builds(files, tmp_path_factory):
    """The net built in both styles, at the default level."""
    from netcompile.cli.main import entry

    folder = tmp_path_factory.mktemp("builds")
    net, weights = files
    for style in ("flat", "blocks"):
        assert entry(["build", str(net), "--weights", str(weights), "--style", style, "-o", str(folder / style)]) == 0
    return folder


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def test_blocks_are_the_default_where_they_save_a_quarter(netcompile, files, builds, tmp_path):
    assert netcompile("build", files[0], "--weights", files[1], "-o", tmp_path / "b").code == 0
    assert manifest(tmp_path / "b")["style"] == "blocks"
    assert (tmp_path / "b" / "small.py").read_text() == (builds / "blocks" / "small.py").read_text()


def test_level_0_is_flat(netcompile, files, tmp_path):
    result = netcompile("build", files[0], "-O0", "--style", "blocks", "-o", tmp_path / "b")
    assert result.code == 0
    assert manifest(tmp_path / "b")["style"] == "flat"


def test_keys_lead_to_the_blobs_numbers(files, builds):
    from netcompile.caffemodel.reader import read_caffemodel

    stored = {layer.name: layer for layer in read_caffemodel(str(files[1])).layers}
    for style in ("flat", "blocks"):
        keys, state = manifest(builds / style)["keys"], load_file(builds / style / "small.safetensors")
        assert {key.rpartition(".")[0] for key in keys} == set(stored)
        assert set(keys.values()) == {key for key in state if not key.endswith("num_batches_tracked")}
        assert state[keys["fc.0"]].shape == (5, 8)
    blocks = manifest(builds / "blocks")["keys"]
    assert blocks["res2b_branch2a.0"] != blocks["res2c_branch2a.0"]
    flat, state = load_file(builds / "flat" / "small.safetensors"), load_file(builds / "blocks" / "small.safetensors")
    for blob, key in manifest(builds / "flat")["keys"].items():
        assert torch.equal(flat[key], state[blocks[blob]]), blob


def test_convert_weights_writes_what_build_does(netcompile, files, builds, tmp_path):
    for style in ("flat", "blocks"):
        out = tmp_path / f"{style}.safetensors"
        assert netcompile("convert-weights", files[1], "--net", files[0], "--style", style, "-o", out).code == 0
        assert out.read_bytes() == (builds / style / "small.safetensors").read_bytes()
    assert netcompile("convert-weights", files[1], "--net", files[0], "-o", tmp_path / "x.safetensors").code == 0
    assert (tmp_path / "x.safetensors").read_bytes() == (builds / "blocks" / "small.safetensors").read_bytes()


def test_the_module_stands_alone(builds, tmp_path):
    """As the docstring says: with torch and safetensors, and nothing of netcompile."""
    folder = builds / "blocks"
    program = (
        "import sys, torch\n"
        "from safetensors.torch import load_file\n"
        "sys.modules['netcompile'] = None\n"
        f"sys.path.insert(0, {str(folder)!r})\n"
        "from small import Small\n"
        "net = Small().eval()\n"
        f"net.load_state_dict(load_file({str(folder / 'small.safetensors')!r}), strict=True)\n"
        "print(tuple(net(torch.zeros(2, 3, 31, 17)).shape))\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (0, "(2, 5)\n"), done.stderr


def test_the_docstring_runs(builds, monkeypatch):
    """Its lines load the weights and call the net, in the build's folder, whatever the module itself imports."""
    for style in ("flat", "blocks"):
        monkeypatch.chdir(builds / style)
        module = types.ModuleType("small")
        exec(compile((builds / style / "small.py").read_text(), "small.py", "exec"), vars(module))
        assert "torch" not in vars(module)
        result = doctest.testmod(module, report=True)
        assert result.failed == 0
        assert result.attempted > 3


def test_run_gives_every_blob(netcompile, files, tmp_path):
    """--blobs all asks for what is within blocks: all are there, the same as at -O0."""
    np.savez(tmp_path / "in.npz", data=np.random.RandomState(1).standard_normal((1, 3, 24, 24)).astype(np.float32))
    found = {}
    for level in "012":
        out = tmp_path / f"{level}.npz"
        options = ("--inputs", tmp_path / "in.npz", "--out", out, "--blobs", "all", f"-O{level}")
        assert netcompile("run", files[0], "--weights", files[1], *options).code == 0
        with np.load(out) as arrays:
            found[level] = dict(arrays)
    assert found["0"].keys() == found["1"].keys() == found["2"].keys()
    for name, array in found["0"].items():
        for level in "12":
            assert np.abs(found[level][name] - array).max() <= 1e-5 * max(1e-3, np.abs(array).max()), name


def test_verify_knows_blobs_within_blocks(netcompile, files, builds, tmp_path):
    assert netcompile("verify", files[0], "--self").code == 0
    random = np.random.RandomState(1).standard_normal((1, 3, 24, 24)).astype(np.float32)
    np.savez(tmp_path / "in.npz", data=random)
    inputs = ("--inputs", tmp_path / "in.npz")
    assert netcompile("verify", builds / "blocks", "--reference", builds / "flat", *inputs).code == 0
    out = tmp_path / "all.npz"
    options = (*inputs, "--out", out, "--blobs", "all", "-O0")
    assert netcompile("run", files[0], "--weights", files[1], *options).code == 0
    compared = netcompile(
        "verify", files[0], "--weights", files[1], "--reference", out, "--inputs", tmp_path / "in.npz"
    )
    assert compared.code == 0
    built = netcompile("verify", builds / "blocks", "--reference", out, *inputs)
    assert built.code == 0, built.err


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Images in a folder for each class."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("images")
    random = np.random.RandomState(2)
    for index in range(3):
        (folder / f"c{index}").mkdir()
        Image.fromarray(random.randint(0, 256, (24, 24, 3), np.uint8)).save(folder / f"c{index}" / "a.png")
    return folder


def test_predict_and_evaluate_take_a_build_in_blocks(netcompile, builds, images, tmp_path):
    said = {}
    for style in ("flat", "blocks"):
        result = netcompile("predict", builds / style, images, "-o", tmp_path / style)
        assert result.code == 0, result.err
        said[style] = (tmp_path / style / "classes.jsonl").read_text()
    assert said["flat"] == said["blocks"]
    (tmp_path / "list.txt").write_text("".join(f"c{index}/a.png {index}\n" for index in range(3)))
    scores = []
    for style in ("flat", "blocks"):
        data = ("--data", tmp_path / "list.txt", "--root", images, "--json")
        result = netcompile("evaluate", builds / style, *data)
        assert result.code == 0, result.err
        scores.append({k: v for k, v in result.json.items() if k not in ("net", "build", "seconds", "weights")})
    assert scores[0] == scores[1]


@pytest.mark.long
def test_onnx_of_blocks(netcompile, files, tmp_path):
    """The command itself holds the ONNX file against the module."""
    pytest.importorskip("onnxruntime")
    options = ("--weights", files[1], "--style", "blocks", "--onnx", "-o", tmp_path / "b")
    result = netcompile("build", files[0], *options)
    assert result.code == 0, result.err
    assert (tmp_path / "b" / "small.onnx").exists()


def test_load_takes_a_style(files, builds):
    x = torch.randn(1, 3, 24, 24)
    with torch.inference_mode():
        nets = {style: package.load(files[0], files[1], style=style) for style in ("flat", "blocks", None)}
        results = [net(x) for net in nets.values()] + [package.load(builds / s)(x) for s in ("flat", "blocks")]
    for each in results[1:]:  # MKL's product with a vector rounds by where its matrix lies, up to names' lengths
        torch.testing.assert_close(each, results[0], rtol=0, atol=5e-7 * float(results[0].abs().max()))
    assert set(nets["blocks"].state_dict()) == set(nets[None].state_dict()) != set(nets["flat"].state_dict())
    with pytest.raises(ValueError, match=r"^style is 'blocks' or 'flat', not 'loops'$"):
        package.load(files[0], files[1], style="loops")


@pytest.fixture(scope="module")
def net(files):
    return package.load(files[0], files[1], style="blocks")


def test_copies_and_files_of_a_net_in_blocks(net, tmp_path):
    x = torch.randn(1, 3, 24, 24)
    with torch.inference_mode():
        wanted = net(x)
        assert torch.equal(copy.deepcopy(net)(x), wanted)
        assert torch.equal(pickle.loads(pickle.dumps(net))(x), wanted)
        inner = next(part for part in net.modules() if type(part).__name__ == "BasicBlock")
        assert type(pickle.loads(pickle.dumps(inner))).__name__ == "BasicBlock"
        torch.save(net, tmp_path / "net.pt")
        assert torch.equal(torch.load(tmp_path / "net.pt", weights_only=False)(x), wanted)
        stored = io.BytesIO()
        torch.save(net.state_dict(), stored)
        stored.seek(0)
        net.load_state_dict(torch.load(stored, weights_only=True))


def test_a_saved_net_in_blocks_is_read_by_another_process(net, tmp_path):
    torch.save(net, tmp_path / "net.pt")
    program = "import torch; print(tuple(torch.load('net.pt', weights_only=False)(torch.zeros(1, 3, 24, 24)).shape))"
    path = {"PYTHONPATH": str(Path(package.__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=path, check=False
    )
    assert (done.returncode, done.stdout) == (0, "(1, 5)\n"), done.stderr


def test_a_net_in_blocks_is_traced_and_exported(net):
    x = torch.randn(1, 3, 24, 24)
    with torch.no_grad():
        wanted = net(x)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            traced = torch.jit.trace(net, x)
        assert torch.equal(traced(x), wanted)
        exported = torch.export.export(net, (x,)).module()
        assert torch.allclose(exported(x), wanted, rtol=1e-5, atol=1e-6)


def test_a_hub_gives_blocks(repository, files):
    got = torch.hub.load(
        str(repository), "net", str(files[0]), str(files[1]), source="local", style="blocks", trust_repo=True
    )
    assert any(type(part).__name__ == "BasicBlock" for part in got.modules())


def test_a_net_in_blocks_learns(files):
    made = package.load(files[0], phase="train", style="blocks", outputs=["fc"])
    learn = torch.optim.SGD(made.parameters(), lr=0.05)
    x, y = torch.randn(8, 3, 24, 24), torch.arange(8) % 5
    losses = []
    for _ in range(5):
        loss = torch.nn.functional.cross_entropy(made(x), y)
        learn.zero_grad()
        loss.backward()
        learn.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_both_styles_give_one_report(builds):
    """The same page but for the module and the lines in it."""
    data = []
    for style in ("flat", "blocks"):
        page = (builds / style / "report.html").read_text()
        found = json.loads(page.partition('<script type="application/json" id="data">')[2].partition("</script>")[0])
        module = found["module"].split("\n")
        for layer in found["layers"]:
            code = layer.pop("code", [])
            assert all(0 < first <= last <= len(module) for first, last in code)
            if layer["type"] in ("Convolution", "InnerProduct"):
                assert [line for line, _ in code if module[line - 1].lstrip().startswith("self.")], layer["name"]
        data.append({key: value for key, value in found.items() if key not in ("module", "sha256")})
    assert data[0] == data[1]


@pytest.mark.parametrize(
    ("level", "why"),
    [
        ("0", "the net of -O0 is literal"),
        ("1", "no part of it repeats so that a class would make it shorter"),
        ("2", "at -O2 it computes windows of blobs, by layers that two methods share"),
    ],
)
def test_blocks_asked_for_in_vain_are_told(netcompile, tmp_path, level, why):
    weights = ("--weights", "shapes-fcn8s.caffemodel")
    made = netcompile(
        "build", "shapes-fcn8s/deploy.prototxt", *weights, "-O", level, "--style", "blocks", "-o", tmp_path / "b"
    )
    assert f"note[usage]: the module is flat\n  why: {why}\n" in made.err
    assert json.loads((tmp_path / "b/manifest.json").read_text())["style"] == "flat"


def test_weights_are_converted_for_the_outputs_of_a_build(netcompile, tmp_path, files):
    """An output in the midst of a chain of blocks ends it."""
    net, weights = files
    keys = {}
    for outputs in ((), ("--output", "res3c")):
        line = ("--style", "blocks", *outputs)
        assert netcompile("build", net, *line, "-o", tmp_path / "b").code == 0
        keys[outputs] = json.loads((tmp_path / "b/manifest.json").read_text())["keys"]
        out = tmp_path / "n.safetensors"
        done = netcompile("convert-weights", weights, "--net", net, *line, "-o", out)
        assert done.code == 0, done.err
        assert set(keys[outputs].values()) <= set(load_file(out))
    assert keys[()] != keys["--output", "res3c"]
