"""A cache folder of its own for every test, and nets for engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import netcompile

__all__ = ["netcompile"]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that answers are kept in."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "netcompile" / "engines"
