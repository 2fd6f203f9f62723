"""Which engine `auto` takes: the fastest, measured once and kept; torch where no other can."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import netcompile as package
from netcompile.engines import choice, kept
from netcompile.engines.choice import measure
from netcompile.engines.kept import Answer, case, keep, read
from netcompile.engines.module import EngineModule
from tests.cli.conftest import Call
from tests.engines.nets import RELU, ROWS, numpy_engine
from tests.engines.test_engines import writes


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "net.prototxt"
    path.write_text(RELU)
    return path


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """`figures(torch=2, onnxruntime=1)`: what measuring gives from then on; the list has who was measured."""

    def set_figures(**milliseconds: float) -> list[str]:
        measured: list[str] = []

        def measure(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
            for run in runs.values():
                run()
            measured.extend(runs)
            return {name: milliseconds[name] for name in runs}

        monkeypatch.setattr(choice, "measure", measure)
        return measured

    engines = (numpy_engine(0, "onnxruntime"), numpy_engine(0.5, "openvino"))
    monkeypatch.setattr("netcompile.engines.catalogue.ENGINES", engines)
    monkeypatch.setattr(kept, "ENGINES", engines)
    return set_figures


def run(netcompile: Call, net: Path, *options: str) -> str:
    """What `run` says with -v, but for the last line, which has its time."""
    np.savez(net.parent / "in.npz", data=np.full((1, 2, 4, 4), -1, np.float32))
    files = ["--inputs", net.parent / "in.npz", "--out", net.parent / "out.npz"]
    found = netcompile("run", net, *files, "--engine", "auto", *options)
    assert found.code == 0, found.err
    assert (np.load(net.parent / "out.npz")["relu"] == 0).all()
    return "".join(line for line in found.err.splitlines(True) if "netcompile: run took" not in line)


@writes
def test_the_fastest_is_taken_and_kept(
    netcompile: Call, small: Path, figures: Callable[..., list[str]], cache: Path
) -> None:
    """OpenVINO here computes something else, and is left out."""
    measured = figures(torch=3.25, onnxruntime=1.5)
    said = run(netcompile, small, "-v")
    (file,) = cache.iterdir()
    assert re.fullmatch(r"small-[0-9a-f]{16}\.json", file.name)
    wrong = r"small is not what NumPy computes: input 1×2×4×4, blob 'relu': a difference of \S+ of the largest value"
    assert re.search(
        "note\\[engine-measured\\]: onnxruntime computes the net, as was measured: torch 3.25 ms, onnxruntime 1.5 ms\n"
        f"  why: kept in {re.escape(str(file))}; left out: {wrong}\n",
        said,
    )
    assert measured == ["torch", "onnxruntime"]
    answer = json.loads(file.read_text())
    assert list(answer) == [
        "format", "net", "digest", "shapes", "threads", "cpu", "versions", "engine", "milliseconds", "why"
    ]  # fmt: skip
    assert (answer["net"], answer["engine"]) == ("small", "onnxruntime")
    assert answer["shapes"] == {"data": [1, 2, 4, 4]}
    assert answer["milliseconds"] == {"torch": 3.25, "onnxruntime": 1.5}
    assert "as was measured before" in run(netcompile, small, "-v")
    assert run(netcompile, small) == ""
    assert measured == ["torch", "onnxruntime"]  # no more
    assert isinstance(package.load(small, engine="auto"), EngineModule)


@writes
def test_torch_is_taken_where_it_is_the_fastest(small: Path, figures: Callable[..., list[str]], cache: Path) -> None:
    measured = figures(torch=1, onnxruntime=1.5)
    for _ in range(2):
        assert not isinstance(package.load(small, engine="auto"), EngineModule)
    assert len(measured) == 2
    assert json.loads(next(cache.iterdir()).read_text())["engine"] == "torch"


@writes
def test_what_changes_the_case_is_measured_anew(
    small: Path, figures: Callable[..., list[str]], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = figures(torch=2, onnxruntime=1)
    package.load(small, engine="auto")
    package.load(small, engine="auto", inputs={"data": (1, 2, 5, 5)})
    small.write_text(RELU.replace("relu", "rely"))
    package.load(small, engine="auto")
    monkeypatch.setattr(kept, "processor", lambda: "another CPU")
    package.load(small, engine="auto")
    monkeypatch.setattr(kept, "version_of", lambda name: "9.9")
    package.load(small, engine="auto")
    assert len(list(cache.iterdir())) == 5
    assert len(measured) == 10


@writes
@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 2, "engine": "torch"}', "\0"])
def test_an_answer_that_cannot_be_read_is_none(
    small: Path, figures: Callable[..., list[str]], cache: Path, text: str
) -> None:
    measured = figures(torch=2, onnxruntime=1)
    package.load(small, engine="auto")
    (file,) = cache.iterdir()
    whole = file.read_text()
    file.write_text(text)
    package.load(small, engine="auto")
    assert len(measured) == 4
    assert file.read_text() == whole


@writes
def test_a_cache_that_cannot_be_written(
    netcompile: Call, small: Path, figures: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures(torch=1, onnxruntime=2)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    said = run(netcompile, small, "-v")
    assert "note[engine-measured]: what was measured cannot be kept, and will be measured again" in said
    assert f"why: Not a directory: {tmp_path}/file/netcompile/engines" in said


def test_where_answers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    for given in ("", "relative/folder"):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert kept.cache_folder() == "/home/somebody/.cache/netcompile/engines"
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert kept.cache_folder() == "/elsewhere/netcompile/engines"


def test_hostile_names_stay_in_the_folder(cache: Path) -> None:
    for name in ("../../up", "/etc/passwd", "a" * 10_000, "", "\ud800\n", "x\0y"):
        asked = case(name, "source", {name: (1, 2)}, 2)
        assert os.path.dirname(asked.path) == str(cache)
        assert keep(asked, Answer("torch", {"torch": 1.0})) == ""
        assert read(asked) == Answer("torch", {"torch": 1.0})


def test_nothing_else_is_installed(netcompile: Call, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netcompile.engines.engine.find_spec", lambda name: None)
    assert run(netcompile, small) == ""
    assert "note[engine-measured]: torch computes the net: of ONNX Runtime, OpenVINO none is installed" in run(
        netcompile, small, "-v"
    )


FALLBACK = "note[engine]: --engine auto: torch computes this net\n"


def test_other_types(netcompile: Call, small: Path) -> None:
    said = run(netcompile, small, "--dtype", "float64")
    assert said == f"{FALLBACK}  why: other engines compute in float32 here, not in float64\n"
    said = run(netcompile, small, "--phase", "train")
    assert said == f"{FALLBACK}  why: other engines do not learn\n"


def test_rows_that_depend_on_numbers(tmp_path: Path) -> None:
    net = tmp_path / "rows.prototxt"
    net.write_text(ROWS)
    with pytest.warns(UserWarning, match="torch computes this net") as told:
        made = package.load(net, engine="auto")
    first, _, _, why = str(told[0].message).splitlines()
    assert first == f"{net}:4:1: {FALLBACK}".strip()
    assert why == "  why: how many rows layer 'filter' gives depends on numbers"
    found = made(torch.arange(8.0).reshape(4, 2), torch.tensor([0.0, 1.0, 0.0, 1.0]))
    assert found.tolist() == [[2.0, 3.0], [6.0, 7.0]]


@writes
def test_a_net_that_cannot_be_exported(
    small: Path, figures: Callable[..., list[str]], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason is told at its place, kept, and told again without another try."""
    figures()
    tries = []

    def no_export(net, *others):
        tries.append(net)
        raise refused(net, "cannot be written as ONNX", why="a reason")

    from netcompile.export.sizes import refused

    monkeypatch.setattr("netcompile.engines.compiled.convert_onnx", no_export)
    for place in (f"{small}:2:1: ", ""):
        with pytest.warns(UserWarning, match="torch computes this net") as told:
            made = package.load(small, engine="auto")
        lines = str(told[0].message).splitlines()
        assert (lines[0], lines[-1]) == (
            f"{place}{FALLBACK}".strip(),
            "  why: small cannot be written as ONNX: a reason",
        )
        assert not isinstance(made, EngineModule)
    assert len(tries) == 1


def test_measuring_ends_in_time() -> None:
    """The first runs do not count; then one of each counts whatever it takes, or as many as fit into the budget."""
    now = [0.0]
    ran: list[str] = []

    def takes(name: str, *seconds: float) -> Callable[[], None]:
        left = list(seconds)

        def run() -> None:
            ran.append(name)
            now[0] += left.pop(0) if len(left) > 1 else left[0]

        return run

    found = measure({"a": takes("a", 5.0, 2.5), "b": takes("b", 0.5)}, 2.0, lambda: now[0])
    assert found == {"a": 2500.0, "b": 500.0}
    assert ran == [*"aabbb", *"ab"]
    ran.clear()
    found = measure({"a": takes("a", 1.0, 0.5, 0.25, 0.5), "b": takes("b", 0.5)}, 2.0, lambda: now[0])
    assert ran == [*"aaaabbb", *"ab" * 2]
    assert found == {"a": 500.0, "b": 500.0}
    ran.clear()
    warming = [1 / 32] * choice.WARM
    found = measure({"a": takes("a", *warming, 1 / 16, 1 / 32)}, 0.125, lambda: now[0])
    assert len(ran) == choice.WARM + 3  # in one turn, whose first run is left out
    assert found == {"a": 31.25}
