"""The layers of a graph as Python statements."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from netcompile.analysis.shapes import diagnose
from netcompile.caffemodel.recipe import Recipe
from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.emit.blobs import LearnedBlobs, Owners
from netcompile.emit.names import MODULE_ATTRIBUTES, Names
from netcompile.emit.prelude import Clash, Definition, Missing, closure
from netcompile.emit.text import dims_text
from netcompile.emit.variables import Variables, variables
from netcompile.ir.graph import Graph, Node, Value
from netcompile.ir.prune import needed
from netcompile.layers.base import BlobSpec, Emission, IntShape, Refused, Shape
from netcompile.layers.shapes import count

LARGE = 1 << 20  # bytes from which on a blob is dropped after its last use

Attributes = Mapping[tuple[str, int], str]  # a layer's name and occurrence → the attribute that holds its parameters


@dataclass(frozen=True, slots=True)
class Shaped:
    """A graph with the shapes of its values, as numbers and, where known, as functions of the input's size."""

    graph: Graph
    shapes: Mapping[Value, IntShape]
    symbolic: Mapping[Value, Shape | None]

    def bottoms(self, node: Node) -> tuple[IntShape, ...]:
        """The shapes of a layer's bottoms."""
        return tuple(self.shapes[bottom] for bottom in node.bottoms)

    def dims(self, value: Value) -> Shape | None:
        """A value's shape, symbolic if known."""
        return self.symbolic.get(value) or self.shapes.get(value)


@dataclass(frozen=True, slots=True)
class Weight:
    """One entry of the module's state dict: its key, how it is made, and the line of the layer that owns it."""

    key: str
    recipe: Recipe
    layer: str


@dataclass(frozen=True, slots=True)
class LayerCode:
    """One layer as statements of ``__init__`` and of ``forward``, and what they need."""

    node: Node
    init: tuple[str, ...] = ()
    forward: tuple[str, ...] = ()  # none if no output needs the layer
    functions: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    weights: tuple[Weight, ...] = ()
    blobs: LearnedBlobs | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """All layers of a graph as statements; `problems` are those that have no code."""

    net: Shaped
    variables: Variables
    attributes: Attributes
    layers: tuple[LayerCode, ...]
    problems: tuple[Diagnostic, ...]


def _running(graph: Graph, wanted: Iterable[Value]) -> set[int]:
    """Indices of the layers that the wanted values are made by, directly or not; all of them in training."""
    values = needed(graph.nodes, wanted)
    return {index for index, node in enumerate(graph.nodes) if graph.train or not values.isdisjoint(node.tops)}


def write(
    net: Shaped,
    wanted: Collection[Value],
    *,
    borders: Iterable[Value] = (),
    reserved: frozenset[str] = frozenset(),
    own: frozenset[str] = frozenset(),
    attributes: Attributes | None = None,
    drop: bool = False,
) -> Code:
    """Code of every layer. Those that no `wanted` value needs have their parameters, and do not run.

    `borders` are values that must not be overwritten either, `reserved` names that no variable may have and `own` those
    that no attribute may have. `attributes` are given where another method of the class runs the same layers; with
    `drop` large blobs are forgotten after their last use.
    """
    graph, kept = net.graph, [*wanted, *borders]
    live = _running(graph, wanted)
    held = {*kept, *(entry.value for entry in graph.inputs)}
    named = variables(graph, kept, reserved, live)
    blobs = [node.layer.blobs(*net.bottoms(node)) for node in graph.nodes]
    attributes = _attributes(graph, blobs, own) if attributes is None else attributes
    owners = Owners()
    layers, problems = [], []
    released: list[str] = []
    for index, node in enumerate(graph.nodes):
        try:
            layer = _layer(net, index, blobs[index], named, attributes, owners, index in live)
        except Refused as refused:
            problems.append(diagnose(node, refused))
            continue
        if drop and index in live:
            released += _released(net, index, named, held)
        if released and layer.forward:
            layer = replace(layer, forward=(*layer.forward, f"del {', '.join(released)}"))
            released = []
        layers.append(layer)
    return Code(net, named, attributes, tuple(layers), tuple(problems))


def _attributes(graph: Graph, blobs: Sequence[tuple[BlobSpec, ...]], own: frozenset[str]) -> Attributes:
    names = Names(MODULE_ATTRIBUTES | own, public=True)
    return {
        (node.name, node.occurrence): names.fresh(node.name or node.type, node.layer.attributes)
        for node, specs in zip(graph.nodes, blobs, strict=True)
        if specs or node.layer.keeps_state
    }


def _layer(
    net: Shaped,
    index: int,
    specs: tuple[BlobSpec, ...],
    named: Variables,
    attributes: Attributes,
    owners: Owners,
    live: bool,
) -> LayerCode:
    """One layer; `owners` learns of its blobs. Raises Refused where it has no counterpart in PyTorch."""
    node, reading = net.graph.nodes[index], named.readings[index]
    sources = owners.sources(node, specs)
    emitted = node.layer.emit(
        Emission(
            reading.variables,
            tuple(named.named[top] for top in node.tops),
            attributes.get((node.name, node.occurrence), node.name),
            node.name,
            net.bottoms(node),
            tuple(net.shapes[top] for top in node.tops if top in net.shapes),
            net.graph.train,
            sources,
            attributes,
        )
    )
    ties = owners.ties(node, specs, emitted)
    owners.own(node, specs, emitted)
    used = live or bool(emitted.init)
    return LayerCode(
        node,
        (*emitted.init, *ties),
        (*reading.statements, *_commented(net, node, emitted.forward, bool(specs))) if live and emitted.forward else (),
        emitted.functions if used else (),
        emitted.imports if used else (),
        tuple(Weight(key, recipe, node.name) for key, recipe in emitted.tensors),
        LearnedBlobs(node, specs, sources) if specs else None,
    )


def _commented(net: Shaped, node: Node, lines: tuple[str, ...], learned: bool) -> tuple[str, ...]:
    """The layer's lines, the last with the top's shape, without the batch, as a comment where that is news."""
    bottoms = net.bottoms(node)
    same = bottoms and node.tops and net.shapes.get(node.tops[0]) == bottoms[0] and not learned
    dims = net.dims(node.tops[0]) if len(node.tops) == 1 else None
    if same or not dims or "#" in lines[-1]:
        return lines
    return (*lines[:-1], f"{lines[-1]}  # {dims_text(dims[1:] if len(dims) > 3 else dims)}")


def _released(net: Shaped, index: int, named: Variables, kept: Container[Value]) -> list[str]:
    """The variables of large blobs that nobody reads again: else they would live until the end."""
    node = net.graph.nodes[index]
    tops = {named.named[top] for top in node.tops}
    done = [b for b in dict.fromkeys(node.bottoms) if named.last.get(b) == index and b not in kept]
    large = [b for b in done if 4 * count(net.shapes.get(b, ())) >= LARGE]
    return [named.named[b] for b in large if named.named[b] not in tops]


def defined(layers: Sequence[LayerCode], before: Iterable[str], after: Iterable[str]) -> dict[str, Definition]:
    """The functions that the layers call, by name, and others `before` and `after` them.

    Raises NetError with the first layer whose functions are not there, or called like others.
    """
    called = [*before]
    try:
        return closure([*called, *(name for layer in layers for name in layer.functions), *after])
    except (Clash, Missing):
        for layer in layers:
            called += layer.functions
            try:
                closure(called)
            except (Clash, Missing) as error:
                raise NetError([diagnose(layer.node, Refused(str(error), code="unsupported"))]) from None
        raise
