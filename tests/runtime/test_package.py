"""What the package itself offers: what its documents name, loaded when it is asked for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import netcompile as package


def test_dir_has_what_the_document_names(repository: Path) -> None:
    text = (repository / "docs" / "python.md").read_text(encoding="utf-8")
    section = text.split("## What `netcompile` holds")[1].split("\n## ")[0]
    named = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert dir(package) == sorted(named) == sorted(package.__all__)
    assert all(getattr(package, name) is not None for name in named)


def test_a_name_that_there_is_not() -> None:
    with pytest.raises(AttributeError, match="module 'netcompile' has no attribute 'laod'"):
        package.laod  # noqa: B018


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, netcompile; names = dir(netcompile); "
        "netcompile.NetError; "
        "print([m for m in ('torch', 'numpy', 'google.protobuf', 'networkx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
