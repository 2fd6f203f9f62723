"""Every way to compute a convolution at -O2, forced on all layers of whole nets.

``python -m tests.passes.forced`` runs every conformance case, of Caffe's layers and of forks', and what lies beside the
checkout (../shared): the golden nets and the corpus. The suite runs the conformance cases that have convolutions.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from netcompile.compiler import compile_net
from netcompile.emit.module import EmittedModule
from netcompile.passes import winograd
from netcompile.runtime import company, execute
from netcompile.runtime.tuning import WAYS, Plan, convolutions
from tests import test_golden
from tests.conftest import ALL_CASES, REPOSITORY, ConformanceCase
from tests.corpus import check as corpus
from tests.test_conformance import analysed, assert_close, blobs

SHARED = REPOSITORY.parent / "shared"
UNFOLDED = "matrix, whatever the kernel"  # as layers of 64 MiB and more have no second copy of their weights
GRAPHS = "graphs of oneDNN's"  # of the calls of a pass that was recorded, whether or not they are faster
FORCED = (*WAYS, UNFOLDED, GRAPHS)


@contextmanager
def forced(way: str) -> Iterator[Counter[str]]:
    """Within, `execute.run` computes every convolution by a way, where it offers it; counts the ways that were taken.

    Winograd's algorithm is offered for 3 × 3 kernels however few their channels and pixels are.
    """
    taken: Counter[str] = Counter()
    made, settings = execute.with_weights, company.own_settings

    def watched(by: Any) -> Any:
        return lambda taking, *rest: (taken.update([taking]), by(taking, *rest))[1]

    def with_way(*arguments: Any, **options: Any) -> nn.Module:
        net = made(*arguments, **options)
        if way == GRAPHS:
            return in_graphs(net, taken)
        for layer in convolutions(net).values():
            layer.plan = Plan({None: "matrix" if way == UNFOLDED else way})
            layer.by = watched(layer.by)
            if way == UNFOLDED:
                layer.large = 1
        return net

    with (
        patch.object(execute, "with_weights", with_way),
        patch.object(winograd, "CHANNELS", 0),
        patch.object(winograd, "LARGE", 0),
        patch.object(company, "own_settings", lambda: None if way == GRAPHS else settings()),
    ):
        yield taken


def in_graphs(net: Any, taken: Counter[str]) -> nn.Module:
    """A net whose every pass is made by graphs, if there are any; they are counted."""
    functions = type(net).forward.__globals__
    if "replayed" not in functions:
        return net  # type: ignore[no-any-return]
    functions["seconds"] = lambda run, inputs: 1e-6 * len(run.tape.calls)
    functions["Recording"].is_due = lambda self: True

    class Repeated(type(net)):  # type: ignore[misc]
        def __call__(self, *inputs: Any) -> Any:
            with torch.no_grad():
                for _ in range(5):
                    found = super().__call__(*inputs)
            for recorded in self.passes["recorded"].values():
                if isinstance(recorded, functions["Recording"]):
                    taken["recorded"] += 1
                    taken["graphs"] += sum(
                        isinstance(call[0], torch.jit.ScriptFunction) for call in recorded.tape.calls
                    )
            return found

    net.__class__ = Repeated
    functions["freeze"](net)
    return net  # type: ignore[no-any-return]


COMPILED: dict[Path, EmittedModule] = {}


def compiled(case: ConformanceCase) -> EmittedModule:
    """The module, which is the same for every way; it is asked for where one is forced."""
    if case.folder not in COMPILED:
        weights = None if case.weights is None else str(case.weights)
        COMPILED[case.folder] = compile_net(analysed(case), 2, weights=weights)
    return COMPILED[case.folder]


def check(case: ConformanceCase, way: str) -> Counter[str]:
    """The outputs are Caffe's; the ways that were taken."""
    with forced(way) as taken:
        net = execute.with_weights(analysed(case), compiled(case), case.weights)
        found = execute.forward(analysed(case), compiled(case), net, case.arrays("inputs"), "float32", "cpu")
    wanted = blobs(case)
    for name, value in found.items():
        assert_close(value, wanted[name], name)
    return taken


def check_golden(name: str, way: str) -> Counter[str]:
    """A net of full width gives real Caffe's scores and label maps."""
    run = partial(execute.run, level=2)
    with forced(way) as taken, tempfile.TemporaryDirectory() as folder, patch.object(execute, "run", run):
        test_golden.test_scores_and_label_maps(name, SHARED, REPOSITORY, Path(folder))
    return taken


def check_corpus(file: str, way: str) -> Counter[str]:
    """A net of the corpus gives real Caffe's values."""
    with forced(way) as taken:
        row = corpus.check(file, level=2)
    assert row.values != "no", row.why
    return taken


def work() -> Iterator[tuple[str, Callable[[str], Counter[str]]]]:
    """What is to be checked for each way, by kind."""
    yield from (("conformance cases", partial(check, case)) for case in ALL_CASES)
    if SHARED.is_dir():
        yield from (("golden nets", partial(check_golden, name)) for name in test_golden.NETS)
        files = [entry["file"] for entry in corpus.index() if corpus.truth(entry["file"]) is not None]
        yield from (("nets of the corpus", partial(check_corpus, file)) for file in files)


def main(ways: Sequence[str]) -> int:
    wrong: list[str] = []
    for way in ways or FORCED:
        began = monotonic()
        counts, total = Counter[str](), Counter[str]()
        for kind, run in work():
            try:
                taken = run(way)
            except Exception as error:
                wrong.append(f"{way}: {run}: {type(error).__name__}: {error}")
                print(wrong[-1], flush=True)
            else:
                counts[kind] += bool(taken)
                total += taken
        print(f"{way}: with convolutions {dict(counts)}, calls {dict(total)}, {monotonic() - began:.0f} s", flush=True)
    print(f"{len(wrong)} do not hold" if wrong else "all hold")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
