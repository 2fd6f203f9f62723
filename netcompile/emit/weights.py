"""The plan that fills an emitted module's state dict from a caffemodel."""

from __future__ import annotations

from netcompile.caffemodel.plan import LayerSpec, Plan, Tensor
from netcompile.caffemodel.recipe import Constant, Take, shape_of, sources
from netcompile.emit.module import Module
from netcompile.ir.graph import Graph
from netcompile.layers.base import IntShape
from netcompile.layers.unknown import Unknown


def weight_plan(graph: Graph, module: Module) -> Plan:
    """Every tensor of the module's state dict, and what Caffe's net expects of the file."""
    shapes: dict[Take, IntShape] = {}
    specs: dict[tuple[str, int], LayerSpec] = {}
    for blobs in module.blobs:
        node = blobs.node
        own = [Take(node.name, index, node.occurrence) for index in range(len(blobs.specs))]
        shapes.update((take, spec.shape) for take, spec in zip(own, blobs.specs, strict=True))
        shared = tuple(
            (index, owner)
            for index, (take, source) in enumerate(zip(own, blobs.sources, strict=True))
            for owner in sources(source)
            if owner != take
        )
        where = node.message.span_of("name") if node.message.has("name") else node.message.span
        key = (node.name, node.occurrence)
        roles = tuple(s.meaning for s in blobs.specs)
        unread = frozenset(index for index, spec in enumerate(blobs.specs) if spec.unread)
        extents = tuple(s.shape for s in blobs.specs)
        specs[key] = LayerSpec(node.name, extents, shared, where, roles, unread=unread)
    # What a layer of unknown type keeps in a caffemodel is unknown as well: as if the net had no such layer.
    stubs = {node.name for node in graph.nodes if isinstance(node.layer, Unknown)}
    cut = graph.cut.layers if graph.cut is not None else ()
    layers, seen = [], dict[str, int]()
    for name in graph.order:
        if name in stubs and graph.order.count(name) == 1:
            continue
        occurrence = seen.get(name, 0)
        seen[name] = occurrence + 1
        layers.append(specs.get((name, occurrence)) or LayerSpec(name, cut=(name, occurrence) in cut))
    tensors = []
    for weight in module.weights:
        dtype = weight.recipe.dtype if isinstance(weight.recipe, Constant) else "float32"
        tensors.append(Tensor(weight.key, shape_of(weight.recipe, shapes.__getitem__), dtype, weight.recipe))
    return Plan(tuple(tensors), tuple(layers))


def needs_weights(plan: Plan) -> bool:
    """Whether any tensor comes from a caffemodel."""
    return any(sources(tensor.recipe) for tensor in plan.tensors)
