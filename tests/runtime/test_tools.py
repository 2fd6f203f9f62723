"""`time`, `spec`, and the Python API."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import torch

import netcompile as package
from netcompile.diagnostics.codes import explanation
from netcompile.diagnostics.diagnostic import NetError
from tests.conftest import CASES, REPOSITORY

BY_NAME = {case.name: case for case in CASES}

# --- time


@pytest.mark.parametrize(
    "name", ["v1-net", "concat-self", "lstm", "shared-params", "softmaxloss-fcn", "argmax-topk-val"]
)
def test_every_layer_is_timed(netcompile, monkeypatch, name):
    monkeypatch.setattr("netcompile.runtime.timing.peaks", lambda *_: {"matmul": 1e9, "convolution": 2e9})
    case = BY_NAME[name]
    weights = ("--weights", case.weights) if case.weights else ()
    call = (case.net, "--phase", case.phase.lower(), "--with-loss")
    done = netcompile("time", *call, *weights, "--iterations", "1", "-O0", "--json")
    assert done.code == 0, done.err
    layers = netcompile("inspect", *call, "--json").json["layers"]
    computed = [layer for layer in layers if layer["bottoms"] and layer["tops"]]
    assert [t["name"] for t in done.json["layers"]] == [layer["name"] for layer in computed]
    learned = False
    for timed, layer in zip(done.json["layers"], computed, strict=True):
        learned = learned or bool(layer["blobs"])
        assert timed["forward"] > 0
        share = timed["macs"] / timed["forward"] * 1e3 / 2e9 if timed["macs"] else None
        assert timed["share"] == (pytest.approx(share) if share is not None else None)
        if not learned:
            assert timed["backward"] is None
    assert done.json["peak"].keys() == {"matmul", "convolution"}


@pytest.mark.parametrize(("name", "code"), [("fuzz/permute-scalar", 0), ("nets/rois-from-data-layer", 2)])
def test_drawn_scalars_and_regions_are_no_bug(netcompile, monkeypatch, name, code):
    monkeypatch.setattr("netcompile.runtime.timing.peaks", lambda *_: {"matmul": 1e9})
    done = netcompile("time", REPOSITORY / "tests" / "found" / f"{name}.prototxt", "--iterations", "1")
    assert done.code == code, done.err


def test_a_net_beyond_all_memory_is_no_bug(netcompile):
    done = netcompile("verify", REPOSITORY / "tests" / "found" / "attacks" / "o2_sizetoocomplex.prototxt", "--self")
    assert (done.code, done.err.splitlines()[-1]) == (3, "netcompile: error: not enough memory")


def test_groups_that_were_fused_are_timed_as_one(netcompile, monkeypatch):
    monkeypatch.setattr("netcompile.runtime.timing.peaks", lambda *_: {"matmul": 1e9})
    case = BY_NAME["bn-scale-inplace"]
    for weights in (("--weights", case.weights), ()):
        done = netcompile("time", case.net, *weights, "--iterations", "1", "-O2", "--json")
        assert done.code == 0, done.err
        assert [(t["name"], t["fused"]) for t in done.json["layers"]] == [("c", ["bn", "sc", "r"])]
    alone = netcompile("time", case.net, "--iterations", "1", "-O0", "--json").json["layers"]
    assert [(t["name"], t["fused"]) for t in alone] == [("c", []), ("bn", []), ("sc", []), ("r", [])]


def test_the_sums_are_in_the_words_of_caffe(netcompile, pixels):
    done = netcompile("time", pixels.net, "--input", "data=1x3x8x8", "--iterations", "3")
    assert done.code == 0, done.err
    forward, backward, both, total = (
        float(next(line for line in done.out.splitlines() if line.startswith(start)).split()[-2])
        for start in ("Average Forward pass: ", "Average Backward pass: ", "Average Forward-Backward: ", "Total Time: ")
    )
    assert both == pytest.approx(forward + backward, abs=2e-4)
    assert total == pytest.approx(3 * both, abs=1e-3)
    assert "score  Convolution" in done.out


def test_time_refuses(netcompile, pixels):
    assert "--iterations: '0' is no number above 0" in netcompile("time", pixels.net, "--iterations", "0").err
    done = netcompile("time", "shapes-fcn8s/deploy.prototxt", "--weights", pixels.weights)
    assert (done.code, "error[weights-missing]" in done.err) == (2, True)


# --- spec

SCRIPT = """\
import caffe
from caffe import layers as L
n = caffe.NetSpec()
n.data = L.Input(shape=dict(dim=[1, 3, 4, 4]))
n.score = L.Convolution(n.data, num_output=2, kernel_size=1)
with open('out.prototxt', 'w') as f:
    f.write(str(n.to_proto()))
