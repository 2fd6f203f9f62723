"""Every Crop of a net: what it declares, what alignment needs, what is used, and for which input sizes it is legal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from netcompile.algebra.nset import NSet
from netcompile.analysis import follow
from netcompile.analysis.coordinates import Coordinates, CropNeed, Way, compose, coordinates
from netcompile.analysis.follow import Unfollowed
from netcompile.analysis.shapes import Shapes
from netcompile.analysis.symbolic import Symbolic
from netcompile.diagnostics.diagnostic import Diagnostic, Severity
from netcompile.diagnostics.text import listed
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import IDENTITY, Axes
from netcompile.layers.crop import Crop
from netcompile.layers.params import locate

MOST_STEPS = 20_000  # of the ways to crops that reasons tell of: each may be as long as the net
OK, INFERRED, MISMATCH = "ok", "inferred", "mismatch"
NONINTEGER, NEGATIVE, STRIDE, UNDEFINED = "noninteger", "negative", "stride-mismatch", "undefined"


@dataclass(frozen=True, slots=True)
class CropReport:
    """What is known of one Crop. Offsets are in pixels, one for each cropped axis, in axis order.

    `declared` is what the file says, `inferred` what alignment needs along height and width (those of them that are
    cropped), `used` what the net is computed with; each None where there is none. `status` is one of the constants
    above, and `why` its reason in words.
    """

    node: Node
    axis: int
    declared: tuple[int, ...] | None
    inferred: tuple[Fraction, ...] | None
    used: tuple[int, ...] | None
    status: str
    why: str
    chains: str = ""  # how both bottoms lie over their common ancestor
    valid: tuple[NSet, NSet] = (NSet.all(), NSet.all())  # heights, widths
    unproved: str = ""  # what is not followed: `valid` is then no more than the declared size

    @property
    def layer(self) -> Crop:
        assert isinstance(self.node.layer, Crop)
        return self.node.layer


@dataclass(frozen=True, slots=True)
class Crops:
    """The net with every crop's offsets set, and the report of each crop in file order."""

    graph: Graph
    reports: tuple[CropReport, ...]
    coordinates: Coordinates

    def problems(self) -> list[Diagnostic]:
        """Crops whose offsets nobody can tell: errors, each with the layers that cause it."""
        return [finding(r) for r in self.reports if r.used is None]

    def suggest(self, problem: Diagnostic) -> Diagnostic:
        """A crop out of bounds is told the offset that alignment needs; other problems stay as they are."""
        if problem.code != "crop-bounds" or problem.span is None:
            return problem
        for report in self.reports:
            message = report.node.message
            inside = message.span.start <= problem.span.start < message.span.end
            if inside and report.inferred and report.status in (MISMATCH, INFERRED):
                return replace(problem, remedy=f"offset: {_numbers(report.inferred)}, which alignment needs")
        return problem

    def findings(self) -> list[Diagnostic]:
        """Everything about the crops that is worth saying, as diagnostics."""
        return [finding(r) for r in self.reports if r.status != OK]


def resolve(graph: Graph, shapes: Shapes, mode: str = "auto", round_crops: bool = False) -> Crops:
    """Set the offsets of every crop. `mode`: declared ones where there are any ("auto"), or always one kind.

    `round_crops` rounds offsets that fall between pixels down, which the reports say.
    """
    coords = coordinates(graph, shapes)
    makers = graph.producers() if coords.crops else {}
    reports, nodes = [], []
    left = MOST_STEPS
    for index, node in enumerate(graph.nodes):
        if isinstance(node.layer, Crop) and all(b in shapes for b in node.bottoms):
            chains = Chains(coords, makers, node, left > 0)
            left -= len(chains.cropped) + len(chains.reference)
            need = coords.crops.get(index, CropNeed(None))
            report = _report(node, node.layer, chains, need, shapes, mode, round_crops)
            if report is not None:
                reports.append(report)
                node = replace(node, layer=replace(node.layer, offsets=report.used))
        nodes.append(node)
    return Crops(graph.replace(nodes=tuple(nodes)), tuple(reports), coords)


