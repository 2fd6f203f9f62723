"""What a pass is: a pattern, what makes it legal, and the rewrite; and the net that passes map."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

from netcompile.analysis.shapes import infer
from netcompile.analysis.symbolic import Symbolic, symbolic
from netcompile.diagnostics.visible import visible
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import IntShape, Layer

T = TypeVar("T")
S = TypeVar("S", bound="Site[Any]")
L = TypeVar("L")

INFINITE = "its numbers are not all finite, or too large"  # why a pass does not apply
TRAINED = "the net is built for phase TRAIN"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of how the net will run, and of the weights' values by (layer, occurrence), given weights.

    `diagonal`: Deconvolutions in which channel i of the bottom feeds channel i of the top alone. `bilinear`: those
    of them whose every kernel is that of bilinear interpolation, exactly. `infinite`: layers with NaN or Inf, or what
    leads to it, among the numbers that passes compute with. `float32`: the net is not for another type.
    """

    known: bool = False
    diagonal: frozenset[tuple[str, int]] = frozenset()
    bilinear: frozenset[tuple[str, int]] = frozenset()
    infinite: frozenset[tuple[str, int]] = frozenset()
    float32: bool = True


NO_FACTS = Facts()


@dataclass(frozen=True)
class Program:
    """A net between passes. What must survive is `graph.outputs`; other blobs may vanish from `graph.blobs`.

    `windowed`, where there is one, runs in its place when no gradient is wanted: it computes windows of the blobs and
    takes the borders around them from `graph`, which also declares the parameters of both.
    """

    graph: Graph
    facts: Facts = NO_FACTS
    windowed: Graph | None = None

    @cached_property
    def _inferred(self) -> tuple[dict[Value, IntShape], bool]:
        shapes, problems = infer(self.graph)
        return shapes, not problems

    @property
    def shapes(self) -> dict[Value, IntShape]:
        """The shape of every value of `graph`."""
        return self._inferred[0]

    @property
    def legal(self) -> bool:
        """Whether no layer of `graph` is refused for the declared size."""
        return self._inferred[1]

    @cached_property
    def symbolic(self) -> Symbolic:
        """The shape of every value of `graph` as a function of the image's size."""
        return symbolic(self.graph, self.shapes)

    def once(self, find: Callable[[Program], T]) -> T:
        """What `find` says of this program, found once, however many passes ask."""
        if find not in self._found:
            self._found[find] = find(self)
        found: T = self._found[find]
        return found

    @cached_property
    def _found(self) -> dict[Callable[[Program], Any], Any]:
        return {}

    @cached_property
    def uses(self) -> Counter[Value]:
        """How many layers and outputs read each value of `graph`."""
        read = [bottom for node in self.graph.nodes for bottom in node.bottoms]
        return Counter([*read, *(self.graph.blobs[blob] for blob in self.graph.outputs)])

    def with_nodes(self, nodes: Iterable[Node]) -> Program:
        """With other layers; blobs that none of them makes are gone."""
        return replace(self, graph=with_nodes(self.graph, nodes))

    def with_layers(self, layers: Iterable[tuple[Node, Layer]]) -> Program:
        """With other layers in the place of some, whose blobs are their own."""
        new = {id(node): replace(node, layer=layer, params=()) for node, layer in layers}
        return self.with_nodes(new.get(id(node), node) for node in self.graph.nodes)

    def with_layers_before(self, layers: Iterable[tuple[Node, int, Layer, str]]) -> Program:
        """With layers that change what a layer reads: the reader, which of its bottoms, the layer, and what it is for.

        The last names the new value, behind the blob's own name.
        """
        before: defaultdict[int, list[tuple[int, Layer, str]]] = defaultdict(list)
        for reader, place, layer, purpose in layers:
            before[id(reader)].append((place, layer, purpose))
        nodes: list[Node] = []
        for node in self.graph.nodes:
            bottoms = list(node.bottoms)
            for place, layer, purpose in before[id(node)]:
                value = Value(f"{bottoms[place].blob} ({purpose})", bottoms[place].version)
                nodes.append(Node("", layer, (bottoms[place],), (value,), node.message))
                bottoms[place] = value
            nodes.append(replace(node, bottoms=tuple(bottoms)))
        return self.with_nodes(nodes)


def with_nodes(graph: Graph, nodes: Iterable[Node]) -> Graph:
    """The graph with other layers; blobs that none of them makes are gone."""
    nodes = tuple(nodes)
    made = {entry.value for entry in graph.inputs} | {top for node in nodes for top in node.tops}
    return graph.replace(nodes=nodes, blobs={blob: value for blob, value in graph.blobs.items() if value in made})


@dataclass(frozen=True, slots=True)
class Site(Generic[T]):
    """Where a pattern was found, and what there is to know of the place: nothing, a tuple of layers, a shape."""

    node: Node
    found: T

    @property
    def where(self) -> str:
        """The place, as a user reads it."""
        return f"'{visible(self.node.name)}' (line {self.node.line})"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A site at which a pass did not apply, and why."""

    step: str  # the pass's name
    site: Site[Any]
    why: str

    def __str__(self) -> str:
        return f"{self.step}: {self.site.where}: {visible(self.why)}"


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A net after some passes, and where these did not apply."""

    program: Program
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True)
class Pass(Generic[S]):
    """A rewrite in three parts: `match` finds sites, `check` says why one is not legal, `rewrite` changes the others.

    `tolerance` is what it promises of every output: the largest difference that it makes, as a share of the output's
    largest number. 0 is bitwise. Applied twice it changes nothing more.
    """

    name: str
    tolerance: float
    match: Callable[[Program], Iterable[S]]
    rewrite: Callable[[Program, Sequence[S]], Program]
    check: Callable[[Program, S], str] = lambda program, site: ""  # why a site is not legal

    def run(self, program: Program) -> Rewritten:
        """The program with all legal sites rewritten."""
        sites, skipped = list[S](), list[Skipped]()
        for site in self.match(program):
            if why := self.check(program, site):
                skipped.append(Skipped(self.name, site, why))
            else:
                sites.append(site)
        return Rewritten(self.rewrite(program, sites) if sites else program, tuple(skipped))


def run_all(passes: Iterable[Pass[Any]], program: Program) -> Rewritten:
    """The program after one pass after the other."""
    skipped: list[Skipped] = []
    for step in passes:
        found = step.run(program)
        program = found.program
        skipped += found.skipped
    return Rewritten(program, tuple(skipped))


def as_kind(kind: type[L], layer: Any, **changes: object) -> L:
    """A layer as one of a class that is derived from its own, with some fields changed."""
    return kind(**{field.name: getattr(layer, field.name) for field in fields(layer)} | changes)
