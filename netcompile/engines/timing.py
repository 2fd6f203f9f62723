"""The time of a whole net in an engine: another one than torch tells nothing of single layers."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from time import perf_counter

import torch

from netcompile.analyser import Analysed
from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.emit.module import EmittedModule
from netcompile.engines.catalogue import TORCH
from netcompile.engines.compiled import Wanted, drawn, ready
from netcompile.runtime.random_weights import ready as with_weights_or_drawn
from netcompile.runtime.timing import SEED


@dataclass(frozen=True, slots=True)
class EngineTiming:
    """Mean milliseconds of one pass of a net. `engine` "torch": nothing was timed, torch is what computes it."""

    net: str
    engine: str
    threads: int
    iterations: int
    forward: float
    notes: tuple[Diagnostic, ...]


def time_in(analysed: Analysed, wanted: Wanted, iterations: int) -> EngineTiming:
    """Time a net on drawn inputs, one run that does not count before; weights are drawn where none are given.

    Raises NetError where the engine cannot compute it.
    """

    def make(module: EmittedModule) -> torch.nn.Module:
        return with_weights_or_drawn(analysed, module, wanted.weights, SEED if wanted.weights is None else None)

    found = ready(analysed, make, wanted)
    times = []
    if found.engine != TORCH:
        inputs = drawn(analysed, found.module)
        for _ in range(iterations + 1):
            began = perf_counter()
            found.net(*inputs)
            times.append(1e3 * (perf_counter() - began))
    threads = torch.get_num_threads()
    return EngineTiming(analysed.name, found.engine, threads, iterations, fmean(times[1:] or [0.0]), found.notes)
