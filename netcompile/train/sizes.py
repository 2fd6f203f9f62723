"""Batches of another size than the first: whether the net and its blobs go with them is known before they are fed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from netcompile.analyser import Analysed
from netcompile.array import Array
from netcompile.data.sources.base import Batches
from netcompile.diagnostics.diagnostic import refuse
from netcompile.diagnostics.text import shape_text
from netcompile.layers.base import IntShape


@dataclass(frozen=True, slots=True)
class Sized:
    """Batches, each new size of which is looked at once; `analyse` gives the net for the shapes of a batch."""

    of: Batches
    first: Analysed
    names: tuple[str, ...]
    analyse: Callable[[Mapping[str, IntShape]], Analysed]
    seen: set[tuple[IntShape, ...]] = field(default_factory=set)

    def batch(self, index: int) -> dict[str, Array]:
        """As the source's. Raises NetError where the net does not take the sizes."""
        arrays = self.of.batch(index)
        sizes = tuple(tuple(arrays[name].shape) for name in self.names)
        if sizes not in self.seen:
            self.look(dict(zip(self.names, sizes, strict=True)))
            self.seen.add(sizes)
        return arrays

    def look(self, shapes: Mapping[str, IntShape]) -> None:
        """Raises NetError where a layer refuses the shapes, or would have other blobs."""
        analysed = self.analyse(shapes)
        before = {(node.name, node.occurrence): node for node in self.first.graph.nodes}
        for node in analysed.graph.nodes:
            old = before[node.name, node.occurrence]
            have = [spec.shape for spec in old.layer.blobs(*(self.first.shapes[b] for b in old.bottoms))]
            want = [spec.shape for spec in node.layer.blobs(*(analysed.shapes[b] for b in node.bottoms))]
            if have != want:
                size = ", ".join(f"{name} {shape_text(shape)}" for name, shape in shapes.items())
                pair = next((a, b) for a, b in zip(have, want, strict=True) if a != b)
                what = f"layer '{node.name}' does not go with a batch of another size: {size}"
                why = f"its blob is {shape_text(pair[0])}, and would be {shape_text(pair[1])}"
                span = node.message.span_of("type")
                refuse("batch-size", what, span, why, "give images of one size")
