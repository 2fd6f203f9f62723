"""``python -m tests.compat``: the tests of what is emitted, with the oldest and the newest Python and PyTorch.

Each combination of `combinations.toml` gets a virtual environment of its own, which `uv` fills. A plain PyTorch for
Linux brings CUDA along: 6 GB a combination, which are removed at its end unless they are kept.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("combinations.toml")
# Conformance at every level, the source and the names, and modules in use.
TESTS = ("tests/test_conformance.py", "tests/emit", "tests/names", "tests/prelude", "tests/runtime", "tests/use")
TOOLS = ("pytest", "pytest-xdist", "hypothesis", "ruff")


@dataclass(frozen=True, slots=True)
class Combination:
    """A Python (3.13), a PyTorch (2.6.0), and whether all else is the oldest that pyproject.toml admits."""

    python: str
    torch: str
    oldest: bool = False

    def __str__(self) -> str:
        return f"Python {self.python}, torch {self.torch}" + (", the oldest of all else" if self.oldest else "")


def combinations() -> tuple[Combination, ...]:
    """What the table lists."""
    rows = tomllib.loads(TABLE.read_text(encoding="utf-8"))["combination"]
    return tuple(Combination(**row) for row in rows)


def interpreter(python: str) -> str | None:
    """The path of this Python: on PATH, or of pyenv; None where there is none."""
    found = shutil.which(f"python{python}")
    if found is not None and _works(found):
        return found
    folders = Path.home().glob(f".pyenv/versions/{python}.*/bin/python")
    return next((str(path) for path in sorted(folders, reverse=True) if _works(str(path))), None)


def _works(path: str) -> bool:
    """pyenv's stand-ins on PATH do nothing where their version is not chosen."""
    return subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0


def _run(words: Sequence[str | Path], **more: str) -> bool:
    return (
        subprocess.run(list(map(str, words)), cwd=REPOSITORY, env={**os.environ, **more}, check=False).returncode == 0
    )


def _installed(combination: Combination, python: str, folder: Path, index: str) -> bool:
    """Whether the environment could be made."""
    install = ["uv", "pip", "install", "--quiet", "--python", folder / "bin" / "python"]
    if index:
        install += ["--extra-index-url", index, "--index-strategy", "unsafe-best-match"]
    floors = ["--resolution", "lowest-direct"] if combination.oldest else []
    return (
        _run(["uv", "venv", "--quiet", "--python", python, folder])
        and _run([*install, *floors, "-r", "pyproject.toml", "--extra", "mat", f"torch=={combination.torch}"])
        and _run([*install, *TOOLS])
    )


def tried(combination: Combination, options: argparse.Namespace) -> str:
    """What came of a combination, in a word or two."""
    python = interpreter(combination.python)
    if python is None:
        return f"not run: there is no Python {combination.python} here"
    folder = Path(options.folder, f"python{combination.python}-torch{combination.torch}")
    try:
        if not _installed(combination, python, folder, options.index):
            return "not run: not all packages could be installed"
        tests = [name for name in TESTS if (REPOSITORY / name).exists()]
        threads = {"OMP_NUM_THREADS": "1"} if options.workers else {}
        words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
        words += ["-n", str(options.workers), "--dist", "worksteal"] if options.workers else []
        return "passed" if _run([folder / "bin" / "python", *words], **threads) else "FAILED"
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.compat", description=__doc__)
    parser.add_argument("--only", default="", help="combinations whose description has this text")
    parser.add_argument("--folder", help="where the environments are made (a temporary one)")
    parser.add_argument("--keep", action="store_true", help="leave the environments there")
    parser.add_argument("--index", default="", help="a second package index to look for torch in")
    parser.add_argument("--workers", type=int, default=2, help="processes of the tests (2)")
    options = parser.parse_args()
    chosen = [each for each in combinations() if options.only in str(each)]
    if not chosen:
        parser.error(f"no combination has '{options.only}': there are {'; '.join(map(str, combinations()))}")
    if shutil.which("uv") is None:
        parser.error("there is no uv, which makes the environments: pip install uv")
    with tempfile.TemporaryDirectory(prefix="netcompile-compat-") as folder:
        options.folder = options.folder or folder
        results = {}
        for combination in chosen:
            print(f"\n{combination}", flush=True)
            results[combination] = tried(combination, options)
    print("\n".join(["", *(f"{combination}: {result}" for combination, result in results.items())]))
    return 0 if set(results.values()) == {"passed"} else 1


if __name__ == "__main__":
    sys.exit(main())
