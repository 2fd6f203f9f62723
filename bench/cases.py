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
ALONE = ("compile", "onnxruntime", "O1", "plan")  # not at batch 4: all at once need more memory than many machines have


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
    """The cases of a part, those of a net behind one another."""
    return list({"fcn": _fcn, "nets": _nets, "busy": _busy, "plan": _plan}[part](options))


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
    threads = options.threads
    if options.quick:
        yield Case(FCN, "224x224", threads=threads, tuned=False)
        return
    for dtype in options.dtypes:
        for waiting in options.waiting:
            for size in options.sizes:
                yield Case(FCN, size, 1, dtype, threads, True, waiting)
        if "default" in options.waiting:
            for size in options.sizes:
                yield Case(FCN, size, 1, dtype, threads, False)
            if "500x500" in options.sizes:
                yield Case(FCN, "500x500", 1, dtype, 1, False)
                yield Case(FCN, "500x500", 4, dtype, threads)


def _nets(options: Options) -> Iterator[Case]:
    names = options.nets or (("SqueezeNet 1.1",) if options.quick else tuple(NETS))
    for name in names:
        if name != FCN:
            for waiting in options.waiting[:1] if options.quick else options.waiting:
                yield Case(name, size_of(name), threads=options.threads, waiting=waiting)


def _busy(options: Options) -> Iterator[Case]:
    for name in options.nets or (FCN,):
        sizes = options.sizes[:1] if name == FCN else (size_of(name),)
        for waiting in options.waiting[:1] if options.quick else options.waiting:
            for dtype in options.dtypes if name == FCN and not options.quick else ("float32",):
                size = "224x224" if name == FCN and options.quick else sizes[0]
                yield Case(name, size, 1, dtype, options.threads, True, waiting, options.busy)


def _plan(options: Options) -> Iterator[Case]:
    names = options.nets or (("SqueezeNet 1.1",) if options.quick else (FCN, *NETS))
    for name in names:
        for waiting in options.waiting[:1] if options.quick else options.waiting:
            for size in [size for size in options.sizes if size != "375x500"] if name == FCN else (size_of(name),):
                yield Case(name, size, threads=options.threads, waiting=waiting)


def size_of(name: str) -> str:
    """Height and width of a net's input."""
    return NETS[name][1]
