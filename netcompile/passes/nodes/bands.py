"""Layers that are computed in bands of rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from netcompile.algebra.coords import AxisMap
from netcompile.caffemodel.recipe import Take
from netcompile.ir.graph import Node
from netcompile.layers.base import Arity, Axes, Emission, Emitted, IntShape, Layer, Shape
from netcompile.layers.source import call


@dataclass(frozen=True, slots=True)
class Bands(Layer):
    """Convolutions without padding, and the pooling behind them; `channels` are the most that lie between."""

    chain: tuple[Node, ...]
    lost: int  # rows that the convolutions lose
    stride: int
    channels: int

    type: ClassVar[str] = "Bands"
    arity: ClassVar[Arity] = Arity()

    def _shapes(self, bottoms: Sequence[Shape]) -> list[tuple[Shape, ...]]:
        """The bottoms of each layer, and the last one's tops."""
        found = [tuple(bottoms)]
        for node in self.chain:
            found.append(node.layer.shapes(*found[-1]))
        return found

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return self._shapes(bottoms)[-1]

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        h, w = AxisMap.identity(), AxisMap.identity()
        for node, shapes in zip(self.chain, self._shapes(bottoms), strict=False):
            maps = node.layer.coords(*shapes)
            if maps is None or maps[0] is None:
                return None
            h, w = h.compose(maps[0][0]), w.compose(maps[0][1])
        return ((h, w),)

    def _places(self, bottoms: Sequence[IntShape]) -> list[tuple[Node, tuple[IntShape, ...], tuple[IntShape, ...]]]:
        """Each layer with its bottoms' and its tops' shapes."""
        shapes = [tuple(tuple(map(int, shape)) for shape in found) for found in self._shapes(bottoms)]  # type: ignore[arg-type]
        return list(zip(self.chain, shapes, shapes[1:], strict=False))

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        return sum(node.layer.macs(below, above) for node, below, above in self._places(bottoms))

    def emit(self, e: Emission) -> Emitted:
        functions, lines = ["bands.in_bands"], list[str]()
        for node, below, above in self._places(e.bottoms):
            name = (e.names or {}).get((node.name, node.occurrence), "")
            blobs = tuple(Take(node.name, index, node.occurrence) for index in range(2))
            made = node.layer.emit(Emission(("rows",), ("rows",), name, node.name, below, above, sources=blobs))
            lines += made.forward
            functions += made.functions
        steps = ", ".join(_step(line.removeprefix("rows = ")) for line in lines)
        line = call("in_bands", f"[{steps}]", e.x[0], self.lost, self.stride, self.channels)
        return Emitted((f"{e.y[0]} = {line}",), functions=tuple(functions))


def _step(value: str) -> str:
    """Source of a function of `rows`."""
    alone = re.fullmatch(r"([\w.]+)\(rows\)", value)
    return alone[1] if alone else f"lambda rows: {value}"
