"""Nets in other engines: the numbers, shapes and errors of the module, and what an engine refuses."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import netcompile as package
from netcompile.cli.main import entry
from netcompile.diagnostics.diagnostic import NetError
from netcompile.engines import engine as engine_file
from netcompile.engines.catalogue import CHOICES, ENGINES, engine_called
from netcompile.engines.engine import WRITING
from netcompile.engines.module import EngineModule
from netcompile.runtime.loaded import load_build
from tests.cli.conftest import Call
from tests.conftest import CONFORMANCE_FORKS, REPOSITORY, SHAPES
from tests.engines.nets import ENGINE, RELU, numpy_engine

WRITES = all(find_spec(name) for name in WRITING)
writes = pytest.mark.skipif(not WRITES, reason="onnx or onnxscript not installed")
WITHIN = 1e-4  # of the largest magnitude


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    gap = (one - other).abs().max().item() if one.numel() else 0.0
    return one.shape == other.shape and gap <= WITHIN * max(one.abs().max().item() if one.numel() else 0.0, 1e-30)


@pytest.mark.long
@pytest.mark.parametrize("engine", ENGINE)
def test_a_net_of_any_size_gives_the_modules_numbers(engine: str) -> None:
    """Batches and sizes are as free as the module's."""
    files = ("shapes-fcn8s/deploy.prototxt", "shapes-fcn8s.caffemodel")
    plain, net = package.load(*files), package.load(*files, engine=engine)
    assert not list(net.parameters())
    assert not net.training
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for shape in ((1, 3, 96, 128), (2, 3, 33, 47), (1, 3, 1, 1), (0, 3, 64, 64)):
            x = 40 * torch.randn(shape, generator=random)
            assert close(plain(x), net(x)), shape


@pytest.mark.parametrize("engine", ENGINE)
def test_several_outputs_come_by_name(tmp_path: Path, engine: str) -> None:
    (tmp_path / "net.prototxt").write_text(RELU)
    x = torch.randn(2, 2, 5, 3)
    found = package.load(tmp_path / "net.prototxt", outputs=["relu", "data"], engine=engine)(x)
    assert list(found) == ["relu", "data"]
    assert torch.equal(found["relu"], x.relu())
    assert torch.equal(found["data"], x)


@pytest.mark.parametrize("engine", ENGINE)
def test_a_classifier_and_its_errors(engine: str) -> None:
    files = ("shapes-classifier/deploy.prototxt", "shapes-classifier.caffemodel")
    plain, net = package.load(*files), package.load(*files, engine=engine)
    x = 40 * torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert close(plain(x), net(x))
    with pytest.raises(RuntimeError) as wanted, torch.no_grad():
        plain(torch.zeros(1, 3, 2, 2))
    with pytest.raises(RuntimeError) as found:
        net(torch.zeros(1, 3, 2, 2))
    assert str(found.value) == str(wanted.value)


@pytest.mark.parametrize("engine", ENGINE)
def test_detections(engine: str) -> None:
    """Rows as SSD's own code gives them."""
    folder = CONFORMANCE_FORKS / "detection-ssd-21"
    net = package.load(folder / "net.prototxt", engine=engine)
    inputs, expected = np.load(folder / "inputs.npz"), np.load(folder / "expected.npz")
    found = net(*(torch.from_numpy(inputs[name]) for name in ("loc", "conf", "prior")))
    assert close(torch.from_numpy(expected["blob:out"]), found)


