"""What is done to the graph of an ONNX file before it is written: constants, names of blobs, names of extents."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netcompile.export.program import Exported


def tidy(model: Any) -> None:
    """Compute what is constant, and drop what nobody needs. Nothing else is changed: runtimes do that themselves."""
    from onnx_ir.passes import common as passes
    from onnxscript import optimizer

    common: Any = passes
    common.InlinePass()(model)
    optimizer.fold_constants(model)
    for step in (
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedFunctionsPass(),
        common.RemoveUnusedOpsetsPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.NameFixPass(),
    ):
        step(model)


def name_blobs(model: Any, inputs: Sequence[str], outputs: Sequence[str]) -> dict[str, str]:
    """Give inputs and outputs the blobs' names, and whatever else had one of these another.

    No name may stand for two things: an output whose blob is an input too, worked on in place or not at all, gets
    another. Returns these outputs with the names that they have.
    """
    import onnx_ir

    graph = model.graph
    for index, value in enumerate(graph.outputs):
        # What goes in and comes out as it is, or comes out twice, would have two names.
        if value.is_graph_input() or value.is_initializer() or value in graph.outputs[:index]:
            node = onnx_ir.Node("", "Identity", [value])
            node.outputs[0].shape, node.outputs[0].dtype = value.shape, value.dtype
            graph.append(node)
            graph.outputs[index] = node.outputs[0]
    taken = {*inputs, *outputs, *(value.name for value in _values(graph))}
    others = {blob: _fresh(blob, taken) for blob in outputs if blob in inputs}
    names = [*inputs, *(others.get(blob, blob) for blob in outputs)]
    named = dict(zip([*graph.inputs, *graph.outputs], names, strict=True))
    wanted = set(named.values())
    for value in _values(graph):
        if value.name in wanted and value not in named:
            value.name = _fresh(str(value.name), taken)
    for value in named:
        value.name = _fresh("blob", taken)  # one by one, names of two blobs may be each other's
    for value, name in named.items():
        value.name = name
    return others


def _values(graph: Any) -> list[Any]:
    """Everything in a graph that has a name."""
    made = [value for node in graph for value in node.outputs]
    return [*graph.inputs, *list(graph.initializers.values()), *made]


def _fresh(name: str, taken: set[str]) -> str:
    """A name that is not taken, and is from now on."""
    number = 1
    while f"{name}_{number}" in taken:
        number += 1
    taken.add(f"{name}_{number}")
    return f"{name}_{number}"


def name_axes(model: Any, exported: Exported) -> None:
    """Call the symbols of the program N, H and W in the shapes that the file states."""
    import onnx_ir

    names: dict[str, str] = {}
    for value, node in zip(exported.signature.shapes, model.graph.inputs, strict=True):
        for index, extent in enumerate(node.shape):
            symbols = re.findall(r"[A-Za-z_]\w*", "" if isinstance(extent, int) else str(extent.value))
            if len(symbols) == 1:
                spatial = index > 1 and value in exported.signature.spatial
                wanted = "HW"[index - 2] if spatial else "R" if value in exported.signature.regions else "N"
                # Of a multiple only the factor is a symbol.
                names.setdefault(symbols[0], wanted if symbols[0] == str(extent.value) else f"{wanted}_")
    if not names:
        return
    pattern = re.compile(r"\b(" + "|".join(names) + r")\b")
    values = [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]
    for value in values:
        for index, extent in enumerate(value.shape or ()):
            if not isinstance(extent, int) and extent.value is not None:
                text = pattern.sub(lambda found: names[found[1]], str(extent.value))
                value.shape[index] = onnx_ir.SymbolicDim(text)
