"""The layers of a graph as Python statements."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Container, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from netcompile.analysis.shapes import diagnose
from netcompile.caffemodel.recipe import Recipe
from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.emit.blobs import LearnedBlobs, Owners
from netcompile.emit.names import MODULE_ATTRIBUTES, Names
from netcompile.emit.prelude import Clash, Definition, Missing, closure
from netcompile.emit.template import ME, filled, x, y
from netcompile.emit.text import dims_text
from netcompile.emit.variables import Variables, variables
from netcompile.ir.alike import stands_for_others
from netcompile.ir.graph import Graph, Node, Value
from netcompile.ir.prune import needed
from netcompile.layers.base import BlobSpec, Emission, Emitted, IntShape, Refused, Shape
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
        return tuple([self.shapes[bottom] for bottom in node.bottoms])

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
    """One layer, or several, as statements of ``__init__`` and of ``forward``, and what they need.

    Where its only line may be joined with that of the layer before, `open` is it with `template.x(0)` in the place of
    the variable that it `reads`. `depth` is how many layers are in the last line.
    """

    nodes: tuple[int, ...]  # indices of the layers in the graph
    init: tuple[str, ...] = ()
    forward: tuple[str, ...] = ()  # none if no output needs the layer
    functions: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    weights: tuple[Weight, ...] = ()
    open: str = ""
    reads: str = ""
    comment: str = ""
    aside: bool = False  # the comment is for where it fits behind its statement
    depth: int = 1
    pattern: Pattern | None = None  # the layer's code as it is anywhere; None where it belongs to its place


@dataclass(frozen=True, slots=True)
class Pattern:
    """A layer's code for the names of `template`, and the variables of the place."""

    emitted: Emitted
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """All layers of a graph as statements; `problems` are those that have no code."""

    net: Shaped
    variables: Variables
    attributes: Attributes
    layers: tuple[LayerCode, ...]
    blobs: tuple[LearnedBlobs, ...]
    problems: tuple[Diagnostic, ...]


# Code of layers that are one, for bottoms and tops of these shapes, and which of a layer's blobs each tensor is.
Asked = dict[Hashable, tuple[Emitted, tuple[int, ...]]]


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
    blobs = _blobs(net)
    attributes = _attributes(graph, blobs, own) if attributes is None else attributes
    owners = Owners()
    uses = Counter([*held, *(bottom for index in live for bottom in graph.nodes[index].bottoms)])
    shared = Counter(spec.name for node in graph.nodes for spec in node.params if spec.name)
    layers, learned, problems = [], [], []
    asked: Asked = {}
    released: list[str] = []
    for index, node in enumerate(graph.nodes):
        try:
            layer, taken = _layer(net, index, blobs[index], named, attributes, owners, index in live, asked)
            if shared and any(shared[spec.name] > 1 for spec in node.params):
                layer = replace(layer, pattern=None)
            if not node.bottoms or uses[node.bottoms[0]] > 1:
                layer = replace(layer, open="")
        except Refused as refused:
            problems.append(diagnose(node, refused))
            continue
        learned += [taken] if taken is not None else []
        if drop and index in live:
            released += _released(net, index, named, held)
        if released and layer.forward:
            layer = replace(layer, forward=(*layer.forward, f"del {', '.join(released)}"))
            released = []
        layers.append(layer)
    return Code(net, named, attributes, tuple(layers), tuple(learned), tuple(problems))


def _blobs(net: Shaped) -> list[tuple[BlobSpec, ...]]:
    """Every layer's blobs; layers that are one for bottoms of the same shapes are asked once."""
    known: dict[Hashable, tuple[BlobSpec, ...]] = {}
    found = []
    for node in net.graph.nodes:
        bottoms = net.bottoms(node)
        asked = id(node.layer), bottoms
        if asked not in known:
            known[asked] = node.layer.blobs(*bottoms)
        found.append(known[asked])
    return found


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
    asked: Asked,
) -> tuple[LayerCode, LearnedBlobs | None]:
    """One layer; `owners` learns of its blobs. Raises Refused where it has no counterpart in PyTorch."""
    node, reading = net.graph.nodes[index], named.readings[index]
    sources = owners.sources(node, specs)
    name = attributes.get((node.name, node.occurrence), node.name)
    tops = tuple([named.named[top] for top in node.tops])
    pattern = _pattern(net, node, sources, attributes, asked)
    init = tuple([filled(line, reading.variables, tops, name) for line in pattern.init])
    forward = tuple([filled(line, reading.variables, tops, name) for line in pattern.forward])
    tensors = tuple([(filled(key, (), (), name), recipe) for key, recipe in pattern.tensors])
    ties = owners.ties(node, specs, tensors)
    owners.own(node, specs, tensors)
    used, runs = live or bool(init), live and bool(forward)
    top = net.dims(node.tops[0]) if node.tops else None
    free = runs and not reading.statements and not _placed((*pattern.init, *pattern.forward))
    code = LayerCode(
        (index,),
        (*init, *ties),
        (*reading.statements, *forward) if runs else (),
        pattern.functions if used else (),
        pattern.imports if used else (),
        tuple([Weight(key, recipe, node.name) for key, recipe in tensors]),
        _open(net, node, pattern, tops, name) if free else "",
        reading.variables[0] if reading.variables else "",
        _comment(net, node, top) if runs and len(node.tops) == 1 else "",
        aside=len(top or ()) != 4 or node.layer.moves is not None,
        pattern=Pattern(pattern, reading.variables, tops) if free else None,
    )
    return code, LearnedBlobs(node, specs, sources) if specs else None