@pytest.mark.parametrize("engine", ENGINE)
def test_predict_and_evaluate_say_the_same(netcompile: Call, tmp_path: Path, engine: str) -> None:
    folder = REPOSITORY / "tests" / "data" / "shapes-classes"
    names = sorted(path.name for path in (folder / "images").iterdir())[:6]
    (tmp_path / "list.txt").write_text("".join(f"{folder}/images/{n} {i % 5}\n" for i, n in enumerate(names)))
    net = ["shapes-classifier/deploy.prototxt", "--weights", "shapes-classifier.caffemodel"]
    options = ["--mean", "104,117,123", "--crop", "64"]
    scores, classes = [], []
    for one in ("torch", engine):
        chosen = [*net, *options, "--engine", one]
        found = netcompile("evaluate", *chosen, "--data", tmp_path / "list.txt", "--json")
        assert found.code == 0, found.err
        scores.append(found.json)
        out = tmp_path / one
        found = netcompile("predict", *chosen, *(folder / "images" / name for name in names), "-o", out)
        assert found.code == 0, found.err
        classes.append([json.loads(line) for line in (out / "classes.jsonl").read_text().splitlines()])
    assert scores[0] == scores[1]
    for wanted, given in zip(*classes, strict=True):
        assert [one["class"] for one in given["top"]] == [one["class"] for one in wanted["top"]]
        assert [one["score"] for one in given["top"]] == pytest.approx(
            [one["score"] for one in wanted["top"]], abs=1e-4
        )


@pytest.mark.parametrize("engine", ENGINE)
def test_label_maps_are_the_same(netcompile: Call, tmp_path: Path, engine: str) -> None:
    net = ["shapes-fcn8s/deploy.prototxt", "--weights", "shapes-fcn8s.caffemodel"]
    images = sorted((SHAPES / "VOC" / "JPEGImages").iterdir())[:2]
    for one in ("torch", engine):
        found = netcompile("predict", *net, "--engine", one, "--mean", "0", *images, "-o", tmp_path / one)
        assert found.code == 0, found.err
    for image in images:
        maps = [np.asarray(Image.open(tmp_path / one / "labels" / f"{image.stem}.png")) for one in ("torch", engine)]
        assert maps[0].shape == maps[1].shape
        assert (maps[0] != maps[1]).mean() <= 1e-3
        assert maps[0].any()


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that was built with its ONNX file, without, and with one that is not its own."""
    folder = tmp_path_factory.mktemp("builds")
    files = ["shapes-classifier/deploy.prototxt", "--weights", "shapes-classifier.caffemodel"]
    assert entry(["build", *files, "--onnx", "-o", str(folder / "onnx")]) == 0
    assert entry(["build", *files, "-o", str(folder / "plain")]) == 0
    shutil.copytree(folder / "onnx", folder / "changed")
    (folder / "changed" / "shapes_classifier.onnx").write_bytes(b"another")
    return folder


EXPORTED = "its module is exported for the declared height and width alone"
CHANGED = "'shapes_classifier.onnx' is not the file that was built: the module is exported in its place"


@pytest.mark.parametrize(("kind", "said"), [("onnx", []), ("plain", [EXPORTED]), ("changed", [CHANGED, EXPORTED])])
@pytest.mark.parametrize("engine", ENGINE)
def test_a_build(builds: Path, engine: str, kind: str, said: list[str]) -> None:
    plain = package.load(builds / "onnx")
    x = 40 * torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net = package.load(builds / kind, engine=engine)
    assert len(caught) == len(said)
    assert all(text in str(warning.message) for text, warning in zip(said, caught, strict=True))
    with torch.no_grad():
        assert close(plain(x), net(x))


@pytest.mark.parametrize("engine", ENGINE)
def test_what_cannot_be_exported_is_refused_at_its_place(netcompile: Call, tmp_path: Path, engine: str) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text(RELU)
    np.savez(tmp_path / "in.npz", data=np.zeros((1, 2, 4, 4), np.float32))
    line = ["run", net, "--inputs", tmp_path / "in.npz", "--out", tmp_path / "out.npz", "--engine", engine]
    found = netcompile(*line, "--phase", "train")
    assert found.code == 2
    assert f"{net}:2:1: error[export]: small cannot be exported for training" in found.err
    assert netcompile(*line).code == 0
    assert (np.load(tmp_path / "out.npz")["relu"] == 0).all()


@pytest.mark.parametrize("engine", [engine.name for engine in ENGINES])
@pytest.mark.parametrize("command", ["run", "time", "predict", "evaluate"])
def test_an_engine_that_is_absent(
    netcompile: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, command: str
) -> None:
    monkeypatch.setattr(engine_file, "find_spec", lambda name: None if name == engine else True)
    net = tmp_path / "net.prototxt"
    net.write_text(RELU.replace("dim: 2", "dim: 3"))
    np.savez(tmp_path / "in.npz", data=np.zeros((1, 3, 4, 4), np.float32))
    (tmp_path / "list.txt").write_text("a.png a.png\n")
    rest = {
        "run": ["--inputs", tmp_path / "in.npz", "--out", tmp_path / "out.npz"],
        "time": [],
        "predict": [tmp_path / "a.png", "-o", tmp_path / "out"],
        "evaluate": ["--data", tmp_path / "list.txt", "--task", "segmentation"],
    }[command]
    (tmp_path / "a.png").write_bytes(b"")
    found = netcompile(command, net, *rest, "--engine", engine)
    assert found.code == 2
    extra = engine_called(engine).extra
    assert found.err == (
        f"error[engine-missing]: --engine {engine} needs {engine}, which is not installed\n"
        f'  fix: pip install "netcompile[{extra}]"\n'
    )


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_where_and_in_what_an_engine_computes(engine: engine_file.Engine) -> None:
    with pytest.raises(NetError) as caught:
        engine.require("cuda:1")
    assert str(caught.value) == (
        f"error[engine]: --device cuda:1: {engine.title} computes on the CPU here\n"
        "  why: its GPU parts are not used\n  fix: --engine torch computes on a GPU"
    )
    assert engine.dtypes == (("float32", "bfloat16") if engine.name == "openvino" else ("float32",))
    for dtype in {"bfloat16", "float64"} - {*engine.dtypes}:
        with pytest.raises(NetError) as caught:
            engine.require("cpu", dtype)
        assert str(caught.value) == (
            f"error[engine]: --dtype {dtype}: {engine.title} computes in {' or '.join(engine.dtypes)} here\n"
            f"  why: the ONNX file has weights of 32 bits\n  fix: --engine torch takes {dtype}"
        )


def test_names_of_engines(netcompile: Call) -> None:
    assert CHOICES == ("torch", "onnxruntime", "openvino", "auto")
    assert netcompile("time", "shapes-fcn8s/deploy.prototxt", "--engine", "onyx").code == 2
    with pytest.raises(ValueError, match="engine is one of torch, onnxruntime, openvino, auto, not 'onyx'"):
        package.load("shapes-fcn8s/deploy.prototxt", engine="onyx")


@pytest.fixture
def module() -> EngineModule:
    """A ReLU in an engine of the tests' own."""
    engine = numpy_engine()
    session = engine.open("", {}, 1)
    return EngineModule(engine, session, torch.nn.ReLU(), {"data": (1, 2, 4, 4)}, ["relu"])


