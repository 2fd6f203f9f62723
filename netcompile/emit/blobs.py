"""The blobs that layers take from a caffemodel, and who owns those that several layers share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netcompile.caffemodel.recipe import Recipe, Reshape, Take
from netcompile.emit.text import one_line
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import BlobSpec, IntShape

Tensors = Sequence[tuple[str, Recipe]]  # of a layer: keys of the state dict, and how these tensors are made


@dataclass(frozen=True, slots=True)
class LearnedBlobs:
    """The blobs that a layer of the net takes from a caffemodel."""

    node: Node
    specs: tuple[BlobSpec, ...]
    sources: tuple[Recipe, ...]  # where each blob comes from: a shared one from its owner

    @property
    def own(self) -> tuple[Take, ...]:
        """Its blobs under the layer's own name."""
        return tuple(Take(self.node.name, index, self.node.occurrence) for index in range(len(self.specs)))

    @property
    def owners(self) -> tuple[Take, ...]:
        """For each blob the one that its values come from: itself, or another layer's."""
        return tuple(source.sources()[0] for source in self.sources)


def blobs_of(graph: Graph, shapes: Mapping[Value, IntShape]) -> list[LearnedBlobs]:
    """The blobs of every layer, and whose values they get; `shapes` has those of all the values that layers read."""
    owners = Owners()
    found = []
    for node in graph.nodes:
        specs = node.layer.blobs(*(shapes[b] for b in node.bottoms))
        if specs:
            found.append(LearnedBlobs(node, specs, owners.sources(node, specs)))
            owners.own(node, specs)
    return found


class Owners:
    """For each parameter name the layer that was the first to give it: it owns the blob."""

    def __init__(self) -> None:
        self.owned: dict[str, tuple[Take, str, IntShape]] = {}  # param name → owner's blob, its key, its shape

    def sources(self, node: Node, specs: Sequence[BlobSpec]) -> tuple[Recipe, ...]:
        """For each blob the one of the caffemodel that its values come from."""
        if not _shares(node):
            return tuple([Take(node.name, index, node.occurrence) for index in range(len(specs))])
        found: list[Recipe] = []
        for index, spec in enumerate(specs):
            owner = self.owned.get(_shared(node, index))
            if owner is None:
                found.append(Take(node.name, index, node.occurrence))
            else:  # of another shape if the sharing is permissive
                found.append(owner[0] if owner[2] == spec.shape else Reshape(owner[0], spec.shape))
        return tuple(found)

    def ties(self, node: Node, specs: Sequence[BlobSpec], tensors: Tensors) -> list[str]:
        """Lines that make shared parameters one tensor."""
        lines: list[str] = []
        if not _shares(node):
            return lines
        for index, spec in enumerate(specs):
            owner = self.owned.get(_shared(node, index))
            if owner is None:
                continue
            key = _key(tensors, owner[0])
            if key and owner[1] and owner[2] == spec.shape:
                lines.append(f"self.{key} = self.{owner[1]}  # shared: {one_line(_shared(node, index))}")
        return lines

    def own(self, node: Node, specs: Sequence[BlobSpec], tensors: Tensors = ()) -> None:
        """Remember the blobs that this layer is the first to name."""
        if not _shares(node):
            return
        for index, spec in enumerate(specs):
            shared = _shared(node, index)
            if shared and shared not in self.owned:
                source = Take(node.name, index, node.occurrence)
                self.owned[shared] = (source, _key(tensors, source), spec.shape)


def _key(tensors: Tensors, blob: Take) -> str:
    """The key of the tensor that is a blob as it is, "" where there is none."""
    return next((key for key, recipe in tensors if recipe == blob), "")


def _shares(node: Node) -> bool:
    """Whether a layer names any of its parameters."""
    return any(spec.name for spec in node.params)


def _shared(node: Node, index: int) -> str:
    """The name of a layer's parameter, "" for none: no blob is owned under that."""
    return node.params[index].name if index < len(node.params) else ""
