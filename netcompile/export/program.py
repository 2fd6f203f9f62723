"""torch.export of a compiled net: height, width and batch dynamic over all sizes that the proof allows."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import wraps
from io import StringIO
from itertools import product
from typing import Any

import torch
import torch.fx.experimental._config as config
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export import Dim, ExportedProgram

from netcompile.analyser import Analysed
from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.diagnostics.text import shape_text
from netcompile.emit.module import EmittedModule
from netcompile.export.guard_free import GuardFree
from netcompile.export.portable import Portable
from netcompile.export.sizes import Signature, place, refuse_training, signature
from netcompile.export.stand_ins import blamed, culprit, standing_in
from netcompile.export.windows import strips_of

GUARDED, RUN = 256, 48  # for so many sizes a program's guards are evaluated, and its deferred assertions


@dataclass(frozen=True, slots=True)
class Exported:
    """A program and the shapes that it takes."""

    program: ExportedProgram
    signature: Signature
    limits: tuple[Diagnostic, ...] = ()  # why it takes less than every legal size


def export_program(net: Analysed, portable: EmittedModule | Portable, made: nn.Module) -> Exported:
    """The program of `made`, an instance of the net's module with its weights.

    The batch stays as declared where the net ties it, and height and width where torch.export cannot express the net
    for all that are legal, or where its windows have borders. Raises NetError where the net was built for training, or
    cannot be exported at all.
    """
    refuse_training(net)
    made.eval()
    failed: list[Failed] = []
    portable = portable if isinstance(portable, Portable) else Portable(portable)
    module = portable.module
    strips = strips_of(portable, made)
    if strips is not None:
        with standing_in(module, made):
            run = wraps(made.forward)(lambda image: made.windowed(image, strips))  # type: ignore[operator]
            for batch in (True, False):
                found = _attempt(made, signature(net, module, batch, fixed=True), False, run)
                if isinstance(found, Exported):
                    return replace(found, limits=(_one_size(net, found),))
    with standing_in(module, made):
        for batch, defer in product((True, False), (False, True)):
            found = _attempt(made, signature(net, module, batch), defer)
            if isinstance(found, Exported):
                return found
            failed.append(found)
            if found.hopeless:
                break
        limit = failed[min(2, len(failed) - 1)]
        for batch in (True, False):
            found = _attempt(made, signature(net, module, batch, fixed=True), False)
            if isinstance(found, Exported):
                return replace(found, limits=(_limit(net, module, limit, found),))
            failed.append(found)
    last = failed[-1]
    raise NetError(blamed(net, culprit(module, last.error), "cannot be exported", last.why))


def _limit(net: Analysed, module: EmittedModule, failed: Failed, found: Exported) -> Diagnostic:
    """Why a program takes the declared size alone."""
    node = culprit(module, failed.error)
    sizes = " and ".join(shape_text(net.shapes[value]) for value in found.signature.shapes)
    made = blamed(net, node, f"is exported for the declared size alone, {sizes}", failed.why)
    return replace(made, severity="warning", remedy="--input NAME=1x3xHxW chooses the size")


def _one_size(net: Analysed, found: Exported) -> Diagnostic:
    """That a program of windows takes the declared size alone."""
    sizes = " and ".join(shape_text(net.shapes[value][2:]) for value in found.signature.shapes)
    what = f"{net.name} is exported for images of {sizes} alone"
    why = "at -O 2 it computes windows of blobs, and holds what surrounds them for one size"
    remedy = "--input NAME=1x3xHxW chooses the size; -O 1 exports it for all"
    return Diagnostic("export", what, place(net), why=why, remedy=remedy, severity="note")


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no program."""

    why: str
    error: BaseException | None = None

    @property
    def hopeless(self) -> bool:
        """Whether no other way of tracing would do better: the code depends on numbers, not on sizes."""
        return "data-dependent" in str(self.error)


