"""The FCN family: the specifications write what was published, and prototxt/ is what they write."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import pytest

from netcompile.prototxt.message import Message
from netcompile.prototxt.parser import parse
from netcompile.prototxt.recognise import open_source
from netcompile.zoo import catalogue
from netcompile.zoo.__main__ import main
from netcompile.zoo.find import definitions

FILES = catalogue.family()
network = cache(catalogue.network)
ORIGINALS = "corpus/shelhamer__fcn.berkeleyvision.org"
# Trained for this project on drawn shapes; they come with their weights and not from a specification.
DEMO = {
    *(f"shapes-fcn8s/{name}.prototxt" for name in ("deploy", "solver", "train")),
    *(f"shapes-classifier/{name}.prototxt" for name in ("deploy", "solver", "train_val")),
    *(f"shapes-ssd/{name}.prototxt" for name in ("deploy", "solver", "train")),
}
OFFSETS = {"32s": [19], "16s": [5, 27], "8s": [5, 9, 31], "8s-atonce": [5, 9, 31], "alexnet": [18]}


@pytest.mark.parametrize("name", FILES)
def test_equal_to_the_published_network(name: str, shared: Path) -> None:
    original = parse(open_source(shared / ORIGINALS / name))
    ours = network(name)
    assert [layer.get("name") for layer in ours.all("layer")] == [layer.get("name") for layer in original.all("layer")]
    for mine, theirs in zip(ours.all("layer"), original.all("layer"), strict=True):
        assert mine == theirs
    assert ours == original


def test_every_published_network_is_here(shared: Path) -> None:
    """Solvers are no networks, and files with an @ are older versions."""
    root = shared / ORIGINALS
    published = {str(path.relative_to(root)) for path in root.rglob("*.prototxt")}
    current = {name for name in published if "@" not in name and not name.endswith("solver.prototxt")}
    assert set(FILES) == current
    assert len(FILES) == 31


def crops(net: Message) -> list[int]:
    found = []
    for layer in net.all("layer"):
        if layer.get("type") == "Crop":
            assert layer.get("crop_param").get("axis") == 2
            found += layer.get("crop_param").all("offset")
    return found


@pytest.mark.parametrize("name", FILES)
def test_computed_offsets(name: str) -> None:
    """The offsets that FCN's authors and others derived by hand, for every head of every net."""
    folder = name.split("/")[0]
    kind = folder.split("fcn")[1].lstrip("-").removesuffix("-color-d").split("-color")[0].split("-hha")[0]
    heads = 2 if folder.startswith("siftflow") else 1
    assert crops(network(name)) == OFFSETS[kind] * heads


def test_the_committed_files_are_what_is_written(
    tmp_path: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 0
    written = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*.prototxt")}
    root = repository / "prototxt"
    committed = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.prototxt")}
    assert {name: committed[name] for name in committed if name not in DEMO} == written
    assert set(committed) & DEMO == DEMO
    assert capsys.readouterr().out.endswith(f"45 of 45 files changed in {tmp_path}\n")
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"0 of 45 files changed in {tmp_path}\n"


def test_the_manifest_names_networks_that_are_here(repository: Path) -> None:
    entries = tomllib.loads((repository / "weights" / "manifest.toml").read_text())["weights"]
    assert {entry["net"] for entry in entries if "net" in entry} <= set(definitions())
    assert {f"{name}/deploy.prototxt" for name in catalogue.DEPLOYED} <= {entry.get("net") for entry in entries}
    for entry in entries:
        assert entry.get("net", entry["name"] + "/").startswith(entry["name"] + "/")
        assert entry["file"] == entry.get("source", entry["file"]).split("/")[-1]


def test_the_manifest_lists_every_published_caffemodel(repository: Path, shared: Path) -> None:
    entries = tomllib.loads((repository / "weights" / "manifest.toml").read_text())["weights"]
    rows = (shared / "fcn-models.tsv").read_text().splitlines()[1:]
    of_the_family = {(e["name"], e["source"]) for e in entries if e["name"] in catalogue.NETS}
    assert of_the_family == {tuple(r.split("\t")) for r in rows}
