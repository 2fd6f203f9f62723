"""Plans of convolutions' ways: kept, read again, refused where they are broken; `tune`, `--tune`, `load(…, tune=)`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import netcompile as package
from netcompile.diagnostics.diagnostic import NetError
from netcompile.engines import plans
from netcompile.runtime import company
from netcompile.runtime.tuning import Choice, Tuning, apply, convolutions
from tests.cli.conftest import Call
from tests.engines.nets import RELU

NET = """\
name: "two"
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 12 dim: 10 } } }
layer { name: "point" type: "Convolution" bottom: "data" top: "point"
  convolution_param { num_output: 5 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "score" type: "Convolution" bottom: "point" top: "score"
  convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }
"""
SIZE = (1, 12, 10)
MEASURED = Tuning(
    (
        Choice("point", SIZE, "matrix", "onednn", {"matrix": 2.5, "onednn": 1.25}),
        Choice("score", SIZE, "matrix", "matrix", {"matrix": 1.5, "onednn": 1.75}),
    ),
    4.0, 2.5, True, 1.75,
)  # fmt: skip
DROPPED = Tuning(MEASURED.choices, 4.0, 4.25, False, 1.75)
SAME = Tuning((Choice("point", SIZE, "matrix", "matrix", {"matrix": 2.5}),), 4.0, 4.0, False, 0.5)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "two.prototxt"
    path.write_text(NET)
    return path


@pytest.fixture
def folder(cache: Path) -> Path:
    """Where plans are kept."""
    return cache.parent / "plans"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What was measured: type, shapes, seconds, threads; a test puts what is found before it into `FOUND`."""
    asked: list[tuple[Any, ...]] = []

    def tune(net: Any, inputs: Any, seconds: float) -> Tuning:
        shapes = [tuple(x.shape) for x in inputs]
        asked.append((str(next(net.parameters()).dtype), *shapes, seconds, torch.get_num_threads()))
        apply(net, FOUND[0].choices if FOUND[0].faster else ())
        return FOUND[0]

    monkeypatch.setattr(plans, "tune", tune)
    monkeypatch.setattr(company.COMPANY, "there", False)
    monkeypatch.setattr(plans, "processor", lambda: "a CPU")
    FOUND[:] = [MEASURED]
    return asked


FOUND: list[Tuning] = []
Measured = list[tuple[Any, ...]]


def ways(net: Any) -> dict[str, dict[Any, str]]:
    return {name: dict(layer.plan) for name, layer in convolutions(net).items()}


def test_a_plan_is_measured_once_and_kept(net: Path, measured: Measured, folder: Path) -> None:
    first, again = (package.load(net, tune=True) for _ in range(2))
    assert measured == [("torch.float32", (1, 3, 12, 10), 2.0, torch.get_num_threads())]
    assert ways(first) == ways(again) == {"point": {SIZE: "onednn"}, "score": {}}
    (file,) = folder.iterdir()
    assert re.fullmatch(r"two-[0-9a-f]{16}\.json", file.name)
    kept = json.loads(file.read_text())
    layers = kept["case"].pop("layers")
    assert re.fullmatch("[0-9a-f]{64}", layers)
    assert kept == {
        "format": 1,
        "case": {
            "net": "two", "size": {"data": [1, 6]}, "dtype": "float32", "threads": torch.get_num_threads(),
            "cpu": "a CPU", "instructions": torch.backends.cpu.get_cpu_capability(),
            "versions": {"netcompile": package.__version__, "torch": torch.__version__},
        },
        "inputs": {"data": [1, 3, 12, 10]},
        "by_rule": 4.0, "by_plan": 2.5, "faster": True, "seconds": 1.75,
        "layers": [
            {"layer": "point", "shape": [1, 12, 10], "rule": "matrix", "way": "onednn",
             "milliseconds": {"matrix": 2.5, "onednn": 1.25}, "calls": 1},
            {"layer": "score", "shape": [1, 12, 10], "rule": "matrix", "way": "matrix",
             "milliseconds": {"matrix": 1.5, "onednn": 1.75}, "calls": 1},
        ],
    }  # fmt: skip


def test_without_tune_a_kept_plan_is_not_used(net: Path, measured: Measured) -> None:
    package.load(net, tune=True)
    assert not any(ways(package.load(net, level=2)).values())
    assert len(measured) == 1


def test_a_plan_that_was_dropped_is_kept_and_not_used(net: Path, measured: Measured) -> None:
    FOUND[:] = [DROPPED]
    for _ in range(2):
        assert not any(ways(package.load(net, tune=0.5)).values())
    assert [seconds for *_, seconds, _ in measured] == [0.5]


def test_what_changes_the_case_is_measured_anew(net: Path, measured: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    package.load(net, tune=True)
    package.load(net, tune=True, inputs={"data": (1, 3, 11, 11)})  # of as many pixels, about
    assert len(measured) == 1
    package.load(net, tune=True, inputs={"data": (1, 3, 12, 11)})
    package.load(net, tune=True, inputs={"data": (2, 3, 12, 10)})
    net.write_text(NET.replace("num_output: 5", "num_output: 6"))
    package.load(net, tune=True)
    monkeypatch.setattr(plans, "processor", lambda: "another CPU")
    package.load(net, tune=True)
    monkeypatch.setattr(plans, "version_of", lambda name: "9.9")
    package.load(net, tune=True)
    monkeypatch.setattr("torch.get_num_threads", lambda: 77)
    package.load(net, tune=True)
    assert len(measured) == 7


def changed(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda kept: {**kept, **fields}


def entry(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda kept: {**kept, "layers": [{**kept["layers"][0], **fields}]}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda kept: [], "list indices must be integers or slices, not str"),
        (lambda kept: {}, "it has no 'format'"),
        (changed(format=2), "it is another case's"),
        (changed(case={}), "it is another case's"),
        (changed(faster=1), "it is no list of layers, or not whether they are faster"),
        (changed(layers={}), "it is no list of layers, or not whether they are faster"),
        (changed(layers=[[]]), "list indices must be integers or slices, not str"),
        (changed(by_rule="fast"), "'fast' is no time"),
        (changed(by_plan=float("nan")), "nan is no time"),
        (changed(seconds=-1), "-1 is no time"),
        (changed(by_rule=10**400), "int too large to convert to float"),
        (entry(layer="scored"), "the net has no convolution 'scored'"),
        (entry(layer=[]), "unhashable type: 'list'"),
        (entry(shape=[1, 2]), "[1, 2] is no size"),
        (entry(shape=[1, 2, 2.5]), "[1, 2, 2.5] is no size"),
        (entry(shape=[1, 0, 2]), "[1, 0, 2] is no size"),
        (entry(shape=[True, 1, 2]), "[True, 1, 2] is no size"),
        (entry(way="tiles of 3"), "'tiles of 3' is no way"),
        (entry(way=["onednn"]), "['onednn'] is no way"),
        (entry(rule="__class__"), "'__class__' is no way"),
        (entry(milliseconds={"magic": 1}), "'magic' is no way"),
        (entry(milliseconds={"onednn": None}), "None is no time"),
        (entry(milliseconds=[]), "'list' object has no attribute 'items'"),
        (entry(calls="many"), "'many' is no number of calls"),
    ],
)
def test_a_plan_that_is_none_is_told_and_measured_anew(
    net: Path, measured: Measured, folder: Path, change: Callable[[dict[str, Any]], Any], why: str
) -> None:
    package.load(net, tune=True)
    (file,) = folder.iterdir()
    whole = file.read_text()
    file.write_text(json.dumps(change(json.loads(whole))))
    what = "warning[plan-file]: the plan that was kept for two is none: it is measured anew"
    with pytest.warns(UserWarning, match="plan-file") as told:
        made = package.load(net, tune=True)
    lines = str(told[0].message).splitlines()
    assert lines[0] == what
    assert lines[1].startswith(f"  why: {file}: {why}")
    assert ways(made)["point"] == {SIZE: "onednn"}
    assert file.read_text() == whole
    assert len(measured) == 2


@pytest.mark.parametrize("text", ["", "{", "\0", "[" * 100_000, "9" * 10_000])
def test_a_file_that_is_no_json(net: Path, measured: Measured, folder: Path, text: str) -> None:
    package.load(net, tune=True)
    (file,) = folder.iterdir()
    file.write_text(text)
    with pytest.warns(UserWarning, match="plan-file"):
        package.load(net, tune=True)
    assert len(measured) == 2


def test_a_plan_cannot_be_kept(
    net: Path, measured: Measured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, netcompile: Call
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    why = f"Not a directory: {tmp_path}/file/netcompile/plans"
    with pytest.warns(UserWarning, match="plan-file") as told:
        package.load(net, tune=True)
    what = f"warning[plan-file]: the plan of two cannot be kept: it will be measured again\n  why: {why}"
    assert [str(note.message) for note in told if "cannot be kept" in str(note.message)] == [what]
    done = netcompile("tune", net)
    assert (done.code, f"{what}\n" in done.err, "kept in" in done.out) == (0, True, False)


def test_values_that_are_no_seconds(net: Path) -> None:
    for value in ("yes", -1, float("nan"), float("inf"), None):
        with pytest.raises(ValueError, match="tune is True, False or a number of seconds, not "):
            package.load(net, tune=value)  # type: ignore[arg-type]


def test_what_leaves_nothing_to_choose(net: Path, tmp_path: Path) -> None:
    def refused(path: Path, **options: Any) -> str:
        with pytest.raises(NetError) as told:
            package.load(path, tune=True, **options)
        return str(told.value)

    for level in (0, 1):
        assert refused(net, level=level) == (
            f"error[tune]: two is compiled at -O {level}, where convolutions have one way each\n"
            "  fix: -O 2 (Python: level=2)"
        )
    assert refused(net, engine="auto") == (
        "error[tune]: --tune is for torch's convolutions, and --engine auto says what else may compute them\n"
        "  fix: one of both"
    )
    assert refused(net, phase="train") == (
        "error[tune]: two learns, and ways to choose from are for inference\n  fix: --phase test"
    )
    (tmp_path / "relu.prototxt").write_text(RELU)
    assert refused(tmp_path / "relu.prototxt") == "error[tune]: small has no convolution that computes in several ways"


TABLE = """\
layer  output   by rule  measured  matrix ms  onednn ms    gain
─────  ───────  ───────  ────────  ─────────  ─────────  ──────
point  1×12×10  matrix   onednn        2.500      1.250  2.00 ×
score  1×12×10  matrix   matrix        1.500      1.750

2 convolutions were timed in 1.8 s
"""


def test_the_command(netcompile: Call, net: Path, measured: Measured, folder: Path) -> None:
    done = netcompile("tune", net)
    (file,) = folder.iterdir()
    assert (done.code, done.err) == (0, "")
    assert done.out == (f"{TABLE}two: 4 ms by the rules, 2.5 ms by the plan: 1.60 times as fast\nkept in {file}\n")
    FOUND[:] = [DROPPED]
    assert netcompile("tune", net, "-q").out == (
        f"{TABLE}two: 4 ms by the rules, 4.25 ms by the plan: no gain, and the rules' ways stay\n"
    )
    FOUND[:] = [SAME]
    assert netcompile("tune", net, "-q").out == (
        "0 convolutions were timed in 0.5 s, 1 others were not: they have one way, or would have taken too long\n"
        "two: the rules' ways, 4 ms\n"
    )
    assert len(measured) == 3  # a plan that was kept is measured anew


def test_options_of_the_command(netcompile: Call, net: Path, measured: Measured) -> None:
    before = torch.get_num_threads()
    options = ("--size", "20x30", "--batch", 4, "--dtype", "bfloat16", "--threads", before + 1, "--seconds", "0.5")
    found = netcompile("tune", net, *options, "--json").json
    assert measured == [("torch.bfloat16", (4, 3, 20, 30), 0.5, before + 1)]
    assert torch.get_num_threads() == before
    assert list(found) == [
        "version", "net", "cpu", "instructions", "dtype", "threads", "by_rule", "by_plan", "faster", "seconds", "kept",
        "layers",
    ]  # fmt: skip
    assert (found["dtype"], found["threads"], found["cpu"]) == ("bfloat16", before + 1, "a CPU")
    assert found["layers"][0] == {
        "name": "point", "shape": [1, 12, 10], "calls": 1, "rule": "matrix", "way": "onednn",
        "milliseconds": {"matrix": 2.5, "onednn": 1.25},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--size", "20"), "argument --size: '20' is not of the form HxW"),
        (("--size", "0x3"), "argument --size: '0x3' is no size of a crop such as 227 or 224x320"),
        (("--seconds", "nan"), "argument --seconds: 'nan' is no number of seconds from 0 to 3600"),
        (("--seconds", "soon"), "argument --seconds: 'soon' is no number of seconds from 0 to 3600"),
        (("--phase", "train"), "error[tune]: two learns, and ways to choose from are for inference"),
    ],
)
def test_mistakes(netcompile: Call, net: Path, options: tuple[str, ...], what: str) -> None:
    done = netcompile("tune", net, *options)
    assert (done.code, what in done.err) == (2, True), done.err


def test_a_busy_machine_is_told(
    netcompile: Call, net: Path, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(company.COMPANY, "there", True)
    done = netcompile("tune", net)
    assert done.err == (
        "note[plan-busy]: the plan of two was measured while others used the CPUs\n"
        "  fix: netcompile tune when they are idle\n"
    )
    package.load(net, tune=True)  # no warning


def test_builds(netcompile: Call, net: Path, measured: Measured, tmp_path: Path) -> None:
    plain, fast = tmp_path / "plain", tmp_path / "fast"
    weights = tmp_path / "two.caffemodel"
    from netcompile.surgery import write_weights

    random = np.random.RandomState(1)
    shapes = {"point": ((5, 3, 1, 1), (5,)), "score": ((3, 5, 1, 1), (3,))}
    write_weights(weights, {name: tuple(random.randn(*s).astype("f") for s in some) for name, some in shapes.items()})
    for folder, level in ((plain, 1), (fast, 2)):
        assert netcompile("build", net, "--weights", weights, "-O", level, "-o", folder).code == 0
    assert TABLE in netcompile("tune", fast, "--size", "12x10").out
    assert ways(package.load(fast, tune=True))["point"] == {SIZE: "onednn"}
    assert len(measured) == 1
    done = netcompile("tune", plain)
    assert (done.code, done.err) == (
        2,
        "error[tune]: two is compiled at -O 1, where convolutions have one way each\n  fix: -O 2 (Python: level=2)\n",
    )
    Image.fromarray(np.zeros((12, 10, 3), np.uint8)).save(tmp_path / "a.png")
    out = tmp_path / "out"
    for source in ((net, "--weights", weights), (fast,)):
        done = netcompile("predict", *source, tmp_path / "a.png", "--mean", "0", "-o", out, "--tune", "--batch", 2)
        assert done.code == 0, done.err
    assert [asked[1] for asked in measured] == [(1, 3, 12, 10), (2, 3, 12, 10)]  # the second has the first one's plan


def test_run(netcompile: Call, net: Path, tmp_path: Path, measured: Measured) -> None:
    weights = tmp_path / "two.caffemodel"
    from netcompile.surgery import write_weights

    random = np.random.RandomState(1)
    shapes = {"point": ((5, 3, 1, 1), (5,)), "score": ((3, 5, 1, 1), (3,))}
    write_weights(weights, {name: tuple(random.randn(*s).astype("f") for s in some) for name, some in shapes.items()})
    np.savez(tmp_path / "in.npz", data=random.randn(1, 3, 12, 10).astype("f"))
    found = []
    for options in ((), ("--tune",), ("--tune", "-v")):
        files = ("--weights", weights, "--inputs", tmp_path / "in.npz", "--out", tmp_path / "out.npz")
        done = netcompile("run", net, *files, *options)
        assert done.code == 0, done.err
        found.append(np.load(tmp_path / "out.npz")["score"])
    assert (
        "note[plan]: two, as was measured before: 4 ms by the rules, 2.5 ms by the plan: 1.60 times as fast\n"
        "  why: kept in "
    ) in done.err
    assert len(measured) == 1
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=1e-5 * np.abs(found[0]).max())
    done = netcompile("run", net, *files, "--tune", "-O", "1")
    assert (done.code, "error[tune]: two is compiled at -O 1" in done.err) == (2, True)


def test_measured_for_once(net: Path, folder: Path) -> None:
    """Without a stand-in: the net is the same within 1e-5, and so is what is read again."""
    torch.manual_seed(1)
    made = package.load(net, tune=0.2)
    x = torch.randn(1, 3, 12, 10)
    again = package.load(net, tune=0.2)
    again.load_state_dict(made.state_dict())
    plain = package.load(net, level=0)
    plain.load_state_dict(made.state_dict())
    with torch.no_grad():
        wanted = plain(x)
        for found in (made(x), again(x)):
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))
    assert len(list(folder.iterdir())) == 1
