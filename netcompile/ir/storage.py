"""Blobs that are one piece of memory: what a layer in place changes, all of them hold.

Some of Caffe's layers do not copy: their tops are their bottom's memory in another shape (ShareData, ShareDiff). So a
layer that works in place on such a top changes the bottom as well, and every blob that was made from it in this way,
for whoever reads them later. In a graph of single assignment a value never changes. Behind each layer in place there
is then a `SharedMemory` for every other blob of that memory, which gives the blob a new value.
"""

from __future__ import annotations

from dataclasses import replace

from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.memory import SharedMemory


def with_shared_memory(graph: Graph) -> tuple[Graph, list[Diagnostic]]:
    """The graph in which readers see what Caffe's readers see, and a warning for each that sees a changed blob."""
    if not any(_shares(node) for node in graph.nodes):
        return graph, []
    work = _Storage(graph)
    for node in graph.nodes:
        work.node(node)
    if not work.warnings and len(work.nodes) == len(graph.nodes):
        return graph, []
    blobs = {blob: work.now.get(value.blob, value) for blob, value in graph.blobs.items()}
    return graph.replace(nodes=tuple(work.nodes), blobs=blobs), work.warnings


def _shares(node: Node) -> bool:
    return bool(node.bottoms and node.tops) and node.layer.shares_memory(len(node.bottoms), len(node.tops))


def _in_place(node: Node) -> list[str]:
    """Blobs that the layer writes over."""
    pairs = zip(node.bottoms, node.tops, strict=False)
    return [top.blob for bottom, top in pairs if bottom.blob == top.blob]


class _Storage:
    """A walk through the layers in order; `now` is what each blob holds at the moment."""

    def __init__(self, graph: Graph) -> None:
        self.train = graph.train
        self.now = {entry.value.blob: entry.value for entry in graph.inputs}
        self.groups: dict[str, list[str]] = {}  # blob → the blobs of its memory, in order of their making
        self.changed: dict[str, tuple[Node, str]] = {}  # blob → who changed it behind its back, working on what
        self.nodes: list[Node] = []
        self.warnings: list[Diagnostic] = []

    def node(self, node: Node) -> None:
        self.warn(node)
        bottoms = tuple(self.now.setdefault(bottom.blob, bottom) for bottom in node.bottoms)
        tops = tuple(self.write(top) for top in node.tops)
        self.nodes.append(replace(node, bottoms=bottoms, tops=tops))
        written = _in_place(node)
        if _shares(node):
            if written:  # its own memory: nothing changes
                return
            group = self.groups.setdefault(node.bottoms[0].blob, [node.bottoms[0].blob])
            for top in node.tops:
                group.append(top.blob)
                self.groups[top.blob] = group
            return
        if node.layer.is_noop(self.train):
            return
        for blob in written:
            self.changed.pop(blob, None)
            for other in self.groups.get(blob, ()):
                if other != blob:
                    self.change(other, blob, node)

    def write(self, top: Value) -> Value:
        before = self.now.get(top.blob)
        value = top if before is None else Value(top.blob, before.version + 1)
        self.now[top.blob] = value
        return value

    def change(self, blob: str, written: str, by: Node) -> None:
        """`by` has worked in place on `written`, and thereby on `blob`."""
        old = self.now[blob]
        value = Value(blob, old.version + 1)
        place = by.message.replace()  # a message of its own, with the places of the other: nodes are told apart by it
        self.nodes.append(Node(by.name, SharedMemory(), (self.now[written], old), (value,), place, occurrence=-1))
        self.now[blob] = value
        self.changed[blob] = (by, written)

    def warn(self, node: Node) -> None:
        for index, bottom in enumerate(node.bottoms):
            if bottom.blob not in self.changed:
                continue
            by, written = self.changed[bottom.blob]
            self.warnings.append(
                Diagnostic(
                    "shared-memory",
                    f"layer '{node.name}' reads '{bottom.blob}' as layer '{by.name}' has changed it, "
                    f"which works in place on '{written}'",
                    node.message.span_of("bottom", index),
                    why=f"'{written}' and '{bottom.blob}' are one piece of memory in Caffe: layers that only reshape "
                    f"or split do not copy; '{by.name}' stands at {by.message.span}",
                    remedy=f"as Caffe does it, so it is here; if it is not meant, give layer '{by.name}' "
                    "a top of its own",
                    severity="warning",
                )
            )