def _report(
    node: Node, crop: Crop, chains: Chains, need: CropNeed, shapes: Shapes, mode: str, round_crops: bool
) -> CropReport | None:
    rank = len(shapes[node.bottoms[0]])
    read = follow.follow(lambda: (crop.first(rank), crop.full(rank)))
    if isinstance(read, Unfollowed):  # reported with the shapes
        return None
    first, declared = read
    zero = (0,) * (rank - first)
    if need.offsets is None:
        why = need.why or "alignment is defined for blobs with height and width only"
        if declared is None:
            why += "; BVLC Caffe reads 0 where nothing is declared, and so does this"
        return CropReport(node, first, declared, None, declared or zero, UNDEFINED, why)
    # Height and width may begin before the cropped axes (axis: 3), or other axes before them (axis: 1).
    inferred, untouched = need.offsets[max(first - 2, 0) :], need.offsets[: max(first - 2, 0)]
    leading = (declared or zero)[: max(2 - first, 0)]
    whole = None
    if min(inferred) >= 0 and (round_crops or all(v.denominator == 1 for v in inferred)):
        whole = (*leading, *(int(v // 1) for v in inferred))
    status, why = _verdict(chains, inferred, declared[len(leading) :] if declared else None)
    if not need.strides_agree:
        status, why, whole = STRIDE, need.why, whole if round_crops else None
    elif any(untouched) and status in (OK, INFERRED):
        status = MISMATCH
        why = f"axis {first} leaves the height as it is, though alignment needs offset {untouched[0]} there"
    if mode == "declared":
        used: tuple[int, ...] | None = declared or zero
        if declared is None and status == INFERRED and whole != zero:
            status, why = MISMATCH, f"starts at 0 as BVLC Caffe reads it, alignment needs {_numbers(inferred)}"
    elif mode == "inferred":
        used = whole
    else:
        used = declared if declared is not None else whole
    return CropReport(node, first, declared, inferred, used, status, why, chains.text() if status != OK else "")


def _verdict(chains: Chains, inferred: tuple[Fraction, ...], declared: tuple[int, ...] | None) -> tuple[str, str]:
    pair = f"'{chains.node.bottoms[1].blob}' in '{chains.node.bottoms[0].blob}'"
    if any(v.denominator != 1 for v in inferred):
        causes = chains.half_pixels()
        return NONINTEGER, f"{pair} starts {_numbers(inferred)} pixels in, which is no whole number" + (
            f"; fractions come from {causes}" if causes else ""
        )
    if min(inferred) < 0:
        return NEGATIVE, (
            f"{pair} starts {_numbers(inferred)} pixels in, before the first one: too little pad ({chains.text()})"
        )
    if declared is None:
        return INFERRED, f"no crop_param: alignment gives {_numbers(inferred)}, BVLC Caffe would read 0"
    if tuple(int(v) for v in inferred) != declared:
        return MISMATCH, f"starts at {_numbers(declared)}, alignment needs {_numbers(inferred)}"
    return OK, ""


def _numbers(values: tuple[Fraction, ...] | tuple[int, ...]) -> str:
    """One number where height and width agree, both otherwise."""
    return str(values[0]) if len(set(values)) == 1 else ", ".join(str(v) for v in values)


class Chains:
    """The two chains of layers from the nearest common ancestor of a crop's bottoms down to them."""

    def __init__(self, coords: Coordinates, makers: Mapping[Value, Node], node: Node, told: bool = True) -> None:
        self.node, self.makers = node, makers
        self.ancestor: Value = node.bottoms[0]
        self.cropped: Way = []
        self.reference: Way = []
        if told:
            self.ancestor, self.cropped, self.reference = coords.ways(node.bottoms[0], node.bottoms[1])

    def text(self) -> str:
        """``data → upscore8 has stride 1 and offset -31 (conv1_1 pad 100 at 24:5)``, for both ways."""
        ways = zip((self.cropped, self.reference), self.node.bottoms, strict=True)
        return "; ".join(self._way(chain, bottom) for chain, bottom in ways if chain)

    def _way(self, chain: list[tuple[Value, Axes]], bottom: Value) -> str:
        total = IDENTITY
        pads = []
        for value, axes in chain:
            total = compose(total, axes)
            layer = self.makers[value].layer
            pad = getattr(layer, "pad", (0,))
            if max(pad) > 1 and isinstance(pad, tuple):
                at = self.makers[value].message.span
                pads.append((max(pad), f"{self.makers[value].name} pad {max(pad)} at {at.line}:{at.column}"))
        stride, offset = _numbers((total[0].stride, total[1].stride)), _numbers((total[0].offset, total[1].offset))
        main = f" ({max(pads)[1]})" if pads else ""
        return f"{self.ancestor.blob} → {bottom.blob} has stride {stride} and offset {offset}{main}"

    def half_pixels(self) -> str:
        """The layers whose own shift leaves a fraction of a pixel in the crop's offset, with that shift."""
        stride = Fraction(1)
        for _, axes in self.cropped:
            stride *= axes[0].stride
        found = []
        for chain in (self.cropped, self.reference):
            total = IDENTITY
            for value, axes in chain:
                before, total = total, compose(total, axes)
                step = (total[0].offset - before[0].offset) / stride
                if step.denominator != 1:
                    found.append(shift_text(self.makers[value], step))
        return listed(found, 6)


def shift_text(node: Node, shift: Fraction) -> str:
    """``'pool1' (+1/2, at 24:5)``: a layer, and by how many pixels it moves the grid."""
    at = node.message.span
    return f"'{node.name}' ({'+' if shift > 0 else ''}{shift}, at {at.line}:{at.column})"


def with_proof(graph: Graph, reports: Iterable[CropReport]) -> Graph:
    """The graph, its crops told whether they lie inside for every height and width."""
    inside = {id(r.node.message) for r in reports if r.axis >= 2 and all(sizes.is_all for sizes in r.valid)}
    if not inside:
        return graph
    nodes = []
    for node in graph.nodes:
        if isinstance(node.layer, Crop) and id(node.message) in inside:
            node = replace(node, layer=replace(node.layer, inside=True))
        nodes.append(node)
    return graph.replace(nodes=tuple(nodes))


def with_validity(report: CropReport, sym: Symbolic) -> CropReport:
    """The report with the heights and widths for which the crop's window lies inside the cropped blob."""
    if report.used is None:
        return replace(report, valid=(NSet.none(), NSet.none()))
    declared = (NSet.of([sym.declared[0]]), NSet.of([sym.declared[1]]))
    bottoms = [shape for b in report.node.bottoms if (shape := sym.shapes.get(b)) is not None]
    if len(bottoms) < len(report.node.bottoms):
        return replace(report, valid=declared, unproved="the size of a bottom is not followed")
    node = replace(report.node, layer=replace(report.layer, offsets=report.used))
    wanted = follow.conditions(node, bottoms)
    if isinstance(wanted, Unfollowed):
        return replace(report, valid=declared, unproved=wanted.why)
    sets = [NSet.all(), NSet.all()]
    for condition in wanted:
        name = follow.variable(condition.left, condition.right)
        if name == "" and not condition.holds():
            return replace(report, valid=(NSet.none(), NSet.none()))
        if name == "" or (condition.relation == ">=" and condition.left is condition.right):
            continue
        these = Unfollowed("") if name is None else follow.both(sets["HW".index(name)], follow.where(condition))
        if isinstance(these, Unfollowed) or name is None:
            why = f"whether {condition.left} {condition.relation} {condition.right} is not followed"
            return replace(report, valid=declared, unproved=why)
        sets["HW".index(name)] = these
    return replace(report, valid=(sets[0], sets[1]))


_UNALIGNED = {  # the code and the remedy
    NONINTEGER: (
        "crop-half-pixel",
        "--crop-offsets declared takes what the file says, 0 where it says nothing, as Caffe does; "
        "--round-crops rounds down; or change the kernel of the layer that causes it",
    ),
    NEGATIVE: ("crop-negative", "more pad at the first layer of the cropped blob's path"),
    STRIDE: ("crop-stride", "upsample or pool so that both have one stride"),
    UNDEFINED: ("crop-undefined", "--crop-offsets declared takes what the file says"),
}


def finding(report: CropReport) -> Diagnostic:
    """A crop that is not simply right, as a diagnostic at its offset."""
    node = report.node
    span = locate(node.message, "crop_param.offset")
    wanted = _numbers(tuple(report.inferred)) if report.inferred else ""
    if report.status == MISMATCH:
        what = f"crop '{node.name}' {report.why}"
        return Diagnostic("crop-offset", what, span, why=report.chains, remedy=f"offset: {wanted}")
    if report.status == INFERRED:
        return Diagnostic(
            "crop-undeclared",
            f"crop '{node.name}' declares no offset; alignment gives {wanted}",
            span,
            why="BVLC Caffe would read 0, the forks that wrote such nets aligned by themselves",
            remedy=f"crop_param {{ offset: {wanted} }}",
            severity="warning",
        )
    code, remedy = _UNALIGNED[report.status]
    severity: Severity = "error" if report.used is None else "warning"
    return Diagnostic(code, f"crop '{node.name}': {report.why}", span, remedy=remedy, severity=severity)
