"""Every Crop of a net: what it declares, what alignment needs, what is used, and for which input sizes it is legal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from netcompile.algebra.nset import NSet
from netcompile.algebra.size import Size
from netcompile.analysis.coordinates import Coordinates, compose, coordinates
from netcompile.analysis.shapes import Shapes, Symbolic, where
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import IDENTITY, Axes, Condition, Refused, Shape
from netcompile.layers.crop import Crop
from netcompile.layers.params import locate
from netcompile.prototxt.diagnostic import Diagnostic, NetError

MODES = ("auto", "declared", "inferred")
OK, INFERRED, MISMATCH = "ok", "inferred", "mismatch"
NONINTEGER, NEGATIVE, STRIDE, UNDEFINED = "noninteger", "negative", "stride-mismatch", "undefined"


@dataclass(frozen=True, slots=True)
class CropReport:
    """One Crop. Offsets are in axis order; `inferred` is for height and width (those of them that are cropped)."""

    node: Node
    axis: int
    declared: tuple[int, ...] | None
    inferred: tuple[Fraction, ...] | None
    used: tuple[int, ...] | None
    status: str
    why: str
    valid: tuple[NSet, NSet] = (NSet.all(), NSet.all())  # heights, widths

    @property
    def layer(self) -> Crop:
        assert isinstance(self.node.layer, Crop)
        return self.node.layer


@dataclass(frozen=True)
class Crops:
    """The net with every crop's offsets set, and the report of each crop in file order."""

    graph: Graph
    reports: tuple[CropReport, ...]
    coordinates: Coordinates

    def problems(self) -> list[Diagnostic]:
        """Crops whose offsets nobody can tell: errors, each with the layers that cause it."""
        return [finding(r) for r in self.reports if r.used is None]

    def findings(self) -> list[Diagnostic]:
        """Everything about the crops that is worth saying, as diagnostics."""
        return [finding(r) for r in self.reports if r.status != OK]


def resolve(graph: Graph, shapes: Shapes, mode: str = "auto", round_crops: bool = False) -> Crops:
    """Set the offsets of every crop. `mode`: declared ones where there are any ("auto"), or always one kind.

    `round_crops` rounds offsets that fall between pixels down, which the reports say.
    """
    coords = coordinates(graph, shapes)
    reports, nodes = [], []
    for index, node in enumerate(graph.nodes):
        if isinstance(node.layer, Crop) and all(b in shapes for b in node.bottoms):
            report = _report(node, node.layer, coords, index, shapes, mode, round_crops)
            reports.append(report)
            node = replace(node, layer=replace(node.layer, offsets=report.used))
        nodes.append(node)
    return Crops(graph.replace(nodes=tuple(nodes)), tuple(reports), coords)


