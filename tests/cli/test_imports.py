"""What a command loads: torch where tensors are computed and nowhere else."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "numpy",
    "networkx",
    "google.protobuf",
    "jinja2",
    "rich",
    "shtab",
    "h5py",
    "safetensors",
    "PIL",
    "scipy",
)
LIGHT = ("offsets", "inspect", "check", "upgrade", "explain")
FOREIGN = (
    "prelude",
    "passes",
    "emit",
    "compiler",
    "spec",
    "data",
    "runtime",
    "tasks",
    "export",
    "engines",
    "train",
    "surgery",
    "api",
)

NEW = """
import sys
before = set(sys.modules)
from netcompile.cli.main import entry
code = entry(sys.argv[1:])
print(" ".join(sorted(set(sys.modules) - before)), file=sys.stderr)
sys.exit(code)
"""

CODE = """
import sys
from netcompile.cli.main import entry
code = entry(sys.argv[1:])
print(" ".join(m for m in {names!r} if m in sys.modules), file=sys.stderr)
sys.exit(code)
"""


def loaded(folder, *arguments, code=0):
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(names=HEAVY), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=folder,
    )
    assert done.returncode == code, done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("command", LIGHT)
def test_light_commands(tmp_path, command):
    argument = "crop-offset" if command == "explain" else "voc-fcn8s/val.prototxt"
    assert loaded(tmp_path, command, argument) == set()


@pytest.mark.parametrize("command", ["offsets", "inspect", "check"])
def test_quick_commands_stay_in_their_rooms(tmp_path, command):
    line = [sys.executable, "-c", NEW, command, "voc-fcn8s/val.prototxt"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = set(done.stderr.splitlines()[-1].split())
    assert "netcompile.analyser" in found
    rooms = {name.split(".")[1] for name in found if name.startswith("netcompile.")}
    assert rooms.isdisjoint(FOREIGN)


def test_offsets_as_json(tmp_path):
    assert loaded(tmp_path, "offsets", "voc-fcn8s/val.prototxt", "--json") == set()


def test_html_needs_its_template_engine_only(tmp_path):
    assert loaded(tmp_path, "offsets", "voc-fcn8s/val.prototxt", "--html") == {"jinja2"}


@pytest.mark.parametrize("net", [[], ["--net", "shapes-fcn8s/deploy.prototxt"]])
def test_conversion_needs_no_torch(tmp_path, repository, net):
    weights = repository / "weights" / "shapes-fcn8s.caffemodel"
    found = loaded(tmp_path, "convert-weights", weights, "-o", tmp_path / "out.safetensors", *net)
    assert found <= {"numpy"}


def test_build_needs_no_torch(tmp_path):
    assert "torch" not in loaded(tmp_path, "build", "voc-fcn8s/val.prototxt")


@pytest.mark.parametrize("arguments", [["surgery"], ["verify", "voc-fcn8s/val.prototxt"]])
def test_a_wrong_usage_loads_nothing_heavy(tmp_path, arguments):
    assert loaded(tmp_path, *arguments, code=2) == set()
