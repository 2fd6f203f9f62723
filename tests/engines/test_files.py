"""ONNX files of engines are kept: found again, bounded in size, made anew where they are broken."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import netcompile as package
from netcompile.engines import files
from netcompile.engines.catalogue import ENGINES
from netcompile.engines.files import folder, keep_file, place_of, read_notes
from tests.engines.test_engines import writes
from tests.export.nets import FRAMED, framed

ONNXRUNTIME = pytest.mark.skipif(
    bool(next(engine for engine in ENGINES if engine.name == "onnxruntime").missing), reason="onnxruntime not installed"
)


def kept(tmp_path: Path, name: str, data: bytes) -> str:
    """A file that was written at another place, and is kept."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "net.onnx").write_bytes(data)
    path = place_of(name, ["content"])
    keep_file(str(tmp_path / name / "net.onnx"), path, {"name": name})
    return path


def test_what_was_kept_is_found(tmp_path: Path) -> None:
    path = kept(tmp_path, "a", b"data")
    assert read_notes(path) == {"name": "a"}
    assert Path(path).read_bytes() == b"data"
    assert read_notes(place_of("a", ["other content"])) is None
    assert read_notes(place_of("b", ["content"])) is None
    assert os.path.dirname(place_of("../../up", ["x"])) == folder()


@pytest.mark.parametrize("end", ["", ".json"])
@pytest.mark.parametrize(
    "harm", [Path.unlink, lambda path: path.write_bytes(b"{}"), lambda path: path.write_bytes(b"")]
)
def test_what_is_broken_counts_as_none(tmp_path: Path, harm: Callable[[Path], Any], end: str) -> None:
    path = kept(tmp_path, "a", b"data")
    harm(Path(path + end))
    assert read_notes(path) is None
    assert os.listdir(folder()) == []  # nothing of it is left


def test_the_oldest_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "ALL", 25)
    paths = [kept(tmp_path, name, b"0123456789") for name in "ab"]
    for age, path in zip((20, 10), paths, strict=True):
        os.utime(path, (1e9 - age, 1e9 - age))
    assert read_notes(paths[0]) is not None  # used: now the other one is the oldest
    last = kept(tmp_path, "c", b"0123456789")
    assert [read_notes(path) is not None for path in (*paths, last)] == [True, False, True]
    large = kept(tmp_path, "d", bytes(26))
    assert read_notes(large) is None
    assert read_notes(last) is not None


def test_a_file_with_its_weights_beside_it_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "net.onnx.data").write_bytes(b"weights")
    (tmp_path / "a" / "net.onnx").write_bytes(b"data")
    keep_file(str(tmp_path / "a" / "net.onnx"), place_of("a", []), {})
    assert read_notes(place_of("a", [])) is None


@pytest.mark.long
@ONNXRUNTIME
@writes
def test_a_second_load_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At -O 2 there are two files, the second once another size comes; each is written once, and a broken one again."""
    import netcompile.engines.compiled as compiled

    net_file = tmp_path / "framed.prototxt"
    net_file.write_text(FRAMED)
    _, weights = framed(tmp_path)
    written = []
    convert = compiled.convert_onnx

    def counted(net: Any, portable: Any, made: Any, path: str) -> Any:
        written.append(bool(portable.frames))
        return convert(net, portable, made, path)

    monkeypatch.setattr(compiled, "convert_onnx", counted)
    usual, other = 40 * torch.randn(2, 3, 60, 70), 40 * torch.randn(1, 3, 33, 47)
    plain = package.load(net_file, weights)
    counts = []
    for _ in range(3):
        net = package.load(net_file, weights, engine="onnxruntime", level=2)
        for image in (usual, other):
            wanted = plain(image).detach()
            assert (net(image) - wanted).abs().max() <= 1e-5 * wanted.abs().max()
        counts.append(len(written))
        if len(counts) == 2:
            for name in os.listdir(folder()):
                if name.endswith(".onnx"):
                    Path(folder(), name).write_bytes(b"broken")
    assert written == [True, False] * 2
    assert counts == [2, 2, 4]
    package.load(net_file, weights, engine="onnxruntime", level=2, inputs={"data": (1, 3, 64, 70)})
    assert len(written) == 5
