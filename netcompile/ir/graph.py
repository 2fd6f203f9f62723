"""The layer graph in single-assignment form: every value is written once, in-place layers included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from netcompile.layers.base import Layer
from netcompile.prototxt.message import Message


class Value(NamedTuple):  # no dataclass: it is the key of most dicts, and a tuple's hash takes no Python code
    """What a blob holds after one of its writers; `version` counts the writers of the same blob."""

    blob: str
    version: int = 0

    def __str__(self) -> str:
        return self.blob if not self.version else f"{self.blob}@{self.version}"


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """Caffe's ``param { … }``: how blob i of a layer is shared and learned."""

    name: str = ""
    lr_mult: float = 1.0
    decay_mult: float = 1.0
    permissive: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """One layer in its place."""

    name: str
    layer: Layer
    bottoms: tuple[Value, ...]
    tops: tuple[Value, ...]
    message: Message
    params: tuple[ParamSpec, ...] = ()
    loss_weight: tuple[float, ...] = ()
    occurrence: int = 0  # counts layers of one name: a caffemodel's blobs go to the first

    @property
    def type(self) -> str:
        return self.layer.type

    @property
    def line(self) -> int:
        """1-based line of the layer in its file."""
        return self.message.span.line


@dataclass(frozen=True, slots=True)
class Input:
    """A blob that is fed from outside: an Input layer's top, or a data layer's."""

    value: Value
    shape: tuple[int, ...]
    declared: bool  # False: the file does not say, the shape is assumed
    message: Message
    layer: Layer


@dataclass(frozen=True, slots=True)
class Cut:
    """What was left out of a net: layers by (name, occurrence), and inputs."""

    layers: frozenset[tuple[str, int]]
    inputs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Graph:
    """A net: inputs, layers in execution order, and what comes out."""

    name: str
    train: bool
    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]  # blobs that nobody consumes
    blobs: dict[str, Value] = field(default_factory=dict)  # final value of each blob, in order of first appearance
    order: tuple[str, ...] = ()  # names of all layers after filtering, data layers included
    taught: Mapping[Value, str] = field(default_factory=dict)  # what losses that vanished say of what they read
    cut: Cut | None = None  # what the outputs that were asked for do not need

    def replace(self, **changes: Any) -> Graph:
        return replace(self, **changes)

    def with_inputs(self, shapes: Mapping[Value, tuple[int, ...]]) -> Graph:
        """The graph with other shapes of these inputs."""
        inputs = [replace(entry, shape=shapes.get(entry.value, entry.shape)) for entry in self.inputs]
        return self.replace(inputs=tuple(inputs))

    def values(self) -> Iterable[Value]:
        """Every value, in the order in which it comes into being."""
        for entry in self.inputs:
            yield entry.value
        for node in self.nodes:
            yield from node.tops

    def producers(self) -> dict[Value, Node]:
        return {top: node for node in self.nodes for top in node.tops}

    def consumers(self) -> dict[Value, list[Node]]:
        """The layers that read a value, in order, once for every bottom; no entry for a value that nobody reads."""
        found: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for bottom in node.bottoms:
                found.setdefault(bottom, []).append(node)
        return found

    def to_networkx(self) -> Any:
        """A MultiDiGraph of layers (a plain one would lose an edge of ``Eltwise(x, x)``); edges carry the value."""
        import networkx as nx

        graph = nx.MultiDiGraph(name=self.name)
        made: dict[Value, str] = {}
        for entry in self.inputs:
            key = f"input:{entry.value.blob}"
            graph.add_node(key, name=entry.value.blob, type=entry.layer.type)
            made[entry.value] = key
        for index, node in enumerate(self.nodes):
            key = f"{index}:{node.name}"
            graph.add_node(key, name=node.name, type=node.type, line=node.line)
            for position, bottom in enumerate(node.bottoms):
                graph.add_edge(made[bottom], key, blob=str(bottom), bottom=position)
            for top in node.tops:
                made[top] = key
        return graph
