"""Which variable of an emitted method holds which value of the net."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from netcompile.emit.names import Names
from netcompile.ir.graph import Graph, Node, Value
from netcompile.ir.indices import index_inputs, indices, moves, read_as_indices


@dataclass(frozen=True, slots=True)
class Reading:
    """The variables that a layer reads its bottoms from, and the statements that make them first."""

    variables: tuple[str, ...]
    statements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Variables:
    """The variables of a graph's values."""

    named: Mapping[Value, str]
    last: Mapping[Value, int]  # index of the layer that reads a value last; behind all layers if it is kept
    readings: tuple[Reading, ...]  # of each layer
    indices: frozenset[Value]  # the values that are int64
    like: str  # source of a tensor of the net's own type

    def every(self) -> frozenset[str]:
        """The names of all variables."""
        return frozenset([*self.named.values(), *(name for each in self.readings for name in each.variables)])

    def result(self, value: Value) -> str:
        """Source of an output: indices as floating-point numbers, which is how Caffe has them."""
        return f"as_numbers({self.named[value]}, {self.like})" if value in self.indices else self.named[value]


def variables(graph: Graph, kept: Iterable[Value], reserved: frozenset[str], live: Container[int]) -> Variables:
    """A variable for every value; none is called as one of `reserved`, and no value of `kept` is overwritten.

    An in-place layer writes its bottom's variable again, as in Caffe. `live` holds the indices of the layers that run.
    """
    last = {bottom: index for index, node in enumerate(graph.nodes) for bottom in node.bottoms}
    last |= dict.fromkeys(kept, len(graph.nodes))
    names = Names(reserved)
    named = {entry.value: names.fresh(entry.value.blob) for entry in graph.inputs}
    latest = {entry.value.blob: entry.value for entry in graph.inputs}
    for index, node in enumerate(graph.nodes):
        for top in node.tops:
            before = latest.get(top.blob)
            again = before is not None and last.get(before, -1) <= index
            named[top] = named[before] if before is not None and again else names.fresh(top.blob)
            latest[top.blob] = top
    found, like = indices(graph), _like(graph, named)
    numbers: dict[Value, str] = {}  # indices → the variable that has them in the net's own type
    readings = []
    for index, node in enumerate(graph.nodes):
        places = _read_as_numbers(node, found) if found and index in live else ()
        if not places:
            readings.append(Reading(tuple([named[b] for b in node.bottoms])))
            continue
        bottoms = [node.bottoms[place] for place in places]
        statements = []
        for bottom in dict.fromkeys(bottoms):
            if bottom not in numbers:
                numbers[bottom] = names.fresh(f"{bottom.blob}_numbers")
                statements.append(f"{numbers[bottom]} = {named[bottom]}.to({like}.dtype)")
        read = tuple(numbers[b] if place in places else named[b] for place, b in enumerate(node.bottoms))
        readings.append(Reading(read, tuple(statements)))
    return Variables(named, last, tuple(readings), found, like)


def _like(graph: Graph, named: Mapping[Value, str]) -> str:
    """Source of a tensor of the net's own type: an input that is no index, else a parameter."""
    asked = index_inputs(graph)
    inputs = [named[entry.value] for entry in graph.inputs if entry.value not in asked]
    return inputs[0] if inputs else "next(self.parameters(), torch.empty(()))"


def _read_as_numbers(node: Node, found: frozenset[Value]) -> tuple[int, ...]:
    """The places of the bottoms that hold indices and that a layer reads as numbers of the net's own type."""
    if not node.tops:
        return ()
    kept = set(read_as_indices(node))
    if found.issuperset(node.tops):
        kept.update(place for place, b in enumerate(node.bottoms) if b in moves(node))
    return tuple(place for place, b in enumerate(node.bottoms) if b in found and place not in kept)