def test_a_module_in_use(module: EngineModule) -> None:
    x = torch.randn(2, 2, 3, 3, requires_grad=True)
    found = module(x)
    assert torch.equal(found, x.detach().relu())
    assert not found.requires_grad
    assert torch.equal(module(torch.arange(-2, 2)), torch.tensor([0.0, 0.0, 0.0, 1.0]))  # as labels come
    assert module.eval() is module.cpu() is module.float() is module.to("cpu") is module
    assert copy.deepcopy(module) is module
    assert repr(module) == "EngineModule(NumPy: data → relu)"


def test_what_a_module_refuses(module: EngineModule) -> None:
    with pytest.raises(NetError, match="NumPy computes, and does not learn"):
        module.train()
    for move in (lambda: module.double(), lambda: module.to("meta"), lambda: module.bfloat16()):
        with pytest.raises(NetError, match=r"NumPy computes in torch\.float32"):
            move()
    with pytest.raises(ValueError, match=r"input 'data' is torch.float64: NumPy computes in torch.float32 here"):
        module(torch.zeros(1, dtype=torch.float64))
    with pytest.raises(ValueError, match="input 'data' is on meta: NumPy computes on the CPU here"):
        module(torch.zeros(1, device="meta"))
    with pytest.raises(TypeError, match=r"the net takes 1 inputs \(data\), not 2"):
        module(torch.zeros(1), torch.zeros(1))
    with pytest.raises(TypeError, match="a net in NumPy cannot be pickled"):
        pickle.dumps(module)


