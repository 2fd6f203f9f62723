"""Deconvolutions that undo a pooling or a strided convolution: what they undo, and which input sizes they mix up.

Rounding makes several input extents share one extent downstream, and no deconvolution can tell them apart again: its
output size is ambiguous. `fibre` is such a set of inputs. What follows resolves it, or not: a Crop to a blob whose
extent still tells all inputs apart (the input itself, mostly).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice

from netcompile.algebra.nset import NSet
from netcompile.algebra.size import Size
from netcompile.analysis import follow
from netcompile.analysis.bilinear import Kernel
from netcompile.analysis.coordinates import Coordinates
from netcompile.analysis.follow import Unfollowed
from netcompile.analysis.shapes import Shapes
from netcompile.analysis.symbolic import Symbolic
from netcompile.analysis.windows import windows
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import IDENTITY
from netcompile.layers.convolution import Deconvolution
from netcompile.layers.crop import Crop

CUT, REFERENCE, OUTPUT = "cut", "reference", "output"
MOST_USES = 100  # of one blob that are told


@dataclass(frozen=True, slots=True)
class Fibre:
    """Along one axis: `most` input extents share an output extent at most (None: no limit); one such set."""

    most: int | None
    value: int  # the output extent that `members` share
    members: NSet


@dataclass(frozen=True, slots=True)
class Resolution:
    """What becomes of the upsampled blob: cut by a crop, the reference of one, or an output of the net.

    `resolved`, of a cut: the reference's extents tell all input extents apart again.
    """

    kind: str
    node: Node | None = None
    resolved: bool = False

    @property
    def other(self) -> str | None:
        """The crop's other bottom: the reference of a cut, or what is cut."""
        return None if self.node is None else self.node.bottoms[1 if self.kind == CUT else 0].blob


@dataclass(frozen=True, slots=True)
class Upsampling:
    """One Deconvolution of a stride above 1. `undone` are the layers that it undoes, the last one first.

    `left` is the part of its stride that no whole layer accounts for: 1 where it undoes whole layers.
    """

    node: Node
    factor: tuple[int, int]
    kernels: tuple[Kernel, Kernel]
    undone: tuple[Node, ...]
    left: Fraction
    sizes: tuple[Size, Size] | None
    fibres: tuple[Fibre | None, Fibre | None]
    resolutions: tuple[Resolution, ...]


# Layers whose strides nobody has taken back yet, the last one first, each with what is left of its stride.
Opened = tuple[Node, Fraction, "Opened"] | None


def upsamplings(
    graph: Graph, shapes: Shapes, sym: Symbolic, coordinates: Coordinates, valid: tuple[NSet, NSet] | None
) -> tuple[Upsampling, ...]:
    """Every Deconvolution with a stride above 1, in file order."""
    pairs = [(node, windows(node, shapes)) for node in graph.nodes if isinstance(node.layer, Deconvolution)]
    candidates = [(node, pair) for node, pair in pairs if pair is not None and max(w.stride for w in pair) > 1]
    if not candidates:
        return ()
    producers = graph.producers()
    uses = _uses(graph, (node.tops[0] for node, _ in candidates), graph.consumers(), sym, shapes)
    known: dict[Value, Opened] = {}
    found = []
    for node, pair in candidates:
        undone, left = _undone(node.bottoms[0], pair[0].stride, coordinates, producers, known)
        sizes = _sizes(node.tops[0], sym)
        fibres = (None, None) if sizes is None else (_fibre(sizes[0], sym, valid, 0), _fibre(sizes[1], sym, valid, 1))
        found.append(
            Upsampling(
                node,
                (pair[0].stride, pair[1].stride),
                (Kernel(pair[0].extent, pair[0].stride), Kernel(pair[1].extent, pair[1].stride)),
                undone,
                left,
                sizes,
                fibres,
                uses[node.tops[0]],
            )
        )
    return tuple(found)


def _undone(
    value: Value,
    stride: int,
    coordinates: Coordinates,
    producers: Mapping[Value, Node],
    known: dict[Value, Opened],
) -> tuple[tuple[Node, ...], Fraction]:
    """The layers whose strides a deconvolution of `value` undoes; earlier deconvolutions have undone theirs.

    `known` keeps what is open at the values that were passed, so that no way is walked twice.
    """
    below = []
    while value in coordinates.local and value not in known:
        below.append(value)
        value = coordinates.local[value][0]
    opened = known.get(value)
    for value in reversed(below):
        step = coordinates.local[value][1][0].stride
        if step > 1:
            opened = (producers[value], step, opened)
        elif step < 1:
            _, _, opened = _take(opened, 1 / step)
        known[value] = opened
    undone, left, _ = _take(opened, Fraction(stride))
    return undone, left


