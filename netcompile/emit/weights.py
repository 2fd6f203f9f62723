"""The plan that fills an emitted module's state dict from a caffemodel."""

from __future__ import annotations

from collections import Counter

from netcompile.caffemodel.plan import LayerSpec, Plan, Tensor
from netcompile.caffemodel.recipe import Constant, Take
from netcompile.emit.module import EmittedModule
from netcompile.ir.graph import Graph
from netcompile.layers.unknown import Unknown


def layer_specs(module: EmittedModule) -> tuple[LayerSpec, ...]:
    """Every layer with blobs, in net order: what a file of weights has to have for it."""
    found = []
    for blobs in module.blobs:
        node = blobs.node
        shared = tuple((own.index, owner) for own, owner in zip(blobs.own, blobs.owners, strict=True) if owner != own)
        where = node.message.span_of("name") if node.message.has("name") else node.message.span
        roles = tuple(spec.meaning for spec in blobs.specs)
        unread = frozenset(index for index, spec in enumerate(blobs.specs) if spec.unread)
        shapes = tuple(spec.shape for spec in blobs.specs)
        found.append(LayerSpec(node.name, shapes, shared, where, roles, unread=unread, occurrence=node.occurrence))
    return tuple(found)


def weight_plan(graph: Graph, module: EmittedModule) -> Plan:
    """Every tensor of the module's state dict, and what Caffe's net expects of the file."""
    specs = {(spec.name, spec.occurrence): spec for spec in layer_specs(module)}
    shapes = {take: shape for spec in specs.values() for take, shape in zip(spec.takes(), spec.blobs, strict=True)}
    # What a layer of unknown type keeps in a caffemodel is unknown as well: as if the net had no such layer.
    stubs = {node.name for node in graph.nodes if isinstance(node.layer, Unknown)}
    cut = graph.cut.layers if graph.cut is not None else ()
    layers, seen, total = [], Counter[str](), Counter(graph.order)
    for name in graph.order:
        if name in stubs and total[name] == 1:
            continue
        key = (name, seen[name])
        seen[name] += 1
        layers.append(specs.get(key) or LayerSpec(name, cut=key in cut, occurrence=key[1]))
    tensors = []
    for weight in module.weights:
        dtype = weight.recipe.dtype if isinstance(weight.recipe, Constant) else "float32"
        tensors.append(Tensor(weight.key, weight.recipe.shape_of(shapes.__getitem__), dtype, weight.recipe))
    return Plan(tuple(tensors), tuple(layers))


def blob_keys(module: EmittedModule) -> dict[str, str]:
    """For each blob of a caffemodel, as ``<layer>.<index>``, the entry of the state dict that its numbers go into.

    Where these are several, the one that begins with it. A blob that nothing is computed from has none.
    """
    found: dict[str, str] = {}
    others: list[tuple[Take, str]] = []
    for weight in module.weights:
        for index, take in enumerate(weight.recipe.sources()):
            if index == 0:
                found.setdefault(str(take), weight.key)
            else:
                others.append((take, weight.key))
    for take, key in others:
        found.setdefault(str(take), key)
    for blobs in module.blobs:  # those that layers share
        for own, owner in zip(blobs.own, blobs.owners, strict=True):
            if own != owner and str(owner) in found:
                found.setdefault(str(own), found[str(owner)])
    return found


def needs_weights(plan: Plan) -> bool:
    """Whether any tensor comes from a caffemodel."""
    return any(tensor.recipe.sources() for tensor in plan.tensors)
