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

TRIED = 256  # sizes for which every assertion of the program is evaluated


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
    spatial = frozenset(net.symbolic.spatial) if axes else frozenset[Value]()
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
        return _first_lines(error)
    exported = Exported(program, axes, batch, module.inputs, shapes, spatial)
    broken = _broken_assertion(exported) if defer else ""
    return broken or exported


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
    import torch.fx.experimental._config as config

    forward = made.forward

    @wraps(forward)
    def guard_free(*inputs: Any) -> Any:
        with GuardFree():
            return forward(*inputs)

    # Without this flag a memory layout that is the same for extent 1 and for all others is a guard too.
    with config.patch(backed_size_oblivious=True), warnings.catch_warnings(), torch.no_grad():  # type: ignore[attr-defined]
        warnings.simplefilter("ignore")
        made.forward = guard_free  # type: ignore[method-assign]
        try:
            yield
        finally:
            del made.forward


def _first_lines(error: Exception, count: int = 4) -> str:
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    return "\n".join(lines[:count]) or type(error).__name__


def _broken_assertion(exported: Exported) -> str:
    """The first assertion of the program that fails for a legal size, in words; "" if all hold for those tried."""
    from torch.utils._sympy.interp import sympy_interp
    from torch.utils._sympy.reference import PythonReferenceAnalysis

    symbols = _symbols(exported)
    for condition in _assertions(exported.program):
        names = sorted(condition.free_symbols, key=str)
        if any(name not in symbols for name in names):
            continue
        for values in zip(*(symbols[name] for name in names), strict=False):
            if not sympy_interp(PythonReferenceAnalysis, dict(zip(names, values, strict=True)), condition):
                return f"it would be refused at {values}: {condition}"
    return ""


def _symbols(exported: Exported) -> dict[Any, tuple[int, ...]]:
    """For every symbol of the program values that it may take; those of H and W are shuffled against each other."""
    found: dict[Any, tuple[int, ...]] = {}
    names = exported.program.graph_signature.user_inputs
    nodes = {node.name: node for node in exported.program.graph.nodes if node.op == "placeholder"}
    for name, value in zip(names, exported.inputs, strict=True):
        for index, extent in enumerate(nodes[name].meta["val"].shape):
            expression = getattr(getattr(extent, "node", None), "expr", None)
            if expression is None or len(expression.free_symbols) != 1:
                continue
            (symbol,) = expression.free_symbols
            if index == 0 or value not in exported.spatial:
                found[symbol] = tuple(range(1, TRIED + 1))
                continue
            slope, rest = expression.coeff(symbol), expression.subs(symbol, 0)
            legal = exported.axes[index - 2].first(TRIED)
            taken = tuple(int((n - rest) / slope) for n in legal)
            found[symbol] = taken if index == 2 else taken[::-1] if len(taken) < TRIED else taken
    return found


def _assertions(program: ExportedProgram) -> list[Any]:
    """The conditions on symbols that the program checks when it runs."""
    found: dict[Any, None] = {}
    for node in program.graph.nodes:
        if node.op == "call_function" and node.target is torch.ops.aten._assert_scalar.default:
            value = node.args[0].meta.get("val") if isinstance(node.args[0], torch.fx.Node) else None
            expression = getattr(getattr(value, "node", None), "expr", None)
            if expression is not None and getattr(expression, "free_symbols", None):
                found[expression] = None
    return list(found)
