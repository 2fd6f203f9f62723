"""Every code has a page, and the example on it gives the finding."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import netcompile
from netcompile.diagnostics.codes import all_codes, explanation
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.nearest import nearest
from netcompile.diagnostics.source import Source
from netcompile.prototxt.load import load_net
from netcompile.prototxt.parser import parse

PACKAGE = Path(netcompile.__file__).parent
USED = re.compile(
    r"""(?:\bDiagnostic|\brefuse|\breport|\b_junk)\(\s*\n?\s*"([a-z0-9-]+)"|\bcode\s*=\s*"([a-z0-9-]+)" """.strip()
)
HERE = {m[1] or m[2] for p in PACKAGE.glob("prototxt/*.py") for m in USED.finditer(p.read_text(encoding="utf-8"))}
NO_EXAMPLE = {"no-such-file", "too-long", "binary-file", "too-deep", "too-many-mistakes"}


def test_the_codes_are_found() -> None:
    assert len(HERE) > 40
    assert {"unknown-field", "template", "upgraded-v0", "unexpected-text", "unclosed-list", "no-layers"} <= HERE


@pytest.mark.parametrize("code", sorted(HERE))
def test_page(code: str) -> None:
    page = explanation(code)
    assert page is not None, f"netcompile/diagnostics/pages/{code}.md is missing"
    assert re.match(r"# .+\n\n\S.{40,}", page), "a title, then a paragraph"
    example = re.search(r"```prototxt\n(.*?)\n```\n\n\S", page, re.DOTALL)
    if example is None:
        assert code in NO_EXAMPLE
        return
    try:
        findings = load_net(Source(example[1])).notes
    except NetError as error:
        findings = error.diagnostics
    notes = {"upgraded-input", "upgraded-v0", "upgraded-v1"}
    assert {d.code for d in findings} - notes == {code} - notes
    assert code in {d.code for d in findings}


def test_codes_without_an_example() -> None:
    deep = "x { " * 102
    with pytest.raises(NetError) as caught:
        parse(Source(deep))
    assert [d.code for d in caught.value.diagnostics] == ["unknown-field", "too-deep"]
    with pytest.raises(NetError) as caught:
        parse(Source("x: 1 " * 60))
    assert [d.code for d in caught.value.diagnostics] == ["unknown-field"] * 50 + ["too-many-mistakes"]


def test_explanation_of_anything_else() -> None:
    for code in ("no-such-code", "", "../../secret", "unknown-field.md", "Unknown-Field", "a/b", "a\0b"):
        assert explanation(code) is None
    assert nearest("unknown_field", all_codes(), 1, 0.5) == ["unknown-field"]
    assert nearest("duplicate-feild", all_codes(), 1, 0.5) == ["duplicate-field"]
    assert nearest("zzzzzzzz", all_codes(), 1, 0.5) == []
    assert set(all_codes()) >= HERE
