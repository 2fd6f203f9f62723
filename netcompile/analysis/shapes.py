"""Shapes of every value: as numbers for the declared inputs, and as exact functions of the input's size."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from netcompile.algebra.nset import NSet
from netcompile.algebra.size import Size
from netcompile.algebra.volume import Volume
from netcompile.analysis import follow
from netcompile.analysis.follow import Unfollowed
from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.diagnostics.text import shape_text
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import BlobSpec, Condition, Dim, IntShape, Refused, Shape
from netcompile.layers.params import filler_mistake, locate
from netcompile.layers.shapes import number

Shapes = Mapping[Value, IntShape]

MOST_AXES = 32  # Caffe's kMaxBlobAxes
MOST_ELEMENTS = 2**31 - 1  # its counts are C's int
_RESHAPE = "Caffe's Blob::Reshape checks both"


def diagnose(node: Node, refused: Refused) -> Diagnostic:
    """A layer's refusal, placed in the file."""
    return Diagnostic(
        refused.code,
        f"layer '{node.name}': {refused.what}",
        locate(node.message, refused.at),
        why=refused.why,
        remedy=refused.remedy,
    )


def infer(graph: Graph) -> tuple[dict[Value, IntShape], list[Diagnostic]]:
    """Shapes for the declared inputs, and every refusal; a layer that fails leaves its tops without a shape."""
    known, refused = refusals_of(graph)
    return known, [*input_problems(graph), *(problem for _, problem in refused)]


def input_problems(graph: Graph) -> list[Diagnostic]:
    """Inputs that no blob of Caffe can be."""
    return [
        Diagnostic(
            "shape",
            f"input '{entry.value.blob}' is {large}",
            locate(entry.message, "input_param.shape" if entry.message.has("input_param") else "top"),
            why=_RESHAPE,
            remedy=f"--input {entry.value.blob}=… with a smaller shape",
        )
        for entry in graph.inputs
        if (large := too_large(entry.shape)) is not None
    ]


def refusals_of(graph: Graph) -> tuple[dict[Value, IntShape], list[tuple[Node, Diagnostic]]]:
    """As `infer`, each refusal with the layer that it is of; inputs that no blob can be are left out."""
    known: dict[Value, IntShape] = {}
    return known, list(each_refusal(graph, known))


def each_refusal(graph: Graph, known: dict[Value, IntShape]) -> Iterator[tuple[Node, Diagnostic]]:
    """The same one after the other, for who needs the first alone; puts shapes into `known` up to there."""
    known.update((entry.value, entry.shape) for entry in graph.inputs if too_large(entry.shape) is None)
    shared: dict[str, tuple[Node, BlobSpec]] = {}
    legal: dict[Hashable, list[IntShape | None]] = {}  # tops of a layer that is well, by what was asked
    for node in graph.nodes:
        bottoms = [known[b] for b in node.bottoms if b in known]
        if len(bottoms) < len(node.bottoms):
            continue
        asked = id(node.layer), len(node.tops), node.params, *bottoms
        made = legal.get(asked)
        if made is not None:
            known.update((top, shape) for top, shape in zip(node.tops, made, strict=True) if shape is not None)
            continue
        problems = _infer_node(node, bottoms, known, shared)
        if not problems and not any(spec.name for spec in node.params):
            legal[asked] = [known.get(top) for top in node.tops]
        for problem in problems:
            yield node, problem


def recheck(
    before: Graph, after: Graph, known: Shapes, refused: Iterable[tuple[Node, Diagnostic]]
) -> list[tuple[Node, Diagnostic]]:
    """The refusals of `after`, given those of `before`: the same layers, some with other parameters.

    These must not make tops of other shapes. `known` has the shapes of all their bottoms.
    """
    problems: dict[int, list[Diagnostic]] = {}
    for node, problem in refused:
        problems.setdefault(id(node), []).append(problem)
    found = []
    for old, new in zip(before.nodes, after.nodes, strict=True):
        same = problems.get(id(old), []) if new is old else _infer_node(new, [known[b] for b in new.bottoms], {}, {})
        found += [(new, problem) for problem in same]
    return found


