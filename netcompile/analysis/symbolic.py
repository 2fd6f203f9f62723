"""Shapes of every value as exact functions of the input's size, and for which sizes a net is legal."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from netcompile.algebra.nset import NSet
from netcompile.algebra.size import Size
from netcompile.algebra.volume import Volume
from netcompile.analysis import follow
from netcompile.analysis.follow import Unfollowed
from netcompile.analysis.shapes import Shapes
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import Condition, Dim, IntShape, Shape


@dataclass(frozen=True, slots=True)
class Limit:
    """A condition on the input's size that a layer sets, on axis 0 (height) or 1 (width)."""

    node: Node
    axis: int
    condition: Condition


@dataclass(frozen=True, slots=True)
class Gap:
    """A layer of which something is not followed, so that sizes other than the declared one are not proved."""

    node: Node
    why: str


@dataclass(frozen=True, slots=True)
class Symbolic:
    """Shapes as functions of H and W; None where nobody can say it.

    `limits` are the layers' own conditions. `pins` are values whose extents must stay as declared, because the layer
    beside them is made for the numbers: an InnerProduct's weights, a Reshape to fixed numbers. `gaps` are layers whose
    shapes or conditions are not followed: they may be legal for other sizes, and may not.
    """

    shapes: Mapping[Value, Shape | None]
    limits: tuple[Limit, ...]
    pins: tuple[tuple[Value, Node], ...]
    spatial: tuple[Value, ...]  # inputs whose extents are H and W
    declared: tuple[int, int] = (1, 1)  # H and W as declared
    gaps: tuple[Gap, ...] = ()


def symbolic(graph: Graph, known: Shapes) -> Symbolic:
    """Shapes as exact functions of the height H and the width W of the first input with four axes.

    Other inputs of the same height and width vary with it; all further extents stay numbers. Where a layer needs an
    extent as a number for its weights (InnerProduct), the net is tied to its declared size from there on. A shape
    that cannot be followed is None, and its layer a gap.
    """
    walk = _SymbolicWalk(graph, known)
    for node in graph.nodes:
        walk.node(node)
    return Symbolic(
        walk.shapes, tuple(walk.limits), tuple(walk.pins), tuple(walk.spatial), walk.declared, tuple(walk.gaps)
    )


class _SymbolicWalk:
    """What `symbolic` knows so far, layer by layer."""

    def __init__(self, graph: Graph, known: Shapes) -> None:
        self.known = known
        self.shapes: dict[Value, Shape | None] = {}
        self.plain: dict[Hashable, Sequence[Shape | None] | None] = {}  # tops of layers that ask for nothing
        self.limits: list[Limit] = []
        self.pins: list[tuple[Value, Node]] = []
        self.gaps: list[Gap] = []
        self.spatial: list[Value] = []
        self.declared = (1, 1)
        plane: IntShape | None = None
        for entry in graph.inputs:
            shape = entry.shape
            if len(shape) == 4 and plane in (None, shape[2:]) and min(shape[2:]) > 1:
                plane = shape[2:]
                self.declared = (shape[2], shape[3])
                self.spatial.append(entry.value)
                self.shapes[entry.value] = (*shape[:2], Size.variable("H"), Size.variable("W"))
            else:
                self.shapes[entry.value] = shape

    @property
    def noted(self) -> int:
        """How much layers have asked for so far."""
        return len(self.limits) + len(self.pins) + len(self.gaps)

    def node(self, node: Node) -> None:
        bottoms = [shape for b in node.bottoms if (shape := self.shapes.get(b)) is not None]
        asked = id(node.layer), *bottoms
        if len(bottoms) < len(node.bottoms):
            tops = None
        elif asked in self.plain:
            tops = self.plain[asked]
        else:
            before = self.noted
            tops = self.rule(node, bottoms)
            if self.noted == before:
                self.plain[asked] = tops
        self.shapes.update(zip(node.tops, tops or (None,) * len(node.tops), strict=False))

    def rule(self, node: Node, bottoms: list[Shape]) -> Sequence[Shape | None] | None:
        """The tops' shapes, after what the layer asks for is noted: limits, pins or gaps. None: not followed."""
        wanted = follow.conditions(node, bottoms)
        if isinstance(wanted, Unfollowed) and not wanted.number:  # nor is any other question of use then
            self.gap(node, wanted.why)
            return None
        tops = follow.tops(node, bottoms)
        followed = not isinstance(tops, Unfollowed) or tops.number
        weights = follow.blobs(node, bottoms) if followed else None
        if isinstance(weights, Unfollowed) and weights.number:
            self.pin(node)
            return [self.known.get(top) for top in node.tops]
        if isinstance(tops, Unfollowed):
            self.gap(node, tops.why)
            return None
        if isinstance(wanted, Unfollowed):
            self.gap(node, wanted.why)
        else:
            for condition in wanted:
                self.note(node, condition)
        if any(isinstance(dim, Volume) and not dim.known for shape in tops for dim in shape):
            self.gap(node, "makes an extent that is not followed")
        return tops

    def gap(self, node: Node, why: str) -> None:
        self.gaps.append(Gap(node, why))

    def note(self, node: Node, condition: Condition) -> None:
        """What a condition says of the height or the width."""
        left, right = condition.left, condition.right
        if left is right or (condition.relation == "==" and _same(left, right)):
            return
        name = follow.variable(left, right)
        if name:
            self.limits.append(Limit(node, "HW".index(name), condition))
        elif name is None and condition.relation == "==" and (_fixed(left) or _fixed(right)):
            self.pin(node)  # a product that has to be a number
        elif name is None:
            self.gap(node, f"asks that {left} {condition.relation} {right}")

    def pin(self, node: Node) -> None:
        """What feeds the layer stays as declared."""
        self.pins += [(value, node) for value in dict.fromkeys(node.bottoms)]


