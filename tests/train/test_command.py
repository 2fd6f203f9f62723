"""``netcompile train`` from outside: its files, its messages, its exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import netcompile
from netcompile.cli.main import entry
from netcompile.diagnostics.codes import explanation

PACKAGE = Path(netcompile.__file__).parent
USED = re.compile(r'\b(?:Diagnostic|refuse)\(\s*"([a-z0-9-]+)"|self\.(?:error|warn)\(\s*"([a-z-]+)"')
CODES = {
    a or b for path in PACKAGE.glob("train/**/*.py") for a, b in USED.findall(path.read_text(encoding="utf-8"))
}  # fmt: skip


def train(folder: Path, *more: str) -> int:
    solver, data = folder / "solver.prototxt", folder / "batches.npz"
    return entry(["train", str(solver), "--data", str(data), "-o", str(folder / "out"), *more])


def test_files(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from safetensors.numpy import load_file

    assert train(folder) == 0
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == "Optimization Done."
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["final.safetensors", "log.json"]
    assert len(json.loads((folder / "out" / "log.json").read_text())["loss"]) == 6
    assert set(load_file(folder / "out" / "final.safetensors")) == {
        "c1.0", "c2.0", "bn.0", "bn.1", "bn.2", "sc.0", "sc.1", "score.0", "score.1", "ip.0", "ip.1",
    }  # fmt: skip


def test_final_weights_start_another_training(folder: Path) -> None:
    assert train(folder) == 0
    assert train(folder, "--weights", str(folder / "out" / "final.safetensors")) == 0


def test_a_seed_repeats_a_training(folder: Path) -> None:
    found = []
    for seed in ("1", "1", "2"):
        assert train(folder, "--seed", seed) == 0
        found.append((folder / "out" / "log.json").read_text())
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("name", "old", "new", "code"),
    [
        ("solver.prototxt", '"step"', '"stop"', "solver-unknown"),
        ("net.prototxt", "Dropout", "Dropuot", "unknown-layer"),
        ("net.prototxt", 'bottom: "c1"', 'bottom: "c9"', "unknown-bottom"),
        ("solver.prototxt", "max_iter: 6", "max_iter: 60", "data-short"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(
    name: str, old: str, new: str, code: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = folder / name
    path.write_text(path.read_text().replace(old, new))
    assert train(folder) == 2
    assert f"error[{code}]" in capfd.readouterr().err
    assert not (folder / "out").exists()


def test_a_net_instead_of_a_solver(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert entry(["train", str(folder / "net.prototxt")]) == 2
    assert "this is a net, not a solver" in capfd.readouterr().err


def test_the_codes_are_found() -> None:
    assert {"solver-missing", "solver-unused", "no-data", "snapshot"} <= CODES
    assert len(CODES) > 25


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_has_a_page(code: str) -> None:
    page = explanation(code)
    assert page is not None, f"netcompile/diagnostics/pages/{code}.md is missing"
    assert re.match(r"# .+\n\n\S.{40,}", page), "a title, then a paragraph"


@pytest.mark.parametrize(("option", "value"), [("--weights", "batches.npz"), ("--seed", "3")])
def test_resume_with_what_a_snapshot_has(
    option: str, value: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train(folder, "--resume", "a.json", option, value) == 2
    assert f"error[usage]: --resume and {option} together" in capfd.readouterr().err


def test_mean_of_arrays(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train(folder, "--mean", "1,2,3") == 2
    assert "error[usage]: --mean does nothing here\n  why: arrays are fed as they are" in capfd.readouterr().err


def test_resumed_training_writes_the_same_files(folder: Path) -> None:
    path = folder / "solver.prototxt"
    path.write_text(path.read_text() + 'snapshot: 2 snapshot_prefix: "s"')
    assert train(folder) == 0
    names = ("final.safetensors", "log.json")
    before = [(folder / "out" / name).read_bytes() for name in names]
    assert train(folder, "--resume", str(folder / "out" / "s_iter_2.json")) == 0
    assert [(folder / "out" / name).read_bytes() for name in names] == before


def test_fcns_bundled_solver_on_a_folder(shapes: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The bundled net, its Input layers fed with images of another size than declared; one batch is enough to see."""
    from netcompile.zoo.find import find_definition

    for name in ("solver", "train"):
        definition = find_definition(f"shapes-fcn8s/{name}.prototxt")
        assert definition is not None
        text = definition.read_text().replace("max_iter: 8000", "max_iter: 1").replace("display: 0", "display: 1")
        (tmp_path / f"{name}.prototxt").write_text(text)
    arguments = ["--data", str(shapes / "VOC"), "--split", "val", "--interp", "-o", str(tmp_path / "out")]
    assert entry(["train", str(tmp_path / "solver.prototxt"), *arguments]) == 0
    err = capfd.readouterr().err
    assert "bilinear kernels: upscore2, upscore_pool4, upscore8" in err
    assert "Train net output #0: loss = " in err


def test_a_seed_has_64_bits(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train(folder, "--seed", str(1 << 64)) == 2
    assert "is no whole number of 64 bits" in capfd.readouterr().err
