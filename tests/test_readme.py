"""README.md: its first net, make's targets, its pictures. tests/docs runs its blocks and follows its links."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from netcompile.cli.main import entry
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PICTURES = sorted((REPOSITORY / "docs" / "pictures").iterdir())


def commands() -> list[str]:
    """Command lines of the ``sh`` blocks; NET and the like are no files."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]


def test_the_first_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """`build` writes the files that are named, and prints the table."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (line,) = [command for command in commands() if command.startswith("netcompile build")]
    assert entry(shlex.split(line)[1:]) == 0
    said = capfd.readouterr().out
    (table,) = re.findall(r"^```\n(crop  .*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert table in said
    made = tmp_path / "voc_fcn8s"
    for name in ("voc_fcn8s.py", "offsets.json", "report.html", "manifest.json"):
        assert (made / name).exists(), name
    program = "from voc_fcn8s import VocFcn8s; print(len(VocFcn8s().state_dict()))"
    environment = {**os.environ, "PYTHONPATH": str(made)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 30


def test_every_target_of_make_exists() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"\bmake ([a-z-]+)\b", "\n".join(commands() + re.findall(r"`(make [^`]+)`", prose))))
    assert named >= {"demo", "test", "train-demo"}
    for target in named:
        assert f"\n{target}:" in makefile, target


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture(path: Path) -> None:
    assert path.stat().st_size < 150_000
    assert f"(docs/pictures/{path.name})" in README
    with Image.open(path) as image:
        assert image.width <= 1200
