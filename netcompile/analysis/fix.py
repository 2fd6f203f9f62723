"""Write the offsets that alignment needs into a net's text, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netcompile.analysis.crops import INFERRED, MISMATCH, CropReport
from netcompile.analysis.edits import Edit, Unwritable, edited, offset_edits
from netcompile.diagnostics.source import Source
from netcompile.ir.graph import Graph, Node
from netcompile.layers.crop import Crop


@dataclass(frozen=True, slots=True)
class Fixed:
    """The new text, the crops whose offsets it sets, and those that it cannot set, with the reason."""

    source: Source
    edits: tuple[Edit, ...]
    done: tuple[CropReport, ...]
    left: tuple[tuple[CropReport, str], ...]


def wanted(report: CropReport) -> tuple[int, ...] | None:
    """The offsets that a crop should declare, one for each cropped axis; None where none can be right."""
    if report.inferred is None or report.status not in (MISMATCH, INFERRED):
        return None
    if any(value.denominator != 1 or value < 0 for value in report.inferred):
        return None
    rank = max(4 - report.axis, len(report.inferred))
    leading = (report.declared or (0,) * rank)[: rank - len(report.inferred)]
    offsets = (*leading, *(int(value) for value in report.inferred))
    return None if offsets == report.declared else offsets


def fix(source: Source, reports: Sequence[CropReport]) -> Fixed:
    """Every misaligned or undeclared crop with a whole offset declares it."""
    edits: list[Edit] = []
    done, left = [], []
    for report in reports:
        offsets = wanted(report)
        if offsets is None:
            if report.status == MISMATCH:
                left.append((report, "no offset of the cropped axes is right"))
            continue
        try:
            edits += offset_edits(report.node, source, offsets)
        except Unwritable as why:
            left.append((report, str(why)))
        else:
            done.append(report)
    return Fixed(edited(source, edits), tuple(edits), tuple(done), tuple(left))


def same_but_crops(a: Graph, b: Graph) -> bool:
    """Whether two nets differ in nothing but the offsets of their crops."""
    return a.outputs == b.outputs and list(map(_without_offsets, a.nodes)) == list(map(_without_offsets, b.nodes))


def _without_offsets(node: Node) -> tuple[object, ...]:
    layer = node.layer
    return node.name, node.bottoms, node.tops, (Crop, layer.axis) if isinstance(layer, Crop) else layer
