"""The notebooks of examples/: whole by their format, small, without outputs; every cell runs in an empty folder."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "examples").glob("*.ipynb"))
SAID = {
    "fcn": ["right: 94.8% of the pixels\n", "(200, 61) → (1, 6, 200, 61)\n"],
    "offsets": [
        "score_pool4 starts at 5\n", "score_pool3 starts at 9\n", "score starts at 31\n",
        "the whole net is legal for every H, W\n",
    ],
    "ssd": [
        "ring      1.00  [2.44, 22.44, 45.27, 67.97]\n", "wrote 1 of 1 images to out\n",
        "mean            93.29      94.75\n",
    ],
}  # fmt: skip


def cells(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text(encoding="utf-8"))["cells"])


def test_there_are_some() -> None:
    assert {path.stem for path in NOTEBOOKS} >= SAID.keys()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_format(path: Path) -> None:
    """What nbformat 4.5 requires, and no more than that: outputs are not kept."""
    book = json.loads(path.read_text(encoding="utf-8"))
    assert book.keys() == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert (book["nbformat"], book["nbformat_minor"] >= 5) == (4, True)
    assert book["metadata"]["kernelspec"].keys() == {"display_name", "language", "name"}
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in book["cells"]:
        code = cell["cell_type"] == "code"
        assert cell["cell_type"] in ("code", "markdown")
        own = {"execution_count", "outputs"} if code else set()
        assert cell.keys() == {"cell_type", "id", "metadata", "source"} | own
        assert all(isinstance(line, str) for line in cell["source"])
        assert all(line.endswith("\n") for line in cell["source"][:-1])
        if code:
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
    assert book["cells"][0]["source"][0].startswith("# ")
    assert path.stat().st_size < 20_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In one namespace, in order; the value at the end of a cell can be shown as a notebook shows it."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells(path):
        if cell["cell_type"] == "code":
            shown = run_cell("".join(cell["source"]), names)
            page = getattr(shown, "_repr_html_", getattr(shown, "_repr_png_", str))
            assert page is str or page()
    out, err = capfd.readouterr()
    assert "internal error" not in err
    assert "Traceback" not in err
    for text in SAID.get(path.stem, []):
        assert text in out


def run_cell(text: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of the expression that it ends with, None without one."""
    body = ast.parse(text).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "<cell>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<cell>", "eval"), names) if isinstance(last, ast.Expr) else None