def _report(
    node: Node, crop: Crop, coords: Coordinates, index: int, shapes: Shapes, mode: str, round_crops: bool
) -> CropReport:
    rank = len(shapes[node.bottoms[0]])
    try:
        first = crop.first(rank)
        declared = crop.full(rank)
    except Refused:  # reported with the shapes
        return CropReport(node, crop.axis, crop.declared, None, crop.declared, OK, "")
    need = coords.crops.get(index, "")
    cropped = rank - first

    def zero() -> tuple[int, ...]:
        return (0,) * cropped

    if isinstance(need, str):
        used = declared if declared is not None else zero()
        why = need or "alignment is defined for blobs with height and width only"
        if declared is None:
            why += "; BVLC Caffe reads 0 where nothing is declared, and so does this"
        return CropReport(node, first, declared, None, used, STRIDE if need.startswith("stride") else UNDEFINED, why)
    # Height and width may lie before the cropped axes (axis: 3), or other axes before them (axis: 1).
    inferred = need[-cropped:] if cropped < 2 else need
    uncropped = need[: 2 - cropped] if cropped < 2 else ()
    whole = None
    if all(v.denominator == 1 for v in inferred) and min(inferred) >= 0:
        whole = (*(declared or zero())[: cropped - len(inferred)], *(int(v) for v in inferred))
    elif round_crops and min(inferred) >= 0:
        whole = (*(declared or zero())[: cropped - len(inferred)], *(int(v // 1) for v in inferred))
    status, why = _verdict(node, coords, inferred, declared[-len(inferred) :] if declared else None)
    if any(uncropped) and status in (OK, INFERRED):
        status, why = MISMATCH, f"axis {first} leaves height as it is, though alignment needs offset {uncropped[0]} there"
    if mode == "declared":
        used: tuple[int, ...] | None = declared if declared is not None else zero()
        if declared is None and status == INFERRED and any(used[i] != v for i, v in enumerate(inferred, cropped - len(inferred))):
            status, why = MISMATCH, f"0 as BVLC Caffe reads it, alignment needs {_numbers(inferred)}"
    elif mode == "inferred":
        used = whole
    else:
        used = declared if declared is not None else whole
    return CropReport(node, first, declared, inferred, used, status, why)


def _verdict(
    node: Node, coords: Coordinates, inferred: tuple[Fraction, ...], declared: tuple[int, ...] | None
) -> tuple[str, str]:
    source = f"'{node.bottoms[0].blob}' over '{node.bottoms[1].blob}'"
    if any(v.denominator != 1 for v in inferred):
        causes = half_pixel_causes(node, coords)
        return NONINTEGER, (
            f"{source} is {_numbers(inferred)} pixels off: no whole number of pixels aligns them"
            + (f"; caused by {causes}" if causes else "")
        )
    if min(inferred) < 0:
        return NEGATIVE, (
            f"{source} would have to start at {_numbers(inferred)}, before its first pixel: "
            f"there is too little pad in front of it{_pads(node, coords)}"
        )
    if declared is None:
        return INFERRED, f"no crop_param: alignment gives {_numbers(inferred)}; BVLC Caffe would read 0"
    if tuple(int(v) for v in inferred) != declared:
        return MISMATCH, f"starts at {_numbers(declared)}, alignment needs {_numbers(inferred)}{_pads(node, coords)}"
    return OK, ""


def _numbers(values: tuple[Fraction, ...] | tuple[int, ...]) -> str:
    """One number where height and width agree, both otherwise."""
    return str(values[0]) if len(set(values)) == 1 else ", ".join(str(v) for v in values)


def _common(node: Node, coords: Coordinates) -> tuple[list[tuple[Value, Axes]], list[tuple[Value, Axes]]]:
    """The two chains from the nearest common ancestor down to the cropped blob and to the reference."""
    a, b = coords.path(node.bottoms[0]), coords.path(node.bottoms[1])
    shared = 0
    while shared < min(len(a), len(b)) and a[shared][0] == b[shared][0]:
        shared += 1
    return a[shared:], b[shared:]


def half_pixel_causes(node: Node, coords: Coordinates) -> str:
    """The layers whose own shift leaves a fraction of a pixel in the crop's offset."""
    from netcompile.analysis.coordinates import inverse

    found: list[str] = []
    for chain in _common(node, coords):
        total = IDENTITY
        shift = Fraction(0)
        scale = coords.frames[node.bottoms[0]][1]
        for value, axes in chain:
            total = compose(total, axes)
            step = (total[0].offset - shift) / (scale[0].stride or 1)
            shift = total[0].offset
            if step.denominator != 1:
                found.append(f"'{value.blob}' ({step:+})")
    del inverse
    return ", ".join(dict.fromkeys(found)) if len(found) <= 6 else ", ".join(found[:6]) + ", …"


def _pads(node: Node, coords: Coordinates) -> str:
    return ""


def with_validity(reports: tuple[CropReport, ...], sym: Symbolic) -> tuple[CropReport, ...]:
    """The reports, each with the heights and widths for which its window lies inside the cropped blob."""
    found = []
    for report in reports:
        sets = [NSet.all(), NSet.all()]
        bottoms = [sym.shapes.get(b) for b in report.node.bottoms]
        if all(b is not None for b in bottoms) and report.used is not None:
            layer = replace(report.layer, offsets=report.used)
            for condition in layer.conditions(*(b for b in bottoms if b is not None)):
                axis = _condition_axis(condition)
                if axis is not None:
                    sets[axis] = sets[axis] & where(condition)
                elif not condition.holds():
                    sets = [NSet.none(), NSet.none()]
        found.append(replace(report, valid=(sets[0], sets[1])))
    return tuple(found)


def _condition_axis(condition: Condition) -> int | None:
    for side in (condition.left, condition.right):
        if isinstance(side, Size) and side.name:
            return "HW".index(side.name)
    return None


def finding(report: CropReport) -> Diagnostic:
    """A crop that is not simply right, as a diagnostic at its offset."""
    node = report.node
    span = locate(node.message, "crop_param.offset")
    wanted = _numbers(tuple(report.inferred)) if report.inferred else ""
    if report.status == MISMATCH:
        what = f"crop '{node.name}' {report.why}"
        return Diagnostic("crop-offset", what, span, why=report_chain(report), remedy=f"offset: {wanted}")
    if report.status == INFERRED:
        return Diagnostic(
            "crop-undeclared",
            f"crop '{node.name}' declares no offset; alignment gives {wanted}",
            span,
            why="BVLC Caffe would read 0, the forks that wrote such nets aligned by themselves",
            remedy=f"crop_param {{ offset: {wanted} }}",
            severity="warning",
        )
    code = {NONINTEGER: "crop-half-pixel", NEGATIVE: "crop-negative", STRIDE: "crop-stride", UNDEFINED: "crop-undefined"}
    remedy = {
        NONINTEGER: "--round-crops rounds down; or change the kernel of the layer that causes it",
        NEGATIVE: "more pad at the first layer of the cropped blob's path",
        STRIDE: "upsample or pool so that both have one stride",
        UNDEFINED: "--crop-offsets declared takes what the file says",
    }
    fatal = report.used is None
    return Diagnostic(
        code[report.status],
        f"crop '{node.name}': {report.why}",
        span,
        remedy=remedy[report.status],
        severity="error" if fatal else "warning",
    )


def report_chain(report: CropReport) -> str:
    return f"'{report.node.bottoms[0].blob}' is cropped to '{report.node.bottoms[1].blob}'"


def refuse_unresolved(crops: Crops) -> None:
    """Raise NetError for crops that have no usable offset."""
    problems = crops.problems()
    if problems:
        raise NetError(problems)


