"""The emitted file: standalone, laid out as ruff would, harmless whatever the names, the same every time."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from netcompile.analyser import analyse
from netcompile.compiler import compile_net
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.emit.module import RUNTIME, EmittedModule
from netcompile.emit.prelude import whole
from netcompile.ir.build import Options
from netcompile.layers.base import Emission, Emitted
from netcompile.prototxt.recognise import open_source
from tests.conftest import CASES, REPOSITORY, ConformanceCase
from tests.kinds import covering

BUNDLED = sorted(str(p.relative_to(REPOSITORY / "prototxt")) for p in REPOSITORY.glob("prototxt/*/*.prototxt"))
NETS = [path for path in BUNDLED if "solver" not in path]


def compiled(text: str, level: int = 1, **options: object) -> EmittedModule:
    return compile_net(analyse(Source(text, "test.prototxt"), Options(**options)), level)  # type: ignore[arg-type]


@cache
def bundled(path: str, level: int = 1) -> EmittedModule:
    return compile_net(analyse(open_source(REPOSITORY / "prototxt" / path)), level)


def ruff(*command: str, source: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "ruff", *command, "--isolated", "--stdin-filename", "net.py", "-"]
    return subprocess.run(words, input=source, capture_output=True, text=True, check=False)


def test_layout_is_ruffs(tmp_path: Path) -> None:
    """At -O2 without weights; test_typed.py has the other levels, and that one with them."""
    for path in NETS:
        (tmp_path / f"{path.replace('/', '_')}.py").write_text(bundled(path, 2).source)
    for case in CASES:
        net = analyse(open_source(case.net), Options(train=case.phase == "TRAIN", level=case.level, stages=case.stages))
        (tmp_path / f"{case.name}.py").write_text(compile_net(net, 2).source)
    for command in (["format", "--diff"], ["check", "--select", "E,F,W"]):
        words = [sys.executable, "-m", "ruff", *command, "--isolated", "--no-cache", str(tmp_path)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", NETS)
def test_the_same_input_gives_the_same_bytes(path: str) -> None:
    assert bundled(path).source == bundled.__wrapped__(path).source


def test_imports_are_torch_and_pythons_alone() -> None:
    for path in NETS:
        for node in ast.walk(ast.parse(bundled(path).source)):
            if isinstance(node, ast.Import):
                assert all(alias.name.split(".")[0] in ("torch", "math") for alias in node.names)
            if isinstance(node, ast.ImportFrom):
                assert node.module in ("torch", "typing", "collections.abc")


EVIL = '\\"; import os; os.system(\\"x\\")  #'
EVIL_NET = f"""
name: "{EVIL}"
layer {{ name: "in" type: "Input" top: "{EVIL}" input_param {{ shape {{ dim: 1 dim: 3 dim: 8 dim: 8 }} }} }}
layer {{ name: "{EVIL}" type: "Convolution" bottom: "{EVIL}" top: "out{EVIL}"
         convolution_param {{ num_output: 2 kernel_size: 3 }} }}