def _take(opened: Opened, factor: Fraction) -> tuple[tuple[Node, ...], Fraction, Opened]:
    """Close the last layers whose strides multiply to `factor`: them, what is left of the factor, what stays open."""
    taken = []
    while opened is not None and opened[1] <= factor and (factor / opened[1]).denominator == 1:
        layer, stride, opened = opened
        taken.append(layer)
        factor /= stride
        if factor == 1:
            break
    if factor > 1 and opened is not None:  # a part of a layer's stride
        layer, stride, opened = opened
        if stride > factor:
            opened = (layer, stride / factor, opened)
    return tuple(taken), factor, opened


def _sizes(value: Value, sym: Symbolic) -> tuple[Size, Size] | None:
    shape = sym.shapes.get(value)
    if shape is None or len(shape) != 4:
        return None
    high, wide = follow.size(shape[2]), follow.size(shape[3])
    return None if high is None or wide is None else (high, wide)


def _fibre(size: Size, sym: Symbolic, valid: tuple[NSet, NSet] | None, axis: int) -> Fibre | None:
    """For the declared extent, or the smallest legal one."""
    if size.name != "HW"[axis] or not sym.spatial:
        return None
    n: int | None = sym.declared[axis]
    if valid is not None and sym.declared[axis] not in valid[axis]:
        n = valid[axis].first()
    value = None if n is None else size.at(n)
    if value is None:
        return None
    members = follow.both(follow.fibre(size, value), NSet.all() if valid is None else valid[axis])
    most = follow.follow(size.largest_fibre)
    if isinstance(members, Unfollowed) or isinstance(most, Unfollowed):
        return None
    return Fibre(most, value, members)


def _uses(
    graph: Graph, begin: Iterable[Value], consumers: Mapping[Value, Sequence[Node]], sym: Symbolic, shapes: Shapes
) -> dict[Value, tuple[Resolution, ...]]:
    """What becomes of the values of `begin`, and of all that have their grid: the first `MOST_USES` of each.

    They are followed through layers that keep the grid to the crops that use them, or out of the net: once forward to
    find these layers, once back to gather what comes after each value. Values on one way share what is at its end.
    """
    reached, kept = set(begin), dict[int, set[Value]]()
    for node in graph.nodes:
        if not isinstance(node.layer, Crop) and not reached.isdisjoint(node.bottoms):
            kept[id(node)] = {b for b in _kept(node, shapes) if b in reached}
            reached.update(node.tops if kept[id(node)] else ())
    found: dict[Value, tuple[Resolution, ...]] = {}
    outputs = frozenset(graph.outputs)
    for node in reversed(graph.nodes):
        for top in node.tops:
            if top in reached:
                users = consumers.get(top, [])
                own = [] if users or top.blob not in outputs else [Resolution(OUTPUT)]
                own += [_crop_use(top, user, sym) for user in users if isinstance(user.layer, Crop)]
                behind = [found[t] for user in users if top in kept.get(id(user), ()) for t in user.tops]
                found[top] = _joined([tuple(own), *reversed(behind)])
    return found


def _kept(node: Node, shapes: Shapes) -> list[Value]:
    """The bottoms of a layer on whose grid its tops lie."""
    if any(value not in shapes for value in (*node.bottoms, *node.tops)):
        return []
    maps = follow.coords(node, [shapes[b] for b in node.bottoms])
    if maps is None or isinstance(maps, Unfollowed):
        return []
    return [b for b in dict.fromkeys(node.bottoms) if maps[node.bottoms.index(b)] == IDENTITY]


def _crop_use(value: Value, node: Node, sym: Symbolic) -> Resolution:
    cut = node.bottoms[0] == value
    return Resolution(CUT if cut else REFERENCE, node, cut and _tells_apart(node.bottoms[1], sym))


def _joined(parts: Sequence[tuple[Resolution, ...]]) -> tuple[Resolution, ...]:
    """The uses of all parts, each once; the part itself where there is one."""
    different = {id(part): part for part in parts if part}
    if len(different) < 2:
        return next(iter(different.values()), ())
    found: dict[tuple[str, int], Resolution] = {}
    for use in chain.from_iterable(different.values()):
        found.setdefault((use.kind, id(use.node)), use)
    return tuple(islice(found.values(), MOST_USES))


def _tells_apart(value: Value, sym: Symbolic) -> bool:
    """Whether different input extents give the value different extents, on both axes."""
    sizes = _sizes(value, sym)
    return sizes is not None and all(size.name and follow.follow(size.largest_fibre) == 1 for size in sizes)
