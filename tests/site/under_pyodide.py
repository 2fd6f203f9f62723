"""`python -m tests.site.under_pyodide [PYTEST-ARGUMENTS…]`: the wheel's tests that need no torch, under Pyodide.

Node runs it. The wheel and Pyodide are those of the last `make site`. Tests that need what WebAssembly has not (torch,
NumPy, protobuf, processes) are left out by name.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from netcompile.site.build import WORK
from tests.conftest import REPOSITORY

SCRIPT = Path(__file__).parent / "node" / "tests.mjs"
PACKAGES = (
    "pytest", "_pytest", "py.py", "pluggy", "iniconfig", "packaging", "pygments", "sortedcontainers", "jinja2",
    "markupsafe", "networkx",
)  # fmt: skip
HYPOTHESIS = "hypothesis==6.155.7"  # later ones have a compiled part, of which there is none for WebAssembly
READ = ("tests", "prototxt", "docs", "pyproject.toml", "README.md")
TESTED = ("tests/algebra", "tests/prototxt", "tests/analysis", "tests/report")
LEFT_OUT = (  # these need NumPy, protobuf, the command line, or files of the repository
    "tests/prototxt/test_bounds.py", "tests/prototxt/test_cases.py", "tests/prototxt/test_message.py",
    "tests/prototxt/test_oracle.py", "tests/prototxt/test_schema.py", "tests/analysis/test_bilinear.py",
    "tests/analysis/test_brute_force.py", "tests/analysis/test_repad.py", "tests/report/test_schemas.py",
)  # fmt: skip
ARGUMENTS = (
    "-q", "-p", "no:cacheprovider", "-p", "no:faulthandler", "-o", "addopts=", "-o", "pythonpath=.",
    "-W", "ignore:It looks like `register_random`",  # it counts references, which Python 3.14 counts otherwise
)  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Run the tests; pytest's exit code, 3 where there is nothing to run them with."""
    wheels = sorted((WORK / "wheel").glob("netcompile-*.whl"))
    if not wheels or shutil.which("node") is None:
        print("there is no wheel, or no node: `make site` builds one", file=sys.stderr)
        return 3
    packages, repository = WORK / "packages", WORK / "repository"
    copied(packages, Path(pytest.__file__).parents[1], PACKAGES)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    pure = ["--only-binary=:all:", "--platform=any", "--target", str(packages), HYPOTHESIS]
    if subprocess.run([*pip, *pure], check=False).returncode:
        return 3
    copied(repository, REPOSITORY, READ)
    command = ["node", str(SCRIPT), str(WORK / "node_modules" / "pyodide"), str(wheels[-1])]
    given = arguments or (*TESTED, *(f"--ignore={path}" for path in LEFT_OUT))
    return subprocess.run([*command, str(packages), str(repository), *ARGUMENTS, *given], check=False).returncode


def copied(target: Path, source: Path, names: Sequence[str]) -> None:
    """Copy files and folders, without what was compiled for this machine."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    left_out = shutil.ignore_patterns("*.so", "__pycache__", "*.caffemodel", "*.h5", "*.npz", "training")
    for name in names:
        path = source / name
        if path.is_dir():
            shutil.copytree(path, target / name, ignore=left_out)
        else:
            shutil.copyfile(path, target / name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
