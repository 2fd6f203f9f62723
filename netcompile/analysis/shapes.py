"""Shapes of every value: as numbers for the declared inputs, and as exact functions of the input's size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netcompile.algebra.nset import NSet, SizeTooComplex
from netcompile.algebra.size import Size
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import (
    BlobSpec,
    Condition,
    Dim,
    IntShape,
    NeedsNumber,
    Refused,
    Shape,
    number,
    show,
)
from netcompile.layers.params import locate
from netcompile.prototxt.diagnostic import Diagnostic, NetError
from netcompile.record import record

Shapes = Mapping[Value, IntShape]


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
    known: dict[Value, IntShape] = {entry.value: entry.shape for entry in graph.inputs}
    problems: list[Diagnostic] = []
    shared: dict[str, tuple[Node, BlobSpec]] = {}
    for node in graph.nodes:
        bottoms = [known[b] for b in node.bottoms if b in known]
        if len(bottoms) < len(node.bottoms):
            continue
        broken = False
        try:
            for condition in node.layer.conditions(*bottoms):
                if not condition.holds():
                    problems.append(diagnose(node, condition.refusal))
                    if condition.refusal.code != "crop-bounds":
                        broken = True
                        break
            if not broken:
                problems += _params(node, bottoms, shared)
            tops = node.layer.shapes(*bottoms)
        except Refused as refused:
            if not broken:
                problems.append(diagnose(node, refused))
            continue
        numbers = tuple(tuple(number(d) for d in top) for top in tops)
        empty = [(index, shape) for index, shape in enumerate(numbers) if any(d < 1 for d in shape)]
        if not empty:
            known.update(zip(node.tops, numbers, strict=False))
        elif not broken:
            problems.append(diagnose(node, _empty(node, *empty[0], bottoms)))
    return known, problems


def _empty(node: Node, index: int, shape: IntShape, bottoms: list[IntShape]) -> Refused:
    return Refused(
        f"output size is not positive: {show(shape)}",
        code="empty-output",
        at=f"bottom[{min(index, len(bottoms) - 1)}]" if bottoms else "",
        why=f"from {' and '.join(show(b) for b in bottoms)}: the window does not fit into its bottom",
        remedy="a larger input (--input), a smaller kernel, or more pad",
    )


def _params(node: Node, bottoms: list[IntShape], shared: dict[str, tuple[Node, BlobSpec]]) -> list[Diagnostic]:
    """Check the layer's param specs against its blobs, and shared blobs against their owner's (Net::AppendParam)."""
    if not node.params:
        return []
    blobs = node.layer.blobs(*bottoms)
    if len(node.params) > len(blobs):
        what = f"{len(node.params)} param specs for {len(blobs)} blobs"
        return [diagnose(node, Refused(what, code="param-count", at=f"param[{len(blobs)}]"))]
    problems = []
    for index, (spec, blob) in enumerate(zip(node.params, blobs, strict=False)):
        if not spec.name:
            continue
        owner, first = shared.setdefault(spec.name, (node, blob))
        if owner is node and first is blob:
            continue
        same = first.shape == blob.shape
        if spec.permissive:
            same = _count(first.shape) == _count(blob.shape)
        if not same:
            refused = Refused(
                f"shared param '{spec.name}' has two shapes: {show(first.shape)} and {show(blob.shape)}",
                code="param-share",
                at=f"param[{index}].name",
                why=f"layer '{owner.name}' owns it",
                remedy="" if spec.permissive else "share_mode: PERMISSIVE allows equal counts",
            )
            problems.append(diagnose(node, refused))
    return problems


def _count(shape: IntShape) -> int:
    total = 1
    for extent in shape:
        total *= extent
    return total


def shapes_of(graph: Graph) -> dict[Value, IntShape]:
    """Shapes for the declared inputs. Raises NetError with every refusal."""
    known, problems = infer(graph)
    if problems:
        raise NetError(problems)
    return known


@record
class Limit:
    """A condition on the input's size that a layer sets, on axis 0 (height) or 1 (width)."""

    node: Node
    axis: int
    condition: Condition


@record
class Symbolic:
    """Shapes as functions of H and W; None where no `Size` can say it.

    `limits` are the layers' own conditions. `pins` are values whose extents must stay as declared, because the layer
    beside them needs the numbers: an InnerProduct's weights, a Reshape to fixed numbers.
    """

    shapes: Mapping[Value, Shape | None]
    limits: tuple[Limit, ...]
    pins: tuple[tuple[Value, Node], ...]
    spatial: tuple[Value, ...]  # inputs whose extents are H and W
    declared: tuple[int, int] = (1, 1)  # H and W as declared


