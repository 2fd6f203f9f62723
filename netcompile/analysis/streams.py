"""Streams: what meets in a fusion (Eltwise, Concat), and how coarse each of it was on its way.

A stream's stride is the coarsest compound stride on a way from the input: FCN-8s fuses streams of stride 32, 16 and 8,
though all have stride 8 where they meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from netcompile.analysis.coordinates import Coordinates
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.crop import Crop

LIMIT = 16  # streams of different strides that are told apart


@dataclass(frozen=True, slots=True)
class Stream:
    """One bottom of a fusion: its stride there, and those of the streams that it carries, finest first."""

    blob: str
    stride: Fraction
    coarsest: tuple[Fraction, ...]


@dataclass(frozen=True, slots=True)
class Fusion:
    """A layer where streams of different coarseness meet."""

    node: Node
    streams: tuple[Stream, ...]


def fusions(graph: Graph, coordinates: Coordinates) -> tuple[Fusion, ...]:
    """Every layer whose bottoms carry streams of different strides, in file order; strides are the height's."""
    carried: dict[Value, frozenset[Fraction]] = {}
    found = []
    for node in graph.nodes:
        bottoms = node.bottoms[:1] if isinstance(node.layer, Crop) else node.bottoms
        sets = [carried.get(b) or _own(coordinates, b) for b in bottoms]
        known = [(b, s) for b, s in zip(bottoms, sets, strict=True) if s]
        if len(known) > 1 and len({s for _, s in known}) > 1 and len({coordinates.frames[b][0] for b, _ in known}) == 1:
            streams = tuple(Stream(b.blob, coordinates.frames[b][1][0].stride, tuple(sorted(s))) for b, s in known)
            found.append(Fusion(node, streams))
        merged = frozenset(stride for _, s in known for stride in s)
        for top in node.tops:
            carried[top] = _at_least(merged, coordinates, top)
    return tuple(found)


def _own(coordinates: Coordinates, value: Value) -> frozenset[Fraction]:
    return frozenset([coordinates.frames[value][1][0].stride]) if value in coordinates.frames else frozenset()


def _at_least(strides: frozenset[Fraction], coordinates: Coordinates, top: Value) -> frozenset[Fraction]:
    """What a value carries: the streams of its bottoms, none finer than the value itself."""
    if top not in coordinates.frames:
        return frozenset()
    here = coordinates.frames[top][1][0].stride
    if len(strides) == 1 and here in strides:  # most layers carry one stream on
        return strides
    made = frozenset(max(stride, here) for stride in strides) or frozenset([here])
    return made if len(made) <= LIMIT else frozenset([max(made)])
