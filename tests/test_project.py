"""The house: what the build files promise."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import netcompile


def pinned(repository: Path) -> dict[str, str]:
    lines = (repository / "constraints.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonical(name): pin for name, pin in pins}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_dependency_is_pinned_to_what_is_installed(repository: Path) -> None:
    """All that netcompile needs, directly or not, except what a CUDA build of torch pins by itself."""
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    wanted = [Requirement(text) for text in project["build-system"]["requires"]]
    wanted += [Requirement(text) for text in project["project"]["dependencies"]]
    wanted += [Requirement(text) for text in project["project"]["optional-dependencies"]["dev"]]
    extras = project["project"]["optional-dependencies"]
    optional = [Requirement(text) for name in ("onnx", "docs") for text in extras[name]]
    absent = [need.name for need in optional if find_spec(need.name.replace("-", "_")) is None]
    wanted += [need for need in optional if need.name not in absent]
    pins, seen = pinned(repository), {}
    while wanted:
        requirement = wanted.pop()
        name = canonical(requirement.name)
        if name in seen or name.startswith(("nvidia-", "cuda-")) or name == "triton":
            continue
        try:
            seen[name] = version(name).split("+")[0]
        except PackageNotFoundError:
            seen[name] = "not installed"
        needs = [Requirement(text) for text in distribution(name).requires or ()]
        wanted += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    assert seen == {name: pins.get(name) for name in seen}
    if absent:
        pytest.skip(f"{' and '.join(absent)} not installed: whether all pins are needed was not tested")
    assert set(pins) == set(seen), "constraints.txt pins something that nothing needs"


def test_the_version_is_said_once(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    assert project["project"]["version"] == netcompile.__version__
    assert f"[{netcompile.__version__}]" in (repository / "CHANGELOG.md").read_text()


def test_the_citation_says_what_the_metadata_say(repository: Path) -> None:
    """Its form is that of the Citation File Format 1.2.0: plain keys of the first level, each once."""
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    text = (repository / "CITATION.cff").read_text(encoding="utf-8")
    keys = re.findall(r"^([a-z-]+):", text, re.MULTILINE)
    assert len(set(keys)) == len(keys)
    assert {"cff-version", "message", "title", "authors", "version", "license", "type"} <= set(keys)
    assert re.search(r"^cff-version: 1\.2\.0$", text, re.MULTILINE)
    assert re.search(rf"^version: {re.escape(project['version'])}$", text, re.MULTILINE)
    assert re.search(rf"^license: {re.escape(project['license'])}$", text, re.MULTILINE)
    assert f'  - name: "{project["authors"][0]["name"]}"\n' in text


def test_the_readme_and_ci_name_the_same_test_command(repository: Path) -> None:
    assert re.search(r"^make test\b", (repository / "README.md").read_text(), re.MULTILINE)
    assert (repository / ".ci" / "run").read_text().splitlines()[-1] == "exec make test"


def test_make_alone_lists_every_target(repository: Path) -> None:
    done = subprocess.run(["make", "-s"], cwd=repository, check=True, capture_output=True, text=True)
    listed = re.findall(r"^  make ([a-z-]+) ", done.stdout, re.MULTILINE)
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (repository / "Makefile").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(phony.split())
