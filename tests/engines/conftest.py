"""A cache folder of its own for every test, and nets for engines."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from netcompile.export.onnx_file import convert_onnx
from tests.cli.conftest import netcompile

__all__ = ["netcompile"]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that answers are kept in."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "netcompile" / "engines"


WRITTEN: dict[bytes, tuple[bytes, Any]] = {}


def content(net: Any, portable: Any, made: Any) -> bytes:
    """What a file follows from: the net, the code without its docstring, which names a place, and the weights."""
    _, _, code = portable.module.source.split('"""', 2)
    shapes = [net.shapes[value] for value in portable.module.inputs]
    digest = hashlib.sha256(repr((net.name, net.graph.train, shapes, code, portable.frames)).encode())
    for key, tensor in made.state_dict().items():
        digest.update(key.encode() + tensor.contiguous().numpy().tobytes())
    return digest.digest()


@pytest.fixture(autouse=True)
def written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A net's ONNX file is written once for all tests, which takes seconds; for each place of it that is told."""

    def convert_once(net: Any, portable: Any, made: Any, path: str) -> Any:
        key = content(net, portable, made)
        placed = key + net.source.name.encode()
        if key not in WRITTEN and placed not in WRITTEN:
            exported, renamed = found = convert_onnx(net, portable, made, path)
            WRITTEN[placed if exported.limits or renamed else key] = Path(path).read_bytes(), found
        data, found = WRITTEN.get(key) or WRITTEN[placed]
        Path(path).write_bytes(data)
        return found

    monkeypatch.setattr("netcompile.engines.compiled.convert_onnx", convert_once)
