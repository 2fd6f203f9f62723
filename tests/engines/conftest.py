"""A cache folder of its own for every test, and nets for engines."""

from __future__ import annotations

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


WRITTEN: dict[str, tuple[bytes, Any]] = {}


@pytest.fixture(autouse=True)
def written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A net's ONNX file is written once for all tests, which takes seconds: for each module, its weights the same."""

    def convert_once(net: Any, portable: Any, made: Any, path: str) -> Any:
        key = portable.module.source + str(portable.frames)
        if key not in WRITTEN:
            found = convert_onnx(net, portable, made, path)
            WRITTEN[key] = Path(path).read_bytes(), found
        data, found = WRITTEN[key]
        Path(path).write_bytes(data)
        return found

    monkeypatch.setattr("netcompile.engines.compiled.convert_onnx", convert_once)
