"""Every blob that a net computes, not its outputs alone: asked for of a prototxt, the variables of a build."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from netcompile.analyser import Analysed
from netcompile.analysis.footprint import require_room
from netcompile.array import Array
from netcompile.compiler import compile_net
from netcompile.diagnostics.diagnostic import refuse
from netcompile.emit.names import identifier
from netcompile.ir.graph import Graph, Value
from netcompile.runtime.emitted import arrays_of, by_name, instance, source_of
from netcompile.runtime.execute import Noticed
from netcompile.runtime.loaded import load_build
from netcompile.runtime.random_weights import ready


@dataclass(frozen=True, slots=True)
class Place:
    """Where a blob comes from: its layer's position, name, type and line; position -1 for an input."""

    position: int
    layer: str
    type: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Activations:
    """Blobs by key: NAME for a blob's final value, ``top:LAYER:NAME`` for the value right after a layer."""

    arrays: dict[str, Array]
    places: dict[str, Place]


def keys_of(graph: Graph) -> dict[str, Value]:
    """Every value of the net under its key; a blob's final value under its name as well."""
    found: dict[str, Value] = dict(graph.blobs)
    for entry in graph.inputs:
        found.setdefault(f"top:{entry.message.get('name')}:{entry.value.blob}", entry.value)
    for node in graph.nodes:
        for top in node.tops:
            found.setdefault(f"top:{node.name}:{top.blob}", top)
    return found


def places_of(graph: Graph) -> dict[str, Place]:
    """The layer behind every key of `keys_of`; of a blob that layers work on in place the last of them."""
    made = {entry.value: Place(-1, entry.value.blob, entry.layer.type) for entry in graph.inputs}
    for index, node in enumerate(graph.nodes):
        made.update((top, Place(index, node.name, node.type, node.line)) for top in node.tops)
    return {key: made[value] for key, value in keys_of(graph).items()}


def blobs_of_net(
    analysed: Analysed, weights: str | None, feed: Mapping[str, Array], level: int, seed: int | None = None,
    noticed: Noticed | None = None,
) -> Activations:  # fmt: skip
    """Run a net and keep every value that it computes; `noticed` as in `ready`. Raises NetError."""
    graph = analysed.require().graph
    require_room(analysed.source.name, graph, analysed.shapes, weights=2, blobs=2)  # another level's are compared
    keys = keys_of(graph)
    whole = replace(analysed, graph=graph.replace(blobs=keys))
    module = compile_net(whole, level, list(keys))
    found = _run(ready(whole, module, weights, seed, noticed), [feed[value.blob] for value in module.inputs])
    return Activations(arrays_of(by_name(found, module.outputs)), places_of(graph))


def blobs_as_compiled(
    analysed: Analysed, weights: str | None, feed: Mapping[str, Array], level: int, seed: int | None = None
) -> Activations:
    """Blobs at a level of optimisation: outputs of the net as it is compiled for use, asked for nothing else; blobs
    that are left in it; and for what was fused away, those of the net when it is asked for every blob.
    """
    module = compile_net(analysed.require(), level, weights=weights)
    net = ready(analysed, module, weights, seed)
    inputs = [feed[value.blob] for value in module.inputs]
    arrays = blobs_of_net(analysed, weights, feed, level, seed).arrays
    variables = _variables(net, inputs)[0]
    left = arrays_of({blob: variables[name] for blob, name in module.variables.items() if name in variables})
    # A variable of another shape is not the blob of its name, but the window of it that is needed.
    arrays.update({key: array for key, array in left.items() if array.shape == arrays[key].shape})
    arrays.update(arrays_of(by_name(_run(net, inputs), module.outputs)))
    places = places_of(analysed.graph)
    return Activations(arrays, {key: places[key] for key in arrays})


def blobs_of_build(
    folder: str, feed: Mapping[str, Array], names: Iterable[str] = (), trust_edits: bool = False
) -> Activations:  # fmt: skip
    """Run a build's module and keep the variables of its `forward`, which are named after the blobs.

    The build says which blobs have variables of other names; `names` are blob names that are looked for as identifiers
    too. What passes fused away is not there. `trust_edits` is as for `load_build`.
    """
    loaded = load_build(folder, trust_edits)
    inputs = [feed[name] for name, _ in loaded.inputs]
    variables, order = _variables(loaded.net, inputs)
    called = {blob: name for blob, name in loaded.variables.items() if name in variables}
    others = dict.fromkeys([*names, *(name for name, _ in loaded.inputs), *loaded.outputs])
    called |= _called([name for name in others if name not in called], set(variables) - set(called.values()))
    taken = set(called.values())
    called |= {name: name for name in variables if name not in taken and name not in called}
    arrays = arrays_of({blob: variables[name] for blob, name in called.items()})
    arrays.update(arrays_of(by_name(_run(loaded.net, inputs), loaded.outputs)))
    fed = {name for name, _ in loaded.inputs}
    ends = {key: -1 if key in fed else len(order) for key in arrays}  # an input may be worked on in place
    places = {key: Place(order.get(called.get(key, ""), end), key, "") for key, end in ends.items()}
    return Activations(arrays, places)


def _variables(net: nn.Module, inputs: Iterable[Array]) -> tuple[dict[str, Any], dict[str, int]]:
    """All variables of an emitted net's forward pass, and the order in which they are set last."""
    class_name = type(net).__name__
    source, order = with_variables(source_of(net)[0], class_name)
    observed = instance(source, class_name)
    observed.load_state_dict(net.state_dict())
    observed.train(net.training)
    return _run(observed, inputs), order


def with_variables(source: str, class_name: str) -> tuple[str, dict[str, int]]:
    """The module with a `forward` that returns all its variables, and the order in which they are set last.

    From -O2 on the blobs are computed by a method that `forward` calls: `compute`, or, where what runs computes windows
    of them, `literal`, which computes them whole with the same weights.
    """
    tree = ast.parse(source)
    for item in tree.body:
        if not isinstance(item, ast.ClassDef) or item.name != class_name:
            continue
        methods = {part.name: part for part in item.body if isinstance(part, ast.FunctionDef)}
        method = next((methods[name] for name in ("literal", "compute", "forward") if name in methods), None)
        if method is None or not isinstance(method.body[-1], ast.Return):
            continue
        order: dict[str, int] = {}
        for number, statement in enumerate(method.body):
            for part in ast.walk(statement):
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                    order[part.id] = number
        result = ast.parse("dict(locals())", mode="eval").body
        method.body = [statement for statement in method.body if not isinstance(statement, ast.Delete)]
        method.body[-1] = ast.copy_location(ast.Return(result), method.body[-1])
        item.body = [part for part in item.body if part is method or part is not methods.get("forward")]
        method.name = "forward"
        return ast.unparse(ast.fix_missing_locations(tree)), order
    refuse("build-folder", f"the module has no class {class_name} with a forward method")


def _run(net: nn.Module, inputs: Iterable[Array]) -> Any:
    with torch.no_grad():
        return net(*(torch.from_numpy(np.array(array, np.float32)) for array in inputs))


def _called(names: Sequence[str], variables: Container[str]) -> dict[str, str]:
    """Names with the variables that they become as identifiers, without those that share one with another."""
    counts = Counter(identifier(name) for name in names)
    return {name: key for name in names if counts[key := identifier(name)] == 1 and key in variables}
