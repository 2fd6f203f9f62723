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
_TELLING = re.compile(r"[\w.]+\(|: [A-Z][\w.]* =|-> [^:]+:|\bfor\b|\blambda\b|\bdel\b")
# What no module has its types from, and what only such parts of torch import: two thirds of what mypy would read.
ELSEWHERE = """
numpy.* PIL.* sympy.* torch._decomp.* torch._dynamo.* torch._export.* torch._functorch.* torch._guards
torch._higher_order_ops.* torch._inductor.* torch._library.* torch._logging.* torch._prims.* torch._prims_common.*
torch._refs.* torch._subclasses.* torch.ao.* torch.distributed.* torch.distributions.* torch.export.* torch.fx.*
torch.jit.* torch.library torch.masked.* torch.mps.* torch.mtia.* torch.multiprocessing.* torch.nested.*
torch.nn.parallel.* torch.onnx.* torch.optim.* torch.package.* torch.profiler.* torch.testing.* torch.utils.data.*
torch.xpu.*
"""


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
        own = set(_TELLING.findall(re.sub(r"(^ *class |self\.)\w+", r"\1x", source, flags=re.MULTILINE)))
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


def complaints(folder: Path, cache: Path, elsewhere: str = "") -> str:
    """What mypy and ruff find in a folder of modules; nothing if all is well. Modules `elsewhere` are not read."""
    config = ""
    if elsewhere:
        path = folder.parent / "mypy.ini"
        path.write_text(f"[mypy]\n[mypy-{','.join(elsewhere.split())}]\nfollow_imports = skip\n")
        config = str(path)
    mypy = [sys.executable, "-m", "mypy", f"--config-file={config}", "--strict", "--cache-dir", str(cache), str(folder)]
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
