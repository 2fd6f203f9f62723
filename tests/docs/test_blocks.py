"""Every block of every page does what the page says: see session.py for which is run, and how."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.generator.markdown import blocks
from docs.generator.pages import sources
from netcompile.layers import base
from tests.conftest import REPOSITORY
from tests.docs.session import Session, dialogue, lines, look_at_program, parse

PAGES = ["README.md", *sources()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the page's own: no layers of plugins before it, and those that it registers are gone behind it."""
    plugins = {name: layer for name, layer in base.REGISTRY.items() if not layer.__module__.startswith("netcompile.")}
    for name in plugins:
        del base.REGISTRY[name]
    (tmp_path / "tests").symlink_to(REPOSITORY / "tests")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    own = [name for name, module in sys.modules.items() if str(tmp_path) in str(getattr(module, "__file__", ""))]
    for name in own:
        del sys.modules[name]
    for name in [name for name, layer in base.REGISTRY.items() if layer.__module__ in own]:
        del base.REGISTRY[name]
    base.REGISTRY.update(plugins)


@pytest.mark.parametrize("page", [page for page in PAGES if list(blocks((REPOSITORY / page).read_text("utf-8")))])
def test_blocks(page: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In the order in which they stand."""
    session = Session(page, lambda: tuple(capfd.readouterr()))
    wrong = ""
    for block in blocks((REPOSITORY / page).read_text(encoding="utf-8")):
        try:
            session.run(block)
        except Exception as error:
            wrong = f"{page}:{block.line}: {type(error).__name__}: {error}"
            break
    if wrong:
        pytest.fail(wrong, pytrace=False)


def test_every_doctest_is_in_a_block() -> None:
    """Outside of one a page would show it as a quotation, and nobody would run it."""
    for page in PAGES:
        text = (REPOSITORY / page).read_text(encoding="utf-8")
        inside = sum(block.text.count("\n>>> ") + block.text.startswith(">>> ") for block in blocks(text))
        assert text.count("\n>>> ") == inside, page


def test_a_mistake_is_found(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copy(REPOSITORY / "prototxt" / "shapes-fcn8s" / "deploy.prototxt", folder / "net.prototxt")
    wrong = {
        "console": "$ netcompile check net.prototxt\nno finding\n",
        "sh": "netcompile check absent.prototxt\n",
        "python": ">>> 1 + 1\n3\n",
        "json": '{"a": 1\n',
    }
    for language, text in wrong.items():
        session = Session("page", lambda: tuple(capfd.readouterr()))
        (block,) = blocks(f"```{language}\n{text}```\n")
        with pytest.raises((AssertionError, ValueError)):
            session.run(block)
    for line in ("netcompile check --pear net.prototxt", "netcompile chek net.prototxt"):
        with pytest.raises(AssertionError):
            parse(line)
    for line in ("make pears", 'pip install ".[pears]"', "curl address"):
        with pytest.raises(AssertionError):
            look_at_program(line)


def test_command_lines() -> None:
    assert lines("make demo   # a remark\nnetcompile build A \\\n  -o B\n# a remark\n") == [
        "make demo",
        "netcompile build A -o B",
    ]
    assert dialogue("$ one\nsaid\n\nmore\n$ two\n") == [("one", "said\n\nmore\n"), ("two", "\n")]
