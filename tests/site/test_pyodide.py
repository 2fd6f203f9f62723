"""The built site's Python, run by Node: it answers what this Python answers, byte for byte."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netcompile.site import playground
from netcompile.site.build import WORK
from netcompile.zoo.find import definitions, find_definition
from tests.conftest import REPOSITORY
from tests.site.conftest import Ask

NETS = [name for name in definitions() if not name.endswith("/solver.prototxt")]
REFUSED = sorted((REPOSITORY / "tests" / "refused").glob("*.prototxt"))
LAYER = """
input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layer { name: "r" type: "ReLU" bottom: "data" top: "r" }
"""
SCRIPT = Path(__file__).parent / "node" / "answers.mjs"


@pytest.fixture(scope="module")
def node(site: Path) -> Iterator[Ask]:
    """`node("check")`: the answer of the site's Python."""
    command = ["node", str(SCRIPT), str(site), str(WORK / "node_modules" / "pyodide")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8") as run:
        stdin, stdout = run.stdin, run.stdout
        assert stdin is not None
        assert stdout is not None

        def asked(method: str, **params: Any) -> Any:
            stdin.write(json.dumps({"method": method, "params": params}) + "\n")
            stdin.flush()
            line = stdout.readline()
            assert line, "node has ended"
            return json.loads(line)

        yield asked
        stdin.close()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Ask:
    """The same of this Python."""
    monkeypatch.setattr(playground, "_opened", [])

    def asked(method: str, **params: Any) -> Any:
        return json.loads(playground.answer(method, json.dumps(params)))

    return asked


def test_it_is_this_version(node, here):
    assert node("version") == here("version")


@pytest.mark.parametrize("name", NETS)
def test_a_bundled_net_has_the_same_answers(node, here, name):
    found = find_definition(name)
    assert found is not None
    net = {"text": found.read_text(encoding="utf-8"), "name": name, "options": {}}
    assert node("open", **net) == here("open", **net)
    for method in ("check", "offsets", "explanation", "cost", "upgraded", "source"):
        assert node(method) == here(method), method


@pytest.mark.parametrize("name", ["voc-fcn8s/val.prototxt", "shapes-ssd/deploy.prototxt", "googlenet/deploy.prototxt"])
def test_modules_of_all_kinds_are_the_same(node, here, name):
    found = find_definition(name)
    assert found is not None
    net = {"text": found.read_text(encoding="utf-8"), "name": name}
    node("open", **net), here("open", **net)
    for level in (0, 1, 2):
        for style in ("blocks", "flat"):
            module = node("source", level=level, style=style)
            assert module == here("source", level=level, style=style)
            assert "result" in module
    assert node("report") == here("report")


def test_mistakes_are_the_same(node, here):
    for path in REFUSED:
        net = {"text": path.read_text(encoding="utf-8"), "name": path.name}
        assert node("open", **net) == here("open", **net)
        assert node("check") == here("check")


def test_what_nests_deeply_ends_nothing(node, here):
    deep = {"text": "layer { " * 50_000, "name": "deep"}
    assert node("open", **deep) == here("open", **deep)
    assert "result" in node("version")


def test_completions_are_the_same(node, here):
    request = {"text": 'layer { type: "Con', "position": 18}
    assert node("completions", **request) == here("completions", **request)


SPOILT = {
    "absent": None,
    "empty": b"",
    "cut": lambda memory: memory[: len(memory) // 2],
    "no gzip": lambda memory: b"x" * 1000 + memory[1000:],
    "another memory": lambda memory: gzip.compress(b"no memory of Python's" * 1000),
}


@pytest.mark.parametrize("name", SPOILT)
def test_python_begins_anew_where_its_memory_is_spoilt(site, here, tmp_path, name):
    memory, spoilt = tmp_path / "python.memory", SPOILT[name]
    if spoilt is not None:
        memory.write_bytes(spoilt if isinstance(spoilt, bytes) else spoilt((site / "python.memory").read_bytes()))
    command = ["node", str(SCRIPT), str(site), str(WORK / "node_modules" / "pyodide"), str(memory)]
    net = {"text": LAYER, "name": "net.prototxt"}
    asked = [{"method": "open", "params": net}, {"method": "source", "params": {}}]
    lines = "".join(f"{json.dumps(each)}\n" for each in asked)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [here("open", **net), here("source")]