"""


def test_spec_runs_a_script_in_the_current_folder(netcompile, tmp_path, monkeypatch):
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets/net.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    assert netcompile("spec", "nets/net.py").code == 0
    layers = netcompile("inspect", "out.prototxt", "--json").json["layers"]
    assert [(layer["name"], layer["type"]) for layer in layers] == [("data", "Input"), ("score", "Convolution")]


@pytest.mark.parametrize(
    ("text", "code", "what"),
    [
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('no data')", 2, "netcompile: no data"),
        ("import sys; sys.exit()", 0, ""),
        ("x = 1\nraise ValueError('bad')", 2, "net.py:2:1: error[spec-script]: ValueError: bad"),
        ("print 'x'", 2, "error[spec-script]: not Python 3: "),
    ],
)
def test_spec_exits_as_the_script_does(netcompile, tmp_path, monkeypatch, text, code, what):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(text)
    done = netcompile("spec", "net.py")
    assert (done.code, what in done.err) == (code, True), done.err


def test_spec_without_a_script(netcompile, tmp_path):
    assert "there is no file 'none.py'" in netcompile("spec", "none.py").err
    assert "is a folder" in netcompile("spec", tmp_path).err


# --- the API


def test_the_package_is_imported_at_once():
    code = "import sys, netcompile; print(sorted({'torch', 'numpy', 'netcompile.api'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


def test_a_layer_may_be_named_as_what_a_module_has_inside(tmp_path):
    text = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: [1, 3, 5, 5] } } }\n'
    text += 'layer { name: "_forward_hooks" type: "Convolution" bottom: "x" top: "y" '
    text += "convolution_param { num_output: 2 kernel_size: 3 } }\n"
    (tmp_path / "net.prototxt").write_text(text)
    assert package.load(tmp_path / "net.prototxt")(torch.zeros(1, 3, 5, 5)).shape == (1, 2, 3, 3)


def test_load_computes_what_run_computes(tmp_path):
    case = BY_NAME["v1-net"]
    data = case.arrays("inputs")["data"]
    for level in (0, 1, 2):
        net = package.load(case.net, case.weights, level=level)
        with torch.inference_mode():
            found = net(torch.from_numpy(data)).numpy()
        assert np.allclose(found, case.arrays("expected")["blob:s"], atol=1e-6)
    both = package.load(case.net, case.weights, outputs=["p", "s"])(torch.from_numpy(data))
    assert list(both) == ["p", "s"]


def test_load_a_build(netcompile, tmp_path):
    case = BY_NAME["v1-net"]
    netcompile("build", case.net, "--weights", case.weights, "-o", tmp_path / "b")
    net = package.load(tmp_path / "b")
    with torch.inference_mode():
        found = net(torch.from_numpy(case.arrays("inputs")["data"])).numpy()
    assert np.allclose(found, case.arrays("expected")["blob:s"], atol=1e-6)
    with pytest.raises(ValueError, match="a build has its weights and outputs"):
        package.load(tmp_path / "b", case.weights)
    netcompile("build", case.net, "-o", tmp_path / "bare")
    with pytest.raises(NetError, match="it was built without weights"):
        package.load(tmp_path / "bare")


def test_load_for_training(pixels):
    shapes = {"data": [1, 3, 5, 4], "label": [1, 1, 5, 4]}
    net = package.load(pixels.net, pixels.weights, phase="train", with_loss=True, inputs=shapes)
    assert net.training
    net(torch.zeros(1, 3, 5, 4), torch.zeros(1, 1, 5, 4)).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_load_refuses(tmp_path):
    with pytest.raises(ValueError, match="phase is 'test' or 'train', not 'val'"):
        package.load("shapes-fcn8s/deploy.prototxt", phase="val")
    with pytest.raises(AttributeError, match="module 'netcompile' has no attribute 'loud'"):
        package.loud  # noqa: B018
    with pytest.raises(NetError, match="shapes-fcn8s"):
        package.load("voc-fcn8s/val.prototxt", "shapes-fcn8s.caffemodel")


def test_every_code_has_a_page(repository):
    used = re.compile(r'\b(?:Diagnostic|refuse)\(\s*f?"([a-z0-9-]+)"')
    folder = repository / "netcompile"
    files = [path for part in ("runtime", "data", "tasks", "surgery") for path in (folder / part).rglob("*.py")]
    codes = {code for path in files for code in used.findall(path.read_text())}
    assert {"image-broken", "surgery", "mean-assumed"} <= codes
    for code in sorted(codes):
        assert re.match(r"# .+\n\n\S.{40,}", explanation(code) or ""), f"netcompile/diagnostics/pages/{code}.md"
