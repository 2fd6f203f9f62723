"""Compute the first convolutions, up to a pooling, in bands of rows.

Algebra. Behind convolutions with stride 1 and without padding, rows [a, b) depend on rows [a, b + Σ(kernel - 1)) of
their bottom. Pooling windows that do not overlap divide the rows, so bands whose height is a multiple of the stride
give the pooling's rows one after the other. A band computes Σ(kernel - 1) rows of the first convolution again.
What lies between is never whole in memory: at 500 × 500 pixels, 64 channels are 64 MB, several times what a cache
holds. Small blobs are one band; the emitted code decides, by size.
Preserves: within(1e-5), since a smaller blob may be convolved by another algorithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from netcompile.algebra.coords import AxisMap
from netcompile.analysis.shapes import infer
from netcompile.caffemodel.recipe import Take
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import Arity, Axes, Emission, Emitted, IntShape, Layer, Shape, call
from netcompile.layers.pooling import Pooling
from netcompile.passes.base import Facts, Pass, Rewritten, Skipped
from netcompile.passes.fused import FusedConvolution


@dataclass(frozen=True, slots=True)
class Bands(Layer):
    """Convolutions without padding, and the pooling behind them; `channels` are the most that lie between."""

    chain: tuple[Node, ...]
    lost: int  # rows that the convolutions lose
    stride: int
    channels: int

    type: ClassVar[str] = "Bands"
    arity: ClassVar[Arity] = Arity()

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        found = bottoms
        for node in self.chain:
            found = node.layer.shapes(*found)
        return found

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        shapes, h, w = bottoms, AxisMap.identity(), AxisMap.identity()
        for node in self.chain:
            maps = node.layer.coords(*shapes)
            if maps is None or maps[0] is None:
                return None
            h, w = maps[0][0].compose(h), maps[0][1].compose(w)
            shapes = node.layer.shapes(*shapes)
        return ((h, w),)

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        total, shapes = 0, list(bottoms)
        for node in self.chain:
            found = [tuple(map(int, shape)) for shape in node.layer.shapes(*shapes)]  # type: ignore[arg-type]
            total += node.layer.macs(shapes, found)
            shapes = found
        return total

    def emit(self, e: Emission) -> Emitted:
        shapes, functions = list(e.bottoms), [BANDS_FUNCTION]
        lines: list[str] = []
        for node in self.chain:
            found = [tuple(map(int, shape)) for shape in node.layer.shapes(*shapes)]  # type: ignore[arg-type]
            name = (e.names or {}).get((node.name, node.occurrence), "")
            blobs = tuple(Take(node.name, index, node.occurrence) for index in range(2))
            place = Emission(("rows",), ("rows",), name, node.name, tuple(shapes), tuple(found), sources=blobs)
            made = node.layer.emit(place)
            lines += made.forward
            functions += made.functions
            shapes = found
        *lines, last = lines
        whole = call("in_bands", "band", e.x[0], self.lost, self.stride, self.channels)
        return Emitted(
            (
                "",
                "def band(rows):",
                *(f"    {line}" for line in lines),
                f"    return {last.removeprefix('rows = ')}",
                "",
                f"{e.y[0]} = {whole}",
            ),
            functions=tuple(functions),
        )


def rewrite(graph: Graph, facts: Facts) -> Rewritten:
    """`graph` is one whose parameters another one declares: that of the windows."""
    shapes, problems = infer(graph)
    if problems:
        return graph, ()
    users: dict[Value, int] = {}
    for value in [v for node in graph.nodes for v in node.bottoms] + [graph.blobs[blob] for blob in graph.outputs]:
        users[value] = users.get(value, 0) + 1
    makers = {top: node for node in graph.nodes for top in node.tops}
    merged: dict[Value, Node] = {}  # a pooling's top → the node that takes its place
    gone: set[Value] = set()
    skipped: list[Skipped] = []
    for node in graph.nodes:
        pooling = node.layer
        if not isinstance(pooling, Pooling):
            continue
        chain: list[Node] = []
        before = makers.get(node.bottoms[0])
        while before is not None and users[before.tops[0]] == 1 and _slides(before.layer):
            chain.insert(0, before)
            before = makers.get(before.bottoms[0])
        if why := _unfit(pooling, chain):
            skipped.append(Skipped(node, why))
            continue
        layers = [n.layer for n in chain if isinstance(n.layer, FusedConvolution)]
        assert pooling.kernel is not None
        bands = Bands(
            (*chain, node),
            sum(layer.windows(shapes[n.bottoms[0]])[1][0][0] - 1 for layer, n in zip(layers, chain, strict=True)),
            pooling.stride[0],
            max(layer.outputs for layer in layers),
        )
        merged[node.tops[0]] = Node(node.name, bands, chain[0].bottoms, node.tops, message=node.message)
        gone.update(n.tops[0] for n in chain)
    nodes = tuple(
        merged.get(node.tops[0], node) if node.tops else node
        for node in graph.nodes
        if not node.tops or node.tops[0] not in gone
    )
    blobs = {blob: value for blob, value in graph.blobs.items() if value not in gone}
    return graph.replace(nodes=nodes, blobs=blobs), tuple(skipped)


def _slides(layer: Layer) -> bool:
    """Whether rows of the top come from rows of the bottom that begin where they do."""
    return isinstance(layer, FusedConvolution) and set(layer.pad) == {0} and set(layer.stride) == {1}


def _unfit(pooling: Pooling, chain: Sequence[Node]) -> str:
    if not chain:
        return "no convolution without padding before it"
    if pooling.kernel != pooling.stride or pooling.pad != (0, 0) or pooling.mask:
        return "its windows overlap, or are padded"
    if pooling.method != "MAX" or pooling.round_mode != "CEIL":
        return "its last window may not be whole"
    return ""


BANDS_FUNCTION = '''
def in_bands(compute, x, reach, stride, channels):
    """`compute` on some rows of `x` at a time; it loses `reach`, divides by `stride`.

    What lies between, with so many channels, would be larger than a cache: a band of it
    has 8 MB. Small blobs are one band.
    """
    row = len(x) * channels * x.shape[3] * x.element_size()
    count = max(1, (1 << 23) // (row * stride)) * stride
    whole = x.device.type != "cpu" or torch.compiler.is_compiling()
    if whole or 2 * count >= x.shape[2]:
        return compute(x)
    end, y = x.shape[2] - reach, None
    for start in range(0, end, count):
        rows = compute(x[:, :, start : start + count + reach])
        if y is None:
            size = *rows.shape[:2], -(-end // stride), rows.shape[3]
            layout = torch.channels_last
            y = torch.empty(
                size, dtype=rows.dtype, device=x.device, memory_format=layout
            )
        y[:, :, start // stride :][:, :, : rows.shape[2]] = rows
        del rows
    return y
'''

BANDS = Pass("bands", "within(0, 1e-5)", rewrite)