layer {{ name: '\\"\\"\\"' type: "ReLU" bottom: "out{EVIL}" top: 'a\\nb' }}
layer {{ name: "c" type: "ReLU" bottom: "out{EVIL}" top: "\\\\" }}
"""


@pytest.mark.parametrize("level", [0, 1, 2])
def test_names_never_become_code(level: int) -> None:
    module = compiled(EVIL_NET, level)
    tree = ast.parse(module.source)
    calls = {
        node.func.attr
        for node in ast.walk(next(part for part in tree.body if getattr(part, "name", "") == module.class_name))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    ours = {"Conv2d", "relu", "__init__", "compute", "is_grad_enabled", "set_grad_enabled"}
    assert calls <= ours | {name for name in calls if name.endswith("import_os__os_system__x_____")}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert "os" not in names
    docstring = ast.get_docstring(tree)
    assert docstring is not None
    # A docstring, imports, the net's class, and at -O2 what that adds.
    body = [node for node in tree.body[1:] if not isinstance(node, ast.Import | ast.ImportFrom)]
    names = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    added = whole(RUNTIME).keys() if level == 2 else set()
    assert names - added == {module.class_name}
    assert {node.targets[0].id for node in body if isinstance(node, ast.Assign)} <= added


def test_a_variable_never_hides_a_function() -> None:
    text = """
    layer { name: "d" type: "Input" top: "caffe_max_pool" input_param { shape { dim: 1 dim: 1 dim: 9 dim: 9 } } }
    layer { name: "p" type: "Pooling" bottom: "caffe_max_pool" top: "F" pooling_param { kernel_size: 2 stride: 3 } }
    layer { name: "r" type: "ReLU" bottom: "F" top: "torch" }
    """
    source = compiled(text).source
    assert "def forward(self, caffe_max_pool_2: Tensor) -> Tensor:" in source
    assert "F_2, _ = caffe_max_pool(caffe_max_pool_2, " in source
    assert "torch_2: Tensor = F.relu(F_2)" in source


def test_modules_load_and_run_by_themselves(tmp_path: Path) -> None:
    """The file works where netcompile is not installed: only torch is imported, any batch, height and width."""
    (tmp_path / "net.py").write_text(bundled("shapes-fcn8s/deploy.prototxt").source)
    code = (
        "import sys, torch; sys.path.insert(0, sys.argv[1]); import net; m = net.ShapesFcn8s().eval()\n"
        "assert not any(name.startswith('netcompile') for name in sys.modules)\n"
        "for n, h, w in ((1, 1, 1), (2, 33, 70), (1, 96, 128)):\n"
        "    assert m(torch.zeros(n, 3, h, w)).shape == (n, 6, h, w)\n"
    )
    subprocess.run([sys.executable, "-I", "-c", code, str(tmp_path)], check=True)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_other_number_types(dtype: str) -> None:
    import numpy as np

    from netcompile.runtime.execute import run

    case = next(c for c in CASES if c.name == "fcn8s-narrow")
    inputs, expected = case.arrays("inputs"), case.arrays("expected")
    net = analyse(open_source(case.net))
    found = run(net, case.weights, inputs, dtype=dtype)["score"]
    scale = np.abs(expected["blob:score"]).max()
    bound = {"float64": 1e-5, "bfloat16": 3e-2}[dtype]
    assert np.abs(found - expected["blob:score"]).max() <= bound * scale


def graph_cases() -> list[ConformanceCase]:
    """Of one case for each combination of layer types, those with every kind of layer: capture costs half a second."""
    found: dict[frozenset[str], ConformanceCase] = {}
    for case in CASES:
        if case.phase == "TEST" and "narrow" not in case.name:
            found.setdefault(frozenset(re.findall(r'type: "(\w+)"', case.net.read_text())), case)
    nets = {case.name: case for case in found.values()}
    return [nets[name] for name in covering({name: case.net for name, case in nets.items()})]


@pytest.mark.long
def test_whole_graph_capture() -> None:
    """Every conformance net is one graph for torch.compile: no Python that depends on numbers."""
    import torch

    from netcompile.runtime.execute import load_source

    for case in graph_cases():
        net = analyse(open_source(case.net), Options(level=case.level, stages=case.stages, fed=frozenset(case.inputs)))
        module = compile_net(net, 1)
        arrays = case.arrays("inputs")
        inputs = [torch.from_numpy(arrays[v.blob]) for v in module.inputs]
        torch._dynamo.reset()
        torch.compile(load_source(module).eval(), fullgraph=True, backend="eager")(*inputs)


@pytest.mark.parametrize("operation", ["SUM", "PROD", "MAX"])
@pytest.mark.parametrize("level", [0, 2])
def test_very_many_bottoms_nest_no_deeper(operation: str, level: int) -> None:
    shape = "input_param { shape { dim: 1 dim: 1 dim: 2 dim: 2 } }"
    bottoms = 'bottom: "x" bottom: "y" ' * 1500
    body = f"eltwise_param {{ operation: {operation} }}"
    text = (
        f'layer {{ name: "x" type: "Input" top: "x" top: "y" {shape} }}\n'
        f'layer {{ name: "reduce" type: "Eltwise" {bottoms} top: "reduce" {body} }}\n'
    )
    names: dict[str, Any] = {}
    exec(compiled(text, level).source, names)
    x, y = torch.tensor([[[[1.0, 2.0], [1.0, -1.0]]]]), torch.tensor([[[[-1.0, 0.0], [1.0, 1.0]]]])
    wanted = {"SUM": 1500 * (x + y), "PROD": (x * y) ** 1500, "MAX": torch.maximum(x, y)}[operation]
    net = next(v for v in names.values() if isinstance(v, type) and v.__module__ == "builtins")
    assert torch.equal(net()(x, y), wanted)  # every number is exact


def test_a_class_never_hides_one_of_the_prelude() -> None:
    text = """
    name: "BatchNorm"
    layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 2 dim: 1 dim: 9 dim: 9 } } }
    layer { name: "b" type: "BatchNorm" bottom: "d" top: "b" }
    """
    module = compiled(text, train=True)
    assert module.class_name == "BatchNorm_"
    assert "class BatchNorm(nn.Module):" in module.source
    assert "class BatchNorm_(nn.Module):" in module.source


RELU = """
layer { name: "d" type: "Input" top: "join" input_param { shape { dim: 1 dim: 1 dim: 9 dim: 9 } } }
layer { name: "r" type: "ReLU" bottom: "join" top: "y" }
"""


def test_a_variable_never_hides_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    def emit(self: object, e: Emission) -> Emitted:
        return Emitted((f"{e.y[0]} = join({e.x[0]})",), imports=("os.path.join",))

    monkeypatch.setattr("netcompile.layers.activation.ReLU.emit", emit)
    source = compiled(RELU).source
    assert "from os.path import join\n" in source
    assert "y: Tensor = join(join_2)" in source


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("pooling.nothing",), "layer 'r': there is no nothing in netcompile.prelude.pooling"),
        (("nowhere.nothing",), "layer 'r': there is no module netcompile.prelude.nowhere"),
    ],
)
def test_a_layer_whose_function_is_missing_is_refused(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], wanted: str
) -> None:
    monkeypatch.setattr("netcompile.layers.activation.ReLU.emit", lambda self, e: Emitted(functions=names))
    with pytest.raises(NetError) as caught:
        compiled(RELU)
    assert [(d.code, d.what) for d in caught.value.diagnostics] == [("unsupported", wanted)]
