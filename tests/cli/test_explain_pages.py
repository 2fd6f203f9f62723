"""The pages of `explain` for codes beyond the text of a prototxt: `check` on their example gives the finding."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

import netcompile as package
from netcompile.diagnostics.codes import explanation

FOLDERS = (
    "analysis",
    "caffemodel",
    "cli",
    "data",
    "emit",
    "engines",
    "export",
    "files",
    "ir",
    "layers",
    "runtime",
    "tasks",
)
USED = re.compile(
    r'(?:\bDiagnostic|(?<![.\w])refuse|\breport)\(\s*"([a-z0-9-]+)"|\bcode\s*(?:: str )?=\s*"([a-z0-9-]+)"'
)
ROOT = Path(package.__file__).parent


@cache
def codes() -> list[str]:
    found = set()
    for folder in FOLDERS:
        for path in ROOT.glob(f"{folder}/**/*.py"):
            found |= {a or b for a, b in USED.findall(path.read_text(encoding="utf-8"))}
    return sorted(found)


@cache
def examples() -> list[tuple[str, str]]:
    found = []
    for code in codes():
        example = re.search(r"```prototxt\n(.*?)\n```\n\n\S", explanation(code) or "", re.DOTALL)
        if example is not None:
            found.append((code, example[1]))
    return found


def test_codes_are_found():
    assert len(codes()) > 50
    assert len(examples()) > 25


@pytest.mark.parametrize("code", codes())
def test_every_code_has_a_page(code):
    page = explanation(code)
    assert page is not None, f"netcompile/diagnostics/pages/{code}.md is missing"
    assert re.match(r"# .+\n\n\S.{40,}", page), "a title, then a paragraph"


@pytest.mark.parametrize(("code", "text"), examples())
def test_the_example_gives_the_finding(netcompile, tmp_path, code, text):
    path = tmp_path / "example.prototxt"
    path.write_text(text)
    result = netcompile("check", path, "--json")
    assert code in {finding["code"] for finding in result.json["findings"]}
