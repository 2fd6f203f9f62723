"""What is compared: the cases of each part, and the arms that run in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.architectures import NETS
from bench.arguments import Options
from bench.arm import ARMS

FCN = "FCN-8s"
BUSY_ARMS = ("onnxruntime", "openvino", "O1", "O2")  # the literal net takes minutes there
PLAN_ARMS = ("O2", "plan")
# Not at batch 4: all at once need more memory than many machines have.
ALONE = ("compile", "onnxruntime", "O1", "plan", "auto")


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison. `waiting`: OMP_WAIT_POLICY, or "default" where it is not set; `busy`: other processes beside."""

    net: str
    size: str
    batch: int = 1
    dtype: str = "float32"
    threads: int = 2
    tuned: bool = True
    waiting: str = "default"
    busy: int = 0


def cases(part: str, options: Options) -> list[Case]:
    """The cases of a part, each once, those of a net behind one another."""
    found = {"fcn": _fcn, "nets": _nets, "busy": _busy, "plan": _plan}[part](options)
    return list(dict.fromkeys(found))


def arms(part: str, case: Case, options: Options) -> tuple[str, ...]:
    """The arms of a case; the first one is what the others' outputs are compared with."""
    if part == "plan":
        return PLAN_ARMS
    chosen = options.arms or (BUSY_ARMS if part == "busy" else ARMS)
    names = tuple(name for name in ARMS if name in chosen)
    if case.batch > 1:
        names = tuple(name for name in names if name not in ALONE)
    if case.dtype != "float32" and "literal" in names:  # what one would run without bfloat16 comes first
        names = ("literal-float32", *names)
    return names


def _fcn(options: Options) -> Iterator[Case]:
    if FCN not in (options.nets or (FCN,)):
        return
    for dtype in options.dtypes:
        for waiting in options.waiting:
            for size in options.sizes:
                yield Case(FCN, size, 1, dtype, options.threads, True, waiting)
        if "default" not in options.waiting:
            continue
        for size in options.sizes:
            yield Case(FCN, size, 1, dtype, options.threads, False)
        if "500x500" in options.sizes:
            yield Case(FCN, "500x500", 1, dtype, 1, False)
            yield Case(FCN, "500x500", 4, dtype, options.threads)


def _nets(options: Options) -> Iterator[Case]:
    for name in options.nets or NETS:
        if name != FCN:
            for waiting in options.waiting:
                yield Case(name, NETS[name][1], threads=options.threads, waiting=waiting)


def _busy(options: Options) -> Iterator[Case]:
    for name in options.nets or (FCN,):
        size, dtypes = (options.sizes[0], options.dtypes) if name == FCN else (NETS[name][1], ("float32",))
        for waiting in options.waiting:
            for dtype in dtypes:
                yield Case(name, size, 1, dtype, options.threads, True, waiting, options.busy)


def _plan(options: Options) -> Iterator[Case]:
    for name in options.nets or (FCN, *NETS):
        sizes = options.sizes if name == FCN else (NETS[name][1],)
        for waiting in options.waiting:
            for size in sizes:
                yield Case(name, size, threads=options.threads, waiting=waiting)