def _attempt(
    made: nn.Module, takes: Signature, defer: bool, run: Callable[..., Any] | None = None
) -> Exported | Failed:
    """The program, or why there is none; of `run` where that is given, which computes with the parts of `made`.

    With `defer`, a comparison of sizes that torch cannot decide is assumed and asserted when the program runs. That
    these assertions hold for legal sizes is tried out here.
    """
    example = takes.example()
    inputs = tuple(torch.zeros(takes.shape(value, *example)) for value in takes.shapes)
    try:
        with quiet(), traceable(made, all(one.whole for one in takes.axes), run):
            program = torch.export.export(
                made,
                inputs,
                dynamic_shapes=_dynamic_shapes(takes),
                prefer_deferred_runtime_asserts_over_guards=defer,
            )
    except Exception as error:  # torch.export raises what the traced code does, besides its own errors
        return Failed(summary(error), error)
    program.graph.eliminate_dead_code()  # indices of maxima that nobody asked for
    program.graph_module.recompile()
    found = Exported(program, takes)
    refusal = _refusal(found, defer)
    return Failed(refusal) if refusal else found


def _dynamic_shapes(takes: Signature) -> tuple[Any, ...]:
    """torch.export's dynamic_shapes, one entry for each input."""
    images = Dim("N", min=1)
    regions = Dim("R", min=1)
    dims = {}
    for index, one in enumerate(takes.axes, 2):
        if one.most == one.least:
            continue
        if one.step == 1:
            dims[index] = Dim(one.name, min=one.least, max=one.most)
        else:
            rest = one.least % one.step
            k = Dim(f"_{one.name}", min=one.least // one.step)
            dims[index] = one.step * k + rest if rest else one.step * k
    rows = {**dict.fromkeys(takes.batched, images), **dict.fromkeys(takes.regions, regions)}
    return tuple(
        ({0: rows[value]} if value in rows else {}) | (dims if value in takes.spatial else {}) for value in takes.shapes
    )


@contextmanager
def traceable(made: nn.Module, everywhere: bool, run: Callable[..., Any] | None = None) -> Iterator[None]:
    """`made`, or `run` in its place, in guard-free form; a wrapper would rename its parameters."""
    forward = run or made.forward

    @wraps(forward)
    def guard_free(*inputs: Any) -> Any:
        with GuardFree(everywhere):
            return forward(*inputs)

    # Without this flag an extent that may be 1 is a guard wherever it could be broadcast.
    with config.patch(backed_size_oblivious=True), torch.no_grad():  # type: ignore[attr-defined]
        made.forward = guard_free
        try:
            yield
        finally:
            del made.forward


@contextmanager
def quiet() -> Iterator[None]:
    """Without what torch logs and prints: what it cannot do is raised as well, and told in full there."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    nowhere = StringIO()
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stdout(nowhere), redirect_stderr(nowhere):
            yield
    finally:
        logging.disable(before)


def summary(error: BaseException) -> str:
    """The two lines of an error that say most: of violated constraints the first of the list."""
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    listed = [line.removeprefix("- ") for line in lines if line.startswith("- ")]
    return "\n".join((listed or lines)[:2]) or type(error).__name__


def _refusal(exported: Exported, deferred: bool) -> str:
    """A legal size that the program would refuse, and why; "" if it takes all that were tried.

    Its guards are a function of the inputs' shapes. Deferred assertions lie among the layers, so those are run
    without values.
    """
    program, takes = exported.program.module(), exported.signature
    guards = getattr(program, "_guards_fn", None)
    for size in takes.sizes(GUARDED if guards is not None else 0):
        try:
            guards(*(torch.empty(takes.shape(value, *size), device="meta") for value in takes.shapes))  # type: ignore[misc]
        except AssertionError as error:
            return f"{size[1]}x{size[2]}: {summary(error)}"
    for size in takes.sizes(RUN if deferred else 0):
        try:
            with quiet(), FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
                program(*(torch.empty(takes.shape(value, *size)) for value in takes.shapes))
        except (RuntimeError, AssertionError) as error:
            return f"{size[1]}x{size[2]}: {summary(error)}"
    return ""
