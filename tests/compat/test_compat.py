"""What the package says that it runs on is what `make compat` runs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from tests.compat.__main__ import combinations


def test_floors_and_classifiers_are_what_was_run(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    pythons = sorted({Version(each.python) for each in combinations()})
    torches = sorted({Version(each.torch) for each in combinations()})
    assert project["requires-python"] == f">={pythons[0]}"
    torch = next(Requirement(text) for text in project["dependencies"] if text.startswith("torch"))
    (floor,) = [Version(part.version) for part in torch.specifier if part.operator == ">="]
    assert floor == torches[0]
    said = [Version(c) for c in re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))]
    assert said[0] == pythons[0]
    assert said[-1] == pythons[-1]
    assert said == [Version(f"3.{minor}") for minor in range(pythons[0].minor, pythons[-1].minor + 1)]


def test_old_and_new_are_crossed() -> None:
    """The oldest PyTorch has no wheel for the newest Python."""
    found = {(each.python, each.torch) for each in combinations()}
    pythons = sorted({python for python, _ in found}, key=Version)
    torches = sorted({torch for _, torch in found}, key=Version)
    assert {(pythons[0], torches[0]), (pythons[0], torches[-1]), (pythons[-1], torches[-1])} <= found
    assert [each.oldest for each in combinations() if (each.python, each.torch) == (pythons[0], torches[0])] == [True]
