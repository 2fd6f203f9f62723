"""hubconf.py: every bundled net through torch.hub, from the repository's folder."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
import torch

from netcompile.zoo.find import definitions

ROOT = Path(__file__).resolve().parent.parent


def hubconf() -> dict[str, Any]:
    return run_path(str(ROOT / "hubconf.py"))


def test_every_bundled_net_has_an_entry() -> None:
    entries = {name for name, value in hubconf().items() if callable(value) and not name.startswith("_")}
    assert entries == {"net", *(name.split("/")[0].replace("-", "_").replace(".", "_") for name in definitions())}
    said = hubconf()["voc_fcn8s"].__doc__
    assert said == "The bundled definition voc-fcn8s/deploy.prototxt; `weights` is its .caffemodel."


@pytest.mark.parametrize(
    ("entry", "arguments"),
    [("shapes_fcn8s", ()), ("net", ("shapes-fcn8s/deploy.prototxt",))],
)
def test_entries_give_modules(entry: str, arguments: tuple[str, ...]) -> None:
    net = torch.hub.load(str(ROOT), entry, *arguments, source="local", weights="shapes-fcn8s.caffemodel")
    with torch.inference_mode():
        assert net(torch.zeros(1, 3, 40, 56)).shape == (1, 6, 40, 56)
