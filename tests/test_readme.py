"""README.md: make's targets and its pictures. tests/docs runs its blocks and follows its links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PICTURES = sorted((REPOSITORY / "docs" / "pictures").iterdir())


def commands() -> list[str]:
    """Command lines of the ``sh`` blocks; NET and the like are no files."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]


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
