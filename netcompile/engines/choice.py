"""Which engine computes a net: the one that is asked for, or the one that was measured to be the fastest here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn

from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.engines import catalogue
from netcompile.engines.catalogue import TORCH, available, engine_called
from netcompile.engines.engine import Engine
from netcompile.engines.kept import Answer, Case, keep, read
from netcompile.engines.model import Model
from netcompile.runtime.processes import is_joined

BUDGET = 2.0  # seconds of measuring, all engines together; of a slow net each runs three times all the same
TURN = 0.1  # seconds in which an engine runs before the next one does
# Runs at most before the first turn, and seconds behind the first: torch lays weights out, and writes its calls down.
WARM, WARM_SECONDS = 13, 1.0
FALLBACK = "--engine auto: torch computes this net"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A net ready to compute, the engine that does, and what is to be said of it."""

    net: nn.Module
    engine: str
    notes: tuple[Diagnostic, ...] = ()


Models = Callable[[], AbstractContextManager[Model]]  # writes the net's ONNX file. Raises NetError
Modules = Callable[[], nn.Module]  # the emitted module with its weights


def asked_for(
    name: str, models: Models, limits: Callable[[], Sequence[Diagnostic]] = tuple, dtype: str = "float32"
) -> Chosen:
    """The net in the engine of that name. Raises NetError where that cannot be.

    `limits` says, once the file is there, why it takes less than the module.
    """
    engine = engine_called(name)
    engine.require(dtype=dtype)
    with models() as model:
        return Chosen(model.module_in(engine, model.opened(engine, dtype), dtype), name, tuple(limits()))


def fastest(case: Case, torch_net: Modules, models: Models, inputs: Callable[[], Sequence[Tensor]]) -> Chosen:
    """The net in the engine that was measured to be the fastest: before, as it was kept, else now, on `inputs`.

    torch computes it where no other engine does; a note says why.
    """
    engines = tuple(engine for engine in available() if not engine.missing)
    if not engines:
        names = ", ".join(engine.title for engine in catalogue.ENGINES)
        return Chosen(torch_net(), TORCH, (_told(f"torch computes the net: of {names} none is installed", ""),))
    answer = read(case)
    if answer is not None and answer.engine == TORCH:
        return Chosen(torch_net(), TORCH, _notes(case, answer, "was measured before"))
    if answer is not None and answer.engine in {engine.name for engine in engines}:
        try:
            chosen = asked_for(answer.engine, models)
        except NetError:
            pass  # other weights, say: measured anew
        else:
            return replace(chosen, notes=_notes(case, answer, "was measured before"))
    return _measured(case, torch_net(), models, engines, inputs())


def _measured(
    case: Case, net: nn.Module, models: Models, engines: Sequence[Engine], inputs: Sequence[Tensor]
) -> Chosen:
    """Measure, and keep what was found."""
    reasons: list[Diagnostic] = []
    chosen: nn.Module = net
    times: Mapping[str, float] = {}
    name = TORCH
    try:
        with models() as model:
            _require_all(model)
            sessions = {}
            for engine in engines:
                try:
                    sessions[engine.name] = model.opened(engine)
                except NetError as error:
                    reasons += error.diagnostics
            arrays = [x.numpy() for x in inputs]
            runs: dict[str, Callable[[], object]] = {TORCH: lambda: _run(net, inputs)}
            for key, session in sessions.items():
                runs[key] = lambda session=session: session(arrays)  # type: ignore[misc]
            if sessions:
                times = measure(runs)
                name = min(times, key=lambda key: times[key])
            if name != TORCH:
                if model.others is not None:
                    with model.others() as others:  # kept from now on
                        _require_all(others)
                chosen = model.module_in(engine_called(name), sessions[name])
    except NetError as error:
        reasons, name, times = [*error.diagnostics], TORCH, {}
    why = "; ".join(dict.fromkeys(_reason(found) for found in reasons))
    answer = Answer(name, {key: round(value, 3) for key, value in times.items()}, why)
    notes = _notes(case, answer, "was measured", reasons[0] if reasons else None)
    unkept = keep(case, answer)
    if unkept:
        notes = (*notes, _told("what was measured cannot be kept, and will be measured again", unkept))
    return Chosen(chosen, name, notes)


def _require_all(model: Model) -> None:
    """Raises NetError where a file takes less than the module."""
    if not model.complete:
        raise NetError(Diagnostic("export", "its ONNX file takes fewer shapes than the module"))


def measure(
    runs: Mapping[str, Callable[[], object]], budget: float = BUDGET, clock: Callable[[], float] = perf_counter
) -> dict[str, float]:
    """Milliseconds of each: the median of its runs in turns, after some that do not count, two at least.

    Turns end when the budget, in seconds, is used up; one counts in any case.
    """
    for run in runs.values():
        run()
        began = clock()
        for _ in range(1, WARM):
            if clock() - began < WARM_SECONDS:
                run()
    end = clock() + budget
    times: dict[str, list[float]] = {name: [] for name in runs}
    while not all(times.values()) or clock() < end:
        for name, run in runs.items():
            times[name] += _turn(run, clock)
    return {name: 1e3 * median(found) for name, found in times.items()}


def _turn(run: Callable[[], object], clock: Callable[[], float]) -> list[float]:
    """Seconds of one slow run, or of the fast ones that fit; the first of these finds others' data in the caches."""
    found: list[float] = []
    while sum(found) < TURN:
        began = clock()
        run()
        found.append(clock() - began)
    return found[1:] or found


def fallback(why: str, found: Diagnostic | None = None) -> Diagnostic:
    """The note that torch computes a net in spite of ``auto``, at the place of what was found."""
    return Diagnostic("engine", FALLBACK, found.span if found is not None else None, why=why, severity="note")


def elsewhere(device: str, dtype: str, train: bool) -> Diagnostic | None:
    """Why ``auto`` asks no engine but torch for how the net is computed, if that is so."""
    if device.partition(":")[0] != "cpu":
        return fallback(f"other engines compute on the CPU here, not on {device}")
    if dtype != "float32":
        return fallback(f"other engines compute in float32 here, not in {dtype}")
    if train:
        return fallback("other engines do not learn")
    if is_joined():
        return fallback("several processes share the machine, and each would measure the others")
    return None


def _notes(case: Case, answer: Answer, when: str, found: Diagnostic | None = None) -> tuple[Diagnostic, ...]:
    if not answer.milliseconds:
        return (fallback(answer.why, found),)
    figures = ", ".join(f"{name} {value:g} ms" for name, value in answer.milliseconds.items())
    left_out = f"; left out: {answer.why}" if answer.why else ""
    return (_told(f"{answer.engine} computes the net, as {when}: {figures}", f"kept in {case.path}{left_out}"),)


def _told(what: str, why: str) -> Diagnostic:
    return Diagnostic("engine-measured", what, why=why, severity="note")


def _reason(found: Diagnostic) -> str:
    return f"{found.what}: {found.why}" if found.why else found.what


def _run(net: nn.Module, inputs: Sequence[Tensor]) -> object:
    with torch.inference_mode():
        return net(*inputs)