def _infer_node(
    node: Node, bottoms: list[IntShape], known: dict[Value, IntShape], shared: dict[str, tuple[Node, BlobSpec]]
) -> list[Diagnostic]:
    """What is wrong with a layer; puts its tops' shapes into `known` where they are known."""
    problems: list[Diagnostic] = []
    broken = False
    try:
        for condition in node.layer.conditions(*bottoms):
            if not condition.holds():
                why = condition.refused()
                problems.append(diagnose(node, why))
                if why.code != "crop-bounds":
                    broken = True
                    break
        tops = node.layer.shapes(*bottoms)
        if not broken:
            blobs = node.layer.blobs(*bottoms)
            if blobs or node.params:
                problems += [*_params(node, blobs, shared), *_fillers(node, blobs)]
    except Refused as refused:
        return problems if broken else [*problems, diagnose(node, refused)]
    numbers = tuple(tuple(number(d) for d in top) for top in tops)
    refusal = _blob_refused(numbers, bottoms)
    if refusal is None:
        known.update(zip(node.tops, numbers, strict=False))
    elif not broken:
        problems.append(diagnose(node, refusal))
    return problems


def too_large(shape: IntShape) -> str | None:
    """What Caffe's Blob::Reshape refuses in a shape: more than 32 axes, or more elements than an int counts."""
    if len(shape) > MOST_AXES:
        return f"a blob of {len(shape)} axes, and Caffe takes {MOST_AXES} at most"
    if prod(shape) > MOST_ELEMENTS:
        return f"a blob of {shape_text(shape)} elements, and Caffe counts up to {MOST_ELEMENTS}"
    return None


def _blob_refused(numbers: Sequence[IntShape], bottoms: Sequence[IntShape]) -> Refused | None:
    """What no blob of Caffe can be: empty, of too many axes, or too large."""
    for index, shape in enumerate(numbers):
        if any(extent < 1 for extent in shape):
            return _empty(index, shape, bottoms)
        large = too_large(shape)
        if large is not None:
            return Refused(f"top {index} would be {large}", at=f"top[{index}]", why=_RESHAPE)
    return None


def _empty(index: int, shape: IntShape, bottoms: Sequence[IntShape]) -> Refused:
    return Refused(
        f"output size is not positive: {shape_text(shape)}",
        code="empty-output",
        at=f"bottom[{min(index, len(bottoms) - 1)}]" if bottoms else "",
        why=f"from {' and '.join(shape_text(b) for b in bottoms)}: the window does not fit into its bottom",
        remedy="a larger input (--input), a smaller kernel, or more pad",
    )


def _params(node: Node, blobs: Sequence[BlobSpec], shared: dict[str, tuple[Node, BlobSpec]]) -> list[Diagnostic]:
    """Check the layer's blobs, the param specs of them, and shared ones against their owner's (Net::AppendParam)."""
    for made in blobs:
        large = too_large(made.shape)
        if large is not None:
            return [diagnose(node, Refused(f"its {made.name} would be {large}", why=_RESHAPE))]
    if not node.params:
        return []
    if len(node.params) > len(blobs):
        what = f"{len(node.params)} param specs for {len(blobs)} blobs"
        return [diagnose(node, Refused(what, code="param-count", at=f"param[{len(blobs)}]"))]
    problems = []
    for index, (spec, blob) in enumerate(zip(node.params, blobs, strict=False)):
        if not spec.name:
            continue
        owner, first = shared.setdefault(spec.name, (node, blob))
        same = prod(first.shape) == prod(blob.shape) if spec.permissive else first.shape == blob.shape
        if not same:
            refused = Refused(
                f"shared param '{spec.name}' has two shapes: {shape_text(first.shape)} and {shape_text(blob.shape)}",
                code="param-share",
                at=f"param[{index}].name",
                why=f"layer '{owner.name}' owns it",
                remedy="" if spec.permissive else "share_mode: PERMISSIVE allows equal counts",
            )
            problems.append(diagnose(node, refused))
    return problems


def _fillers(node: Node, blobs: Sequence[BlobSpec]) -> list[Diagnostic]:
    """Fillers that cannot fill their blobs, at which Caffe stops before it copies trained weights."""
    problems = []
    for blob in blobs:
        mistake = None if blob.filler is None else filler_mistake(blob.filler, blob.shape)
        if blob.filler is not None and mistake is not None:
            at, what, why = mistake
            problems.append(Diagnostic("filler", f"layer '{node.name}': {what}", blob.filler.span_of(at), why=why))
    return problems


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
