"""torch.export of a compiled net: height, width and batch dynamic over all sizes that the proof allows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from itertools import product
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from netcompile.export.guard_free import GuardFree
from netcompile.export.sizes import Axis, axis, exported_sizes
from netcompile.prototxt.diagnostic import Diagnostic, NetError

if TYPE_CHECKING:
    from netcompile.emit.module import Module
    from netcompile.ir.graph import Value
    from netcompile.pipeline import Analysed

GUARDED, RUN = 256, 48  # for so many sizes a program's guards are evaluated, and its deferred assertions


@dataclass(frozen=True)
class Exported:
    """A program and the sizes that it takes. `axes`: H and W, none for a net without a plane as its input."""

    program: ExportedProgram
    axes: tuple[Axis, ...]
    batch: bool  # any number of images; else the declared one
    inputs: tuple[Value, ...]
    shapes: Mapping[Value, tuple[int, ...]]  # declared
    spatial: frozenset[Value]  # inputs of height H and width W

    def shape(self, value: Value, batch: int, height: int, width: int) -> tuple[int, ...]:
        """The shape of an input for a batch and a size."""
        shape = self.shapes[value]
        if self.batch and value in batched(self.shapes, self.inputs):
            shape = (batch, *shape[1:])
        return (*shape[:2], height, width) if value in self.spatial else shape

    def sizes(self, count: int) -> Iterator[tuple[int, int, int]]:
        """Up to `count` legal (batch, height, width), the smallest first; H and W run through all residues apart."""
        if not self.axes:
            yield from ((batch, 0, 0) for batch in (1, 2, 3)[:count])
            return
        heights, widths = (one.first(count) for one in self.axes)
        for index in range(min(count, max(len(heights), len(widths)))):
            other = index if index == 0 else index * 7 + 3
            yield 1 + index % 2, heights[index % len(heights)], widths[other % len(widths)]

    def five_sizes(self) -> tuple[tuple[int, int, int], ...]:
        """Legal (batch, height, width) to compare results at: the smallest, odd ones, none square but the first."""
        if not self.axes:
            return tuple((batch, 0, 0) for batch in (1, 2, 3, 4, 5))
        heights, widths = (one.first(48) for one in self.axes)
        places = ((1, 0, 0), (2, 1, 6), (1, 12, 3), (3, 23, 17), (1, 40, 33))
        return tuple((n, heights[i % len(heights)], widths[j % len(widths)]) for n, i, j in places)


def refused(net: Analysed, what: str, why: str = "", remedy: str = "") -> NetError:
    return NetError([Diagnostic("export", f"{net.name} {what}", why=why, remedy=remedy)])


def batched(shapes: Mapping[Value, tuple[int, ...]], inputs: tuple[Value, ...]) -> frozenset[Value]:
    """Inputs with as many images as the first; those vary together."""
    found = [v for v in inputs if shapes[v] and shapes[v][0] == shapes[inputs[0]][0]]
    return frozenset(found)


def export_program(net: Analysed, module: Module, made: nn.Module) -> Exported:
    """The program of `made`, an instance of `module` with its weights.

    The batch stays as declared where the net ties it. Raises NetError where the net was built for training, or where
    torch.export cannot express it for all legal sizes.
    """
    if net.graph.train:
        raise refused(net, "cannot be exported for training", remedy="--phase test")
    axes = _axes(net)
    spatial = frozenset(net.symbolic.spatial if axes else ())
    errors = []
    for batch, defer in product((True, False), (False, True)):
        exported = _attempt(net, module, made.eval(), axes, spatial, batch, defer)
        if isinstance(exported, Exported):
            return exported
        errors.append(exported)
    raise refused(net, "cannot be exported with H and W dynamic", why=errors[-2])


def _axes(net: Analysed) -> tuple[Axis, ...]:
    if not net.symbolic.spatial:
        return ()
    h, w = (axis(name, legal) for name, legal in zip("HW", exported_sizes(net), strict=True))
    if h is None or w is None:
        raise refused(net, "is legal for no input size")
    return h, w


def _attempt(
    net: Analysed,
    module: Module,
    made: nn.Module,
    axes: tuple[Axis, ...],
    spatial: frozenset[Value],
    batch: bool,
    defer: bool,
) -> Exported | str:
    """The program, or why there is none."""
    shapes = {value: net.shapes[value] for value in module.inputs}
    draft = Exported(None, axes, batch, module.inputs, shapes, spatial)  # type: ignore[arg-type]
    height, width = _example(net, axes)
    inputs = tuple(torch.zeros(draft.shape(v, 2 if batch else 0, height, width)) for v in module.inputs)
    try:
        with _traceable(made):
            program = torch.export.export(
                made,
                inputs,
                dynamic_shapes=_dynamic_shapes(draft),
                prefer_deferred_runtime_asserts_over_guards=defer,
            )
    except Exception as error:  # torch.export raises what the traced code does, besides its own errors
        return first_lines(error)
    exported = Exported(program, axes, batch, module.inputs, shapes, spatial)
    return _refusal(exported, defer) or exported


def _example(net: Analysed, axes: tuple[Axis, ...]) -> tuple[int, int]:
    """Height and width to trace with: legal, different, and not so small that extents coincide."""
    if not axes:
        return 0, 0
    declared = net.shapes[net.symbolic.spatial[0]]
    height = axes[0].beyond(max(declared[2], 64))
    width = axes[1].beyond(max(declared[3], 64) + 1)
    return height, axes[1].beyond(height + 1) if width == height else width


def _dynamic_shapes(draft: Exported) -> tuple[Any, ...]:
    """torch.export's dynamic_shapes, one entry for each input."""
    images = Dim("N", min=1)
    dims = {}
    for index, one in enumerate(draft.axes, 2):
        if one.most == one.least:
            continue
        if one.step == 1:
            dims[index] = Dim(one.name, min=one.least, max=one.most)
        else:  # the extent is step · k + least % step
            rest = one.least % one.step
            k = Dim(f"_{one.name}", min=one.least // one.step)
            dims[index] = one.step * k + rest if rest else one.step * k
    together = batched(draft.shapes, draft.inputs) if draft.batch else frozenset()
    return tuple(
        ({0: images} if value in together else {}) | (dims if value in draft.spatial else {})
        for value in draft.inputs
    )


@contextmanager
def _traceable(made: nn.Module) -> Iterator[None]:
    """`made`, in guard-free form, its parameters' names as ever."""
    import logging

    import torch.fx.experimental._config as config

    forward = made.forward

    @wraps(forward)
    def guard_free(*inputs: Any) -> Any:
        with GuardFree():
            return forward(*inputs)

    # Without this flag an extent that may be 1 is a guard wherever it could be broadcast.
    with (
        warnings.catch_warnings(action="ignore"),
        config.patch(backed_size_oblivious=True),  # type: ignore[attr-defined]
        torch.no_grad(),
    ):
        made.forward = guard_free  # type: ignore[method-assign]
        logging.disable(logging.WARNING)  # a constraint that torch cannot solve: what it raises says enough
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
            del made.forward


def first_lines(error: BaseException, count: int = 4) -> str:
    """The first lines of what an error says that are not empty."""
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    return "\n".join(lines[:count]) or type(error).__name__


def _refusal(exported: Exported, deferred: bool) -> str:
    """A legal size that the program would refuse, and why; "" if it takes all that were tried.

    Its guards are a function of the inputs' shapes. Deferred assertions lie among the layers, so those are run
    without values.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    program = exported.program.module()
    guards = getattr(program, "_guards_fn", None)
    for batch, height, width in exported.sizes(GUARDED if guards is not None else 0):
        shapes = [exported.shape(value, batch, height, width) for value in exported.inputs]
        try:
            guards(*(torch.empty(shape, device="meta") for shape in shapes))  # type: ignore[misc]
        except AssertionError as error:
            return f"{height}x{width}: {error}"
    if deferred:
        for batch, height, width in exported.sizes(RUN):
            shapes = [exported.shape(value, batch, height, width) for value in exported.inputs]
            try:
                with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
                    program(*map(torch.empty, shapes))
            except RuntimeError as error:
                return f"{height}x{width}: {first_lines(error, 1)}"
    return ""
