"""README.md: what it says a command prints is what it prints, and what it links to is there."""

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


def sessions() -> list[tuple[str, str]]:
    """Each command line of the ``console`` blocks, and what stands below it."""
    blocks = re.findall(r"^```console\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    said = [part.partition("\n") for block in blocks for part in block.removeprefix("$ ").split("\n$ ")]
    return [(line, output.rstrip("\n")) for line, _, output in said]


def commands() -> list[str]:
    """Command lines of the ``sh`` blocks; NET and the like are no files."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize(("line", "output"), sessions(), ids=lambda text: " ".join(text.split()[1:3]))
def test_what_a_command_prints(
    line: str, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In a folder with the repository's tests; notes come first."""
    (tmp_path / "tests").symlink_to(REPOSITORY / "tests")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    words = shlex.split(line)
    assert words[0] == "netcompile"
    assert entry(words[1:]) == 0
    said, notes = capfd.readouterr()
    assert (notes + said).rstrip("\n") == output


def test_there_are_sessions() -> None:
    assert {line.split()[1] for line, _ in sessions()} == {"predict", "evaluate"}


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


def test_every_link_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert len(links) > 10
    assert [link for link in links if not (REPOSITORY / link.partition("#")[0]).exists()] == []


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture(path: Path) -> None:
    assert path.stat().st_size < 150_000
    assert f"(docs/pictures/{path.name})" in README
    with Image.open(path) as image:
        assert image.width <= 1200
