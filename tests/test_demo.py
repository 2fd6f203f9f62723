"""The demo, and a notebook, where a wheel was installed: the package alone on the path, an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import REPOSITORY

FIGURES = """overall accuracy 0.9576   (Caffe: 0.9576)
mean accuracy    0.8003   (Caffe: 0.8003)
mean IU          0.7050   (Caffe: 0.7050)
top-1            96 of 100   (on every machine: 96)
mean AP, 11 points 0.9329   (on every machine: 0.9329)
mean AP, area      0.9475   (on every machine: 0.9475)""".splitlines()
PICTURES = REPOSITORY / "docs" / "pictures"
RUN_NOTEBOOK = """
import json, sys
import netcompile
assert netcompile.__file__.startswith(sys.argv[1]), netcompile.__file__
for cell in json.load(open(sys.argv[2], encoding="utf-8"))["cells"]:
    if cell["cell_type"] == "code":
        exec("".join(cell["source"]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a wheel installs; it is built without writing to the repository, and without network."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable, "setup.py", "-q", "egg_info", "-e", folder, "build", "-b", folder / "build",
            "bdist_wheel", "-b", folder / "tree", "-d", folder / "dist",
        ],
        cwd=REPOSITORY, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = (folder / "dist").glob("*.whl")
    assert wheel.stat().st_size < 10_000_000
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def run(installed: Path, folder: Path, *words: str | Path) -> str:
    """What a program says, run in a folder with the installed package alone."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_wheel_has_what_the_repository_bundles(installed: Path) -> None:
    bundled = installed / "netcompile" / "bundled"
    names = [f"weights/shapes-{net}.caffemodel" for net in ("fcn8s", "classifier", "ssd")]
    sets = ("shapes", "shapes-classes", "shapes-detection")
    for data in sets:
        names += [str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "tests" / "data" / data).rglob("*.*")]
    assert len(names) > 250
    for name in names:
        assert (bundled / name).read_bytes() == (REPOSITORY / name).read_bytes(), name


@pytest.mark.long
def test_the_demo(installed: Path, tmp_path: Path) -> None:
    """Its figures are those of every machine; it names what it wrote, and what the README shows is what it makes."""
    said = run(installed, tmp_path, "-m", "netcompile.demo")
    assert "pixels as Caffe labels them: 489308 of 489308 (100.0000%)\n" in said
    for line in FIGURES:
        assert f"\n{line}\n" in said
    looked_at = re.findall(r"^(demo-out/\S+) ", said.partition("What to look at")[2], re.M)
    assert len(looked_at) == 8
    for name in looked_at:
        assert (tmp_path / name).exists(), name
    assert [path.name for path in tmp_path.iterdir()] == ["demo-out"]
    with Image.open(tmp_path / "demo-out" / "results.png") as made, Image.open(PICTURES / "results.webp") as kept:
        assert made.size == kept.size
        apart = np.asarray(made.convert("RGB"), np.int16) - np.asarray(kept.convert("RGB"), np.int16)
    assert np.abs(apart).mean() < 4  # WebP keeps about so much


def test_a_notebook(installed: Path, tmp_path: Path) -> None:
    """The one that reads bundled pictures."""
    run(installed, tmp_path, "-c", RUN_NOTEBOOK, installed, REPOSITORY / "examples" / "ssd.ipynb")
