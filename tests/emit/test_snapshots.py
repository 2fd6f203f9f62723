"""Six nets' modules to the letter: what changes in them is meant, and read."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.emit.snapshots import FOLDER, NETS, module

AT_MOST = {  # lines of the net's own classes
    "resnet_50": 110,
    "googlenet": 120,
    "squeezenet_v1_1": 90,
    "densenet": 110,
    "voc_fcn8s": 96,
}


@pytest.mark.parametrize("name", NETS)
def test_modules_are_as_they_were_read(name: str, tmp_path: Path) -> None:
    """After a change that is meant: ``python -m tests.emit.snapshots``, and read what changed."""
    assert module(name, tmp_path) == (FOLDER / f"{name}.py").read_text(encoding="utf-8")


def test_there_are_no_others() -> None:
    assert sorted(path.name for path in FOLDER.iterdir() if path.suffix) == sorted(f"{name}.py" for name in NETS)


@pytest.mark.parametrize("name", AT_MOST)
def test_nets_are_short(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    own = text.partition("\n# region")[0]
    classes = [part for part in ast.parse(own).body if isinstance(part, ast.ClassDef)]
    assert sum((part.end_lineno or 0) - part.lineno + 3 for part in classes) <= AT_MOST[name] + 2
