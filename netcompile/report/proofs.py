"""From an analysed net to the proof in its report: why each crop starts where it does, and what holds for all sizes."""

from __future__ import annotations

from netcompile.algebra.nset import NSet
from netcompile.analyser import Analysed
from netcompile.analysis.coordinates import compose
from netcompile.analysis.crops import CropReport
from netcompile.analysis.proof import refusals, slacks, ties
from netcompile.analysis.streams import fusions
from netcompile.analysis.upsampling import upsamplings
from netcompile.analysis.windows import windows
from netcompile.ir.graph import Node, Value
from netcompile.layers.base import IDENTITY, Axes
from netcompile.report.proof_model import Derivation, Proof, Step

MOST_STEPS = 2000  # of all derivations together


def proof_of(analysed: Analysed, valid: tuple[NSet, NSet] | None) -> Proof:
    """The proof of a net that is legal for these heights and widths, None where that is not proved."""
    graph, sym, coordinates = analysed.graph, analysed.symbolic, analysed.crops.coordinates
    return Proof(
        _derivations(analysed),
        tuple(slacks(report, sym, valid) for report in analysed.reports),
        upsamplings(graph, analysed.shapes, sym, coordinates, valid),
        fusions(graph, coordinates),
        refusals(graph, analysed.shapes, sym, valid),
        ties(sym),
    )


def _derivations(analysed: Analysed) -> tuple[Derivation | None, ...]:
    """One for each crop, as long as they have not more than `MOST_STEPS` steps together: ways may share layers, and
    all of them may be as long as the net.
    """
    producers, left = analysed.graph.producers(), MOST_STEPS
    found: list[Derivation | None] = []
    for report in analysed.reports:
        derivation = _derivation(analysed, report, producers) if left > 0 else None
        left -= 0 if derivation is None else len(derivation.cropped) + len(derivation.reference)
        found.append(derivation)
    return tuple(found)


def _derivation(analysed: Analysed, report: CropReport, producers: dict[Value, Node]) -> Derivation | None:
    if report.inferred is None:
        return None
    ancestor, cropped, reference = analysed.crops.coordinates.ways(report.node.bottoms[0], report.node.bottoms[1])
    return Derivation(ancestor.blob, _steps(analysed, cropped, producers), _steps(analysed, reference, producers))


def _steps(analysed: Analysed, chain: list[tuple[Value, Axes]], producers: dict[Value, Node]) -> tuple[Step, ...]:
    total, steps = IDENTITY, []
    for value, axes in chain:
        total = compose(total, axes)
        node = producers[value]
        shape = analysed.symbolic.shapes.get(value) or analysed.shapes.get(value)
        sizes = None if shape is None or len(shape) != 4 else tuple(shape[2:])
        found = windows(node, analysed.shapes)
        steps.append(Step(value.blob, node.name, node.line, axes, total, node.type, found, sizes))
    return tuple(steps)