def symbolic(graph: Graph, known: Shapes) -> Symbolic:
    """Shapes as exact functions of the height H and the width W of the first input with four axes.

    Other inputs of the same height and width vary with it; all further extents stay numbers. Where a layer needs an
    extent as a number (InnerProduct), the net is tied to its declared size from there on. A shape that no `Size` can
    express (Flatten of a plane) is None.
    """
    work = _Symbolic(graph, known)
    for node in graph.nodes:
        work.node(node)
    return Symbolic(work.shapes, tuple(work.limits), tuple(work.pins), tuple(work.spatial), work.declared)


class _Symbolic:
    def __init__(self, graph: Graph, known: Shapes) -> None:
        self.known = known
        self.shapes: dict[Value, Shape | None] = {}
        self.limits: list[Limit] = []
        self.pins: list[tuple[Value, Node]] = []
        self.spatial: list[Value] = []
        self.makers: dict[Value, Node] = {}
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

    def node(self, node: Node) -> None:
        self.makers.update(dict.fromkeys(node.tops, node))
        bottoms = [shape for b in node.bottoms if (shape := self.shapes.get(b)) is not None]
        tops: tuple[Shape | None, ...] | None = None
        if len(bottoms) == len(node.bottoms):
            tops = self.rule(node, bottoms)
        elif node.layer.any_size:
            tops = (None,) * len(node.tops)
        if tops is None:  # the layer needs numbers: what feeds it stays as declared
            self.pins += [(value, node) for value in self.frontier(node.bottoms)]
            tops = tuple(self.known.get(top) for top in node.tops)
        self.shapes.update(zip(node.tops, tops, strict=False))

    def rule(self, node: Node, bottoms: list[Shape]) -> tuple[Shape | None, ...] | None:
        """The tops' shapes; None where the layer's rule needs numbers."""
        limits = []
        try:
            for condition in node.layer.conditions(*bottoms):
                if _both(condition.left, condition.right):
                    return None  # the height against the width, behind a Permute or a Reshape
                axis = _axis(condition.left, condition.right)
                if axis is not None and not (condition.relation == "==" and condition.left == condition.right):
                    limits.append(Limit(node, axis, condition))
            tops = node.layer.shapes(*bottoms)
            node.layer.blobs(*bottoms)
        except (NeedsNumber, Refused, SizeTooComplex, ValueError):
            return (None,) * len(node.tops) if node.layer.any_size else None
        self.limits += limits
        return tops

    def frontier(self, values: Sequence[Value]) -> list[Value]:
        """The nearest values with known shapes from which `values` are made."""
        found: dict[Value, None] = {}
        work = list(values)
        while work:
            value = work.pop()
            if self.shapes.get(value) is not None:
                found[value] = None
            elif value in self.makers:
                work += self.makers[value].bottoms
        return list(found)


def _both(*dims: Dim) -> bool:
    """Whether one extent depends on the height and another one on the width."""
    return len({dim.name for dim in dims if isinstance(dim, Size) and dim.name}) > 1


def _axis(*dims: Dim) -> int | None:
    """0 where an extent depends on the height, 1 on the width, None on neither."""
    names = {dim.name for dim in dims if isinstance(dim, Size)}
    return 0 if "H" in names else 1 if "W" in names else None


def valid_sizes(graph: Graph, sym: Symbolic, known: Shapes) -> tuple[NSet, NSet]:
    """For which heights and widths the whole net is legal: every extent positive, every condition kept."""
    sets = [NSet.all(), NSet.all()]
    sizes = dict.fromkeys(dim for shape in sym.shapes.values() for dim in shape or () if isinstance(dim, Size))
    for size in sizes:
        if size.name in ("H", "W"):
            axis = "HW".index(size.name)
            sets[axis] = sets[axis] & size.where_at_least(1)  # a rule that subtracts may go below
    for limit in sym.limits:
        sets[limit.axis] = sets[limit.axis] & where(limit.condition, sym.declared[limit.axis])
    for value, _ in sym.pins:
        for dim, extent in zip(sym.shapes[value] or (), known[value], strict=True):
            if isinstance(dim, Size) and dim.name in ("H", "W"):
                axis = "HW".index(dim.name)
                sets[axis] = sets[axis] & dim.fibre(extent)
    return sets[0], sets[1]


def where(condition: Condition, declared: int) -> NSet:
    """The input extents for which a condition on sizes holds.

    Where the sizes are too complex to compare for all extents, only the declared one counts: it was checked.
    """
    left = Size.of(condition.left)
    try:
        if condition.relation == "==":
            return left.where_equal(condition.right)
        return left.where_at_least(condition.right)
    except SizeTooComplex:
        return NSet.of([declared])
