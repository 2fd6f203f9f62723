"""The example plugin, installed as pip installs it and found by its entry point; in processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

NET = """
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 2 dim: 2 } } }
layer { name: "twist" type: "Swirl" bottom: "data" top: "out" }
"""

PROGRAM = """
import sys
from netcompile.ir.build import Options
from netcompile.analyser import analyse
from netcompile.compiler import compile_net
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source

try:
    net = analyse(Source(sys.argv[1]), Options()).require()
except NetError as error:
    print(error.diagnostics[0].what)
    raise SystemExit(2)
import torch
from netcompile.runtime.execute import load_source

module = compile_net(net)
made = load_source(module)
made.load_state_dict({"twist_factor": torch.tensor([1.0, 2.0, 3.0])})
x = torch.arange(12.0).reshape(1, 3, 2, 2)
print(made(x).flatten().tolist())
print("import netcompile" in module.source or "from netcompile" in module.source)
"""


def run(site: Path | None) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT), *([str(site)] if site else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, NET], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plugin installed; from a copy, since a build leaves files beside its sources."""
    source, target = tmp_path_factory.mktemp("source") / "plugin", tmp_path_factory.mktemp("site")
    shutil.copytree(HERE, source, ignore=shutil.ignore_patterns("test_*", "__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--isolated", "install", "--quiet"]
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--no-compile", "--target", str(target)]
    done = subprocess.run([*pip, *options, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def test_without_the_plugin_the_type_is_unknown() -> None:
    done = run(None)
    assert done.returncode == 2, done.stderr
    assert done.stdout.strip() == "unknown layer type 'Swirl'"


def test_installed_it_is_found_and_used(site: Path) -> None:
    assert list(site.glob("netcompile_swirl-*.dist-info/entry_points.txt"))
    done = run(site)
    assert done.returncode == 0, done.stderr
    numbers, imports = done.stdout.splitlines()
    assert numbers == "[8.0, 9.0, 10.0, 11.0, 0.0, 2.0, 4.0, 6.0, 12.0, 15.0, 18.0, 21.0]"
    assert imports == "False"  # what is emitted needs neither netcompile nor the plugin