def _pattern(net: Shaped, node: Node, sources: Sequence[Recipe], attributes: Attributes, asked: Asked) -> Emitted:
    """A layer's code for the names of `template`; layers that are one are asked once for shapes that are the same."""
    bottoms, tops = net.bottoms(node), tuple([net.shapes[top] for top in node.tops if top in net.shapes])
    key = id(node.layer), bottoms, tops
    if key in asked:
        known, places = asked[key]
        if not places:
            return known
        tensors = tuple([(name, sources[place]) for (name, _), place in zip(known.tensors, places, strict=True)])
        return Emitted(known.forward, known.init, known.functions, tensors, known.imports)
    emission = Emission(
        tuple([x(index) for index in range(len(node.bottoms))]),
        tuple([y(index) for index in range(len(node.tops))]),
        ME,
        node.name,
        bottoms,
        tops,
        net.graph.train,
        tuple(sources),
        attributes,
    )
    emitted = node.layer.emit(emission)
    nameless = stands_for_others(node.layer) and not node.layer.keeps_state and len({*sources}) == len(sources)
    if nameless and all(recipe in sources for _, recipe in emitted.tensors):
        asked[key] = emitted, tuple([sources.index(recipe) for _, recipe in emitted.tensors])
    return emitted


# Attributes of other layers, and the image's height and width.
_PLACE = re.compile(rf"self\.(?!{ME})[A-Za-z_]|(?<![\w.])[HW](?!\w)")


@lru_cache(maxsize=1 << 12)  # layers that are alike have the same lines
def _placed(lines: tuple[str, ...]) -> bool:
    """Whether a layer's code belongs to its place in the net."""
    return any(_PLACE.search(line) for line in lines)


GOING_ON = ("activation", "normalisation", "prediction")  # families of layers that belong to the one before


def _open(net: Shaped, node: Node, emitted: Emitted, tops: tuple[str, ...], name: str) -> str:
    """The statement of a layer that goes on with what another made: it keeps the shape, or moves all numbers."""
    if len(node.bottoms) != 1 or len(node.tops) != 1 or len(emitted.forward) != 1:
        return ""
    before, after = (net.shapes.get(value, ()) for value in (node.bottoms[0], node.tops[0]))
    moves = node.layer.moves is not None and count(before) == count(after)
    if not moves and (node.layer.family not in GOING_ON or before != after):
        return ""
    if emitted.forward[0].count(x(0)) != 1:
        return ""
    return filled(emitted.forward[0], (x(0),), tops, name)


def shape_text(net: Shaped, value: Value) -> str:
    """A value's shape without the batch, for a comment; "" where it is not known."""
    dims = net.dims(value)
    return dims_text(dims[1:] if len(dims) > 3 else dims, brief=True) if dims else ""


def _comment(net: Shaped, node: Node, dims: Shape | None) -> str:
    """The top's shape, without the batch, where its height or width, or the number of its axes, is news."""
    before = net.dims(node.bottoms[0]) if node.bottoms else None
    if not dims or (before is not None and len(before) == len(dims) and before[2:] == dims[2:]):
        return ""
    return shape_text(net, node.tops[0])


def _released(net: Shaped, index: int, named: Variables, kept: Container[Value]) -> list[str]:
    """The variables of large blobs that nobody reads again: else they would live until the end."""
    node = net.graph.nodes[index]
    tops = {named.named[top] for top in node.tops}
    done = [b for b in dict.fromkeys(node.bottoms) if named.last.get(b) == index and b not in kept]
    large = [b for b in done if 4 * count(net.shapes.get(b, ())) >= LARGE]
    return [named.named[b] for b in large if named.named[b] not in tops]


def defined(
    graph: Graph, layers: Sequence[LayerCode], before: Iterable[str], after: Iterable[str]
) -> dict[str, Definition]:
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
                node = graph.nodes[layer.nodes[0]]
                raise NetError([diagnose(node, Refused(str(error), code="unsupported"))]) from None
        raise