def test_a_session_in_bfloat16() -> None:
    """What goes in may be of that type; what comes out is float32."""
    engine = numpy_engine()
    module = EngineModule(
        engine, engine.open("", {}, 1, "bfloat16"), torch.nn.ReLU(), {"data": (1, 2)}, ["relu"], dtype="bfloat16"
    )
    assert module.to(torch.bfloat16) is module.float() is module
    found = module(torch.tensor([[1.5, -2.0]], dtype=torch.bfloat16))
    assert found.dtype == torch.float32
    assert found.tolist() == [[1.5, 0.0]]
    with pytest.raises(NetError, match=r"NumPy computes in torch\.bfloat16"):
        module.double()


@pytest.mark.skipif(not find_spec("openvino") or not WRITES, reason="openvino not installed")
def test_bfloat16_in_openvino(netcompile: Call, tmp_path: Path) -> None:
    image = 40 * np.random.RandomState(1).standard_normal((1, 3, 96, 128)).astype(np.float32)
    np.savez(tmp_path / "in.npz", data=image)
    command = ["run", "shapes-fcn8s/deploy.prototxt", "--weights", "shapes-fcn8s.caffemodel"]
    command += ["--inputs", tmp_path / "in.npz", "--out", tmp_path / "out.npz"]
    results = []
    for options in ([], ["--engine", "openvino", "--dtype", "bfloat16"]):
        assert netcompile(*command, *options).code == 0
        results.append(np.load(tmp_path / "out.npz")["score"])
    assert np.abs(results[0] - results[1]).max() <= 0.05 * np.abs(results[0]).max()


def test_another_shape_than_the_modules_is_no_result() -> None:
    engine = numpy_engine()
    made = torch.nn.Flatten()
    module = EngineModule(engine, engine.open("", {}, 1), made, {"data": (1, 2, 4, 4)}, ["relu"])
    with pytest.raises(ValueError, match="NumPy makes 'relu' 1×2×3×3 of 1×2×3×3; the module 1×18"):
        module(torch.zeros(1, 2, 3, 3))


def test_a_net_that_asks_for_numbers_takes_what_is_legal() -> None:
    """PyTorch's meta device says nothing of such a net; what is known of its sizes does."""

    class Asks(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[: int(x.sum())]

    engine = numpy_engine()
    module = EngineModule(
        engine, engine.open("", {}, 1), Asks(), {"data": (1, 2, 4, 4)}, ["relu"], lambda shapes: shapes[0][2] == 4
    )
    assert module(torch.ones(1, 2, 4, 4)).shape == (1, 2, 4, 4)
    with pytest.raises(ValueError, match="in NumPy this net does not take 1×2×5×4"):
        module(torch.ones(1, 2, 5, 4))


@writes
def test_an_engine_that_computes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text(RELU)
    wrong = numpy_engine(0.5, "onnxruntime")
    monkeypatch.setattr("netcompile.engines.catalogue.ENGINES", (wrong,))
    with pytest.raises(NetError) as caught:
        package.load(net, engine="onnxruntime")
    (finding,) = caught.value.diagnostics
    assert (finding.code, finding.what) == ("export", "small is not what NumPy computes")
    assert finding.why.startswith("input 1×2×4×4, blob 'relu': a difference of ")


@pytest.mark.parametrize("engine", ENGINE)
def test_memory_is_bounded(engine: str) -> None:
    with pytest.raises(NetError) as caught:
        package.load("shapes-fcn8s/deploy.prototxt", "shapes-fcn8s.caffemodel", engine=engine, max_memory="3MB")
    assert caught.value.diagnostics[0].code == "too-large"
    assert "to give the net to another engine" in caught.value.diagnostics[0].what


def test_a_build_knows_its_onnx_file(netcompile: Call, tmp_path: Path) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text(RELU)
    assert netcompile("build", net, "-o", tmp_path / "out").code == 0
    assert load_build(str(tmp_path / "out")).onnx is None
