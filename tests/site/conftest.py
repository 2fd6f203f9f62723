"""The command line to compare with, the playground's functions, and the built site where there is one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from netcompile.site import playground
from netcompile.site.build import is_fresh
from tests.cli.conftest import netcompile
from tests.conftest import REPOSITORY

__all__ = ["netcompile"]
SITE = REPOSITORY / "site"
Ask = Callable[..., Any]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Ask:
    """`ask("open", text=…)`: the result of a request, as the worker gets it; an error is an AssertionError."""
    monkeypatch.setattr(playground, "_opened", [])

    def asked(method: str, **params: Any) -> Any:
        answer = json.loads(playground.answer(method, json.dumps(params)))
        assert "error" not in answer, answer["error"]["text"]
        return answer["result"]

    return asked


@pytest.fixture
def refused() -> Ask:
    """The same for a request that is refused: the text of its error."""

    def asked(method: str, **params: Any) -> str:
        answer = json.loads(playground.answer(method, json.dumps(params)))
        assert answer.keys() == {"error"}
        return str(answer["error"]["text"])

    return asked


@pytest.fixture(scope="session")
def site() -> Path:
    """The built site; where there is none the tests are skipped, or fail if NETCOMPILE_SITE is "required"."""
    absent = "" if shutil.which("node") else "there is no node"
    absent = absent or ("" if is_fresh(SITE) else "there is no site, or one of other sources: `make site` builds it")
    if absent and os.environ.get("NETCOMPILE_SITE") == "required":
        pytest.fail(absent)
    if absent:
        pytest.skip(absent)
    return SITE
