"""Looking definitions up: the path first, then the bundled names, from any folder and installation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netcompile.zoo.find import bundled_folder, definitions, find_definition, find_weights, near_definitions


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["voc-fcn8s/val.prototxt", "voc-fcn8s/val", "prototxt/voc-fcn8s/val.prototxt", "prototxt/voc-fcn8s/val"],
)
def test_a_bundled_name_is_found_from_any_folder(name: str) -> None:
    found = find_definition(name)
    assert found == Path(bundled_folder(), "prototxt/voc-fcn8s/val.prototxt")
    assert found is not None
    assert found.is_file()


def test_a_path_comes_first() -> None:
    Path("voc-fcn8s").mkdir()
    mine = Path("voc-fcn8s/val.prototxt")
    mine.write_text("")
    assert find_definition(mine) == mine
    assert find_definition("voc-fcn8s/train.prototxt") == Path(bundled_folder(), "prototxt/voc-fcn8s/train.prototxt")


@pytest.mark.parametrize(
    "name",
    [
        "voc-fcn8s",
        "voc-fcn8s/",
        "",
        ".",
        "no/such.prototxt",
        "../pyproject.toml",
        "voc-fcn8s/../voc-fcn8s/val",
    ],
)
def test_anything_else_is_not_found(name: str) -> None:
    assert find_definition(name) is None


def test_near_names() -> None:
    assert near_definitions("voc-fcn8s") == [
        "voc-fcn8s/deploy.prototxt",
        "voc-fcn8s/train.prototxt",
        "voc-fcn8s/val.prototxt",
    ]
    assert near_definitions("prototxt/voc_fcn16s/val.prototxt")[0] == "voc-fcn16s/val.prototxt"
    assert near_definitions("something else entirely") == []


def test_weights() -> None:
    assert find_weights("shapes-fcn8s.caffemodel") == Path(bundled_folder(), "weights/shapes-fcn8s.caffemodel")
    assert find_weights("weights/shapes-fcn8s") == Path(bundled_folder(), "weights/shapes-fcn8s.caffemodel")
    assert find_weights("absent.caffemodel") is None


def test_a_built_package_carries_its_definitions(tmp_path: Path, repository: Path) -> None:
    """As a wheel installs it: the library folder alone on the path, the repository not."""
    built = tmp_path / "built"
    subprocess.run(
        [sys.executable, "setup.py", "-q", "egg_info", "-e", tmp_path, "build", "-b", built],
        cwd=repository,
        check=True,
        capture_output=True,
    )
    program = (
        "import sys; from netcompile.zoo.find import *; "
        "print(find_definition('voc-fcn8s/val.prototxt')); print(len(definitions())); "
        "print(find_weights('shapes-fcn8s.caffemodel')); "
        "print(*[m for m in sys.modules if m in ('torch', 'numpy')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(built / "lib")},
        check=True,
        capture_output=True,
        text=True,
    )
    bundled = built / "lib" / "netcompile" / "bundled"
    assert done.stdout.splitlines() == [
        str(bundled / "prototxt/voc-fcn8s/val.prototxt"),
        str(len(definitions())),
        str(bundled / "weights/shapes-fcn8s.caffemodel"),
        "",
    ]
