"""Every emitted module as another's tools see it: what mypy (strict) and ruff say of it, in their default settings.

``python -m tests.emit.typed`` asks about every conformance case, for its outputs and for each blob alone, and every
bundled net, at every level and in both styles; the suite about those that call something which none before calls.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

from netcompile.analyser import analyse
from netcompile.compiler import compile_net
from netcompile.ir.build import Options
from netcompile.prototxt.recognise import open_source
from tests.conftest import ALL_CASES, REPOSITORY

BUNDLED = sorted(p for p in REPOSITORY.glob("prototxt/*/*.prototxt") if "solver" not in p.name)
LEVELS = (0, 1, 2)
_TELLING = re.compile(r"[\w.]+\(|: [A-Z][\w.]* =|\bfor\b|\blambda\b|\bdel\b")


def sources(every: bool = False) -> Iterator[tuple[str, str]]:
    """Names and sources of the modules of every case and bundled net; with `every`, in each style and for each blob."""
    styles = ("flat", "blocks") if every else (None,)
    for case in ALL_CASES:
        options = Options(train=case.phase == "TRAIN", level=case.level, stages=case.stages)
        net = analyse(open_source(case.net), options).require()
        weights = str(case.weights) if case.weights else None
        asked = [None, *([blob] for blob in net.graph.blobs), [*net.graph.blobs]] if every else [None]
        for index, outputs in enumerate(asked):
            for level, style in product(LEVELS, styles):
                given = weights if level == 2 else None
                module = compile_net(net, level, outputs, given, style=style)
                yield f"{case.name}-{index}-O{level}-{style}", module.source
    for path in BUNDLED:
        net = analyse(open_source(path)).require()
        for level, style in product(LEVELS, styles):
            yield f"{path.parent.name}-{path.stem}-O{level}-{style}", compile_net(net, level, style=style).source


def sample(found: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Those modules whose source has a call, an annotation or a loop that none before has."""
    seen: set[str] = set()
    for name, source in found:
        own = set(_TELLING.findall(re.sub(r"self\.\w+", "self.x", source)))
        if not own <= seen:
            yield name, source
        seen |= own


def write(folder: Path, found: Iterable[tuple[str, str]]) -> int:
    """Write modules, each under a name that Python can import, and return how many they are."""
    count = 0
    for name, source in found:
        (folder / f"net_{re.sub(r'[^0-9a-zA-Z]', '_', name)}.py").write_text(source, encoding="utf-8")
        count += 1
    return count


def complaints(folder: Path, cache: Path) -> str:
    """What mypy and ruff find in a folder of modules; nothing if all is well."""
    mypy = [sys.executable, "-m", "mypy", "--config-file=", "--strict", "--cache-dir", str(cache), str(folder)]
    return complaints_of_ruff(folder) + _said([mypy], folder)


def complaints_of_ruff(folder: Path, rules: str = "") -> str:
    """What ruff finds in a folder of modules, by its default rules or by those named, and in their layout."""
    ruff, chosen = [sys.executable, "-m", "ruff"], ["--select", rules] if rules else []
    commands = [
        [*ruff, "check", "--isolated", "--no-cache", "--output-format=concise", *chosen, str(folder)],
        [*ruff, "format", "--isolated", "--no-cache", "--diff", str(folder)],
    ]
    return _said(commands, folder)


def _said(commands: Iterable[list[str]], folder: Path) -> str:
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
        count = write(folder, sources(every=True))
        said = complaints(folder, Path(place) / "cache")
    print(said or f"{count} modules: nothing")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
