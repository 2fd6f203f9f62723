"""Every emitted module as another's tools see it: what mypy (strict) and ruff say of it, in their default settings.

``python -m tests.emit.typed`` asks about every conformance case and bundled net at every level; the suite about those
that have something which none before has.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from netcompile.analyser import analyse
from netcompile.compiler import compile_net
from netcompile.ir.build import Options
from netcompile.prototxt.recognise import open_source
from tests.conftest import ALL_CASES, REPOSITORY

BUNDLED = sorted(p for p in REPOSITORY.glob("prototxt/*/*.prototxt") if "solver" not in p.name)
LEVELS = (0, 1, 2)


def sources(levels: Sequence[int] = LEVELS) -> Iterator[tuple[str, str]]:
    """Names and sources of the modules of every case and bundled net."""
    for case in ALL_CASES:
        options = Options(train=case.phase == "TRAIN", level=case.level, stages=case.stages)
        net = analyse(open_source(case.net), options)
        for level in levels:
            weights = str(case.weights) if level == 2 and case.weights else None
            yield f"{case.name}-O{level}", compile_net(net, level, weights=weights).source
    for path in BUNDLED:
        net = analyse(open_source(path))
        for level in levels:
            yield f"{path.parent.name}-{path.stem}-O{level}", compile_net(net, level).source


def write(folder: Path, found: Iterator[tuple[str, str]]) -> int:
    """Write modules, each under a name that Python can import, and return how many they are."""
    count = 0
    for name, source in found:
        (folder / f"net_{re.sub(r'[^0-9a-zA-Z]', '_', name)}.py").write_text(source, encoding="utf-8")
        count += 1
    return count


def complaints(folder: Path, cache: Path) -> str:
    """What mypy and ruff find in a folder of modules; nothing if all is well."""
    ruff = [sys.executable, "-m", "ruff"]
    commands = [
        [*ruff, "check", "--isolated", "--no-cache", "--output-format=concise", str(folder)],
        [*ruff, "format", "--isolated", "--no-cache", "--diff", str(folder)],
        [sys.executable, "-m", "mypy", "--config-file=", "--strict", "--cache-dir", str(cache), str(folder)],
    ]
    said = ""
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        if done.returncode:
            said += done.stdout + done.stderr
    return said


def main() -> int:
    """Print what is found in all modules."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else place)
        count = write(folder, sources())
        said = complaints(folder, Path(place) / "cache")
    print(said or f"{count} modules: nothing")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
