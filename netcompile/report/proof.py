"""From an analysed net to the proof of its report."""

from __future__ import annotations

from netcompile.algebra.nset import NSet
from netcompile.analysis.proof import refusals, rooms, ties
from netcompile.analysis.streams import fusions
from netcompile.analysis.upsampling import CUT, Resolution, Upsampling, upsamplings
from netcompile.ir.graph import Node
from netcompile.pipeline import Analysed
from netcompile.report.proof_model import FusionLine, LayerRef, Proof, ResolutionLine, UpsamplingLine


def proof(analysed: Analysed, valid: tuple[NSet, NSet] | None) -> Proof:
    """`valid`: the heights and widths for which the whole net is legal, None where nobody can say."""

    graph, sym, coordinates = analysed.graph, analysed.symbolic, analysed.crops.coordinates
    return Proof(
        tuple(rooms(report, sym, valid) for report in analysed.reports),
        tuple(_upsampling(u) for u in upsamplings(graph, analysed.shapes, sym, coordinates, valid)),
        tuple(FusionLine(f.node.name, f.node.line, f.streams) for f in fusions(graph, coordinates)),
        refusals(graph, analysed.shapes, sym, valid),
        tuple((_ref(tie.node), tie.by_weights) for tie in ties(sym)),
    )


def _upsampling(found: Upsampling) -> UpsamplingLine:
    node = found.node
    return UpsamplingLine(
        node.name,
        node.line,
        node.tops[0].blob,
        found.factor,
        found.kernels,
        tuple(_ref(layer) for layer in found.undone),
        found.left,
        found.sizes,
        found.fibres,
        tuple(_resolution(resolution) for resolution in found.resolutions),
    )


def _resolution(found: Resolution) -> ResolutionLine:

    if found.node is None:
        return ResolutionLine(found.kind, None, None, found.resolved)
    other = found.node.bottoms[1 if found.kind == CUT else 0]
    return ResolutionLine(found.kind, _ref(found.node), other.blob, found.resolved)


def _ref(node: Node) -> LayerRef:
    return LayerRef(node.name, node.line)