def _same(left: Dim, right: Dim) -> bool:
    """Whether two extents are equal for every size; of unknown ones nobody knows."""
    return left == right and not (isinstance(left, Volume) and not left.known)


def _fixed(dim: Dim) -> bool:
    return isinstance(dim, int) or dim.as_int() is not None


@dataclass(frozen=True, slots=True)
class Legal:
    """For which heights and widths a net is legal.

    `sets` are proved: every member is legal. `gaps` are the layers that are not followed: where there are any, the
    declared size alone is proved, and nothing is said of others.
    """

    sets: tuple[NSet, NSet]
    gaps: tuple[Gap, ...]


def legal(graph: Graph, sym: Symbolic, known: Shapes) -> Legal:
    """For which heights and widths the whole net is legal: every extent positive, every condition kept."""
    sets, gaps = _within([*_required(sym, graph.producers()), *_pinned(sym, known)])
    gaps = [*sym.gaps, *gaps]
    if gaps:
        sets = [NSet.of([n]) if n in these else NSet.none() for n, these in zip(sym.declared, sets, strict=True)]
    return Legal((sets[0], sets[1]), tuple(gaps))


def followed_sizes(sym: Symbolic) -> tuple[NSet, NSet]:
    """Heights and widths that every condition and extent allows, as far as these are followed, and pins aside."""
    sets, _ = _within(_required(sym, {}))
    return sets[0], sets[1]


Requirement = tuple[int, NSet | Unfollowed, Node | None]  # axis, the extents that are allowed, who says so


def _within(requirements: Iterable[Requirement]) -> tuple[list[NSet], list[Gap]]:
    """The extents, of height and of width, that all requirements allow; those that cannot be followed as gaps."""
    sets, gaps = [NSet.all(), NSet.all()], []
    for axis, these, node in requirements:
        kept = follow.both(sets[axis], these)
        if not isinstance(kept, Unfollowed):
            sets[axis] = kept
        elif node is not None:
            gaps.append(Gap(node, kept.why))
    return sets, gaps


def _required(sym: Symbolic, makers: Mapping[Value, Node]) -> Iterator[Requirement]:
    """That every extent is positive (a rule that subtracts may go below), and the layers' own conditions."""
    first: dict[Size, Value] = {}
    for value, shape in sym.shapes.items():
        for size in (size for dim in shape or () if not isinstance(dim, int) for size in _varying(dim)):
            first.setdefault(size, value)
    for size, value in first.items():
        yield "HW".index(size.name), follow.at_least(size, 1), makers.get(value)
    for limit in sym.limits:
        yield limit.axis, follow.where(limit.condition), limit.node


def _pinned(sym: Symbolic, known: Shapes) -> Iterator[Requirement]:
    """That the extents that weights are made for stay as declared."""
    for value, node in sym.pins:
        for dim, extent in zip(sym.shapes.get(value) or (), known.get(value) or (), strict=False):
            for size in _varying(dim):
                axis = "HW".index(size.name)
                declared = size.at(sym.declared[axis])
                fixed = extent if size is dim or declared is None else declared
                yield axis, follow.fibre(size, fixed), node


def _varying(dim: Dim) -> list[Size]:
    """The functions of height or width that an extent is made of; none for a number."""
    sizes = dim.sizes() if isinstance(dim, Volume) else (dim,)
    return [size for size in sizes if isinstance(size, Size) and size.name]


def where(condition: Condition, declared: int) -> NSet:
    """The input extents for which a condition on sizes is proved to hold.

    Where the sizes cannot be compared for all extents, only the declared one counts: it was checked.
    """
    these = follow.where(condition)
    return NSet.of([declared]) if isinstance(these, Unfollowed) else these
