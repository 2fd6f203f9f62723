"""From an analysed net to the alignment half of its report."""

from __future__ import annotations

from netcompile.algebra.nset import NSet
from netcompile.analyser import Analysed
from netcompile.analysis.coordinates import compose
from netcompile.analysis.crops import CropReport
from netcompile.analysis.proof import refusals, slacks, ties
from netcompile.analysis.shapes import Gap
from netcompile.analysis.streams import fusions
from netcompile.analysis.upsampling import upsamplings
from netcompile.analysis.windows import windows
from netcompile.ir.graph import Node, Value
from netcompile.layers.base import IDENTITY, Axes
from netcompile.report.model import BlobLine, Derivation, Offsets, Proof, ReceptiveField, Step

MOST_STEPS = 2000  # of all derivations together


def offsets_report(analysed: Analysed, prove: bool = True) -> Offsets:
    """Every crop, the coordinates and extents of every blob, and (with `prove`) what holds for all input sizes."""
    return Offsets(
        analysed.name,
        analysed.source.name,
        "train" if analysed.graph.train else "test",
        tuple(entry.value.blob for entry in analysed.graph.inputs),
        analysed.reports,
        blob_lines(analysed),
        net_valid(analysed),
        _proof(analysed) if prove else None,
        _gaps(analysed),
        analysed.symbolic.declared if analysed.symbolic.spatial else None,
    )


def _proof(analysed: Analysed) -> Proof:
    graph, sym, coordinates = analysed.graph, analysed.symbolic, analysed.crops.coordinates
    valid = net_valid(analysed)
    return Proof(
        _derivations(analysed),
        tuple(slacks(report, sym, valid) for report in analysed.reports),
        upsamplings(graph, analysed.shapes, sym, coordinates, valid),
        fusions(graph, coordinates),
        refusals(graph, analysed.shapes, sym, valid),
        ties(sym),
    )


def _gaps(analysed: Analysed) -> tuple[Gap, ...]:
    """The layers that are not followed, each once; none for a net without a plane whose size may vary."""
    if not analysed.symbolic.spatial:
        return ()
    gaps = {id(gap.node): gap for gap in reversed(analysed.legal.gaps)}
    return tuple(reversed(gaps.values()))


def blob_lines(analysed: Analysed) -> tuple[BlobLine, ...]:
    """The final value of every blob, in order of first appearance."""
    return tuple(blob_line(analysed, name, value) for name, value in analysed.graph.blobs.items())


def blob_line(analysed: Analysed, name: str, value: Value, field: ReceptiveField | None = None) -> BlobLine:
    """One value of the blob of this name."""
    symbolic = analysed.symbolic.shapes.get(value)
    return BlobLine(name, analysed.shapes.get(value), symbolic, coordinates_of(analysed, value), field)


def coordinates_of(analysed: Analysed, value: Value) -> Axes | None:
    """A value's map to the net's first input; None where no chain of layers leads its pixels back there."""
    shape = analysed.shapes.get(value)
    frame = analysed.crops.coordinates.frames.get(value)
    if not analysed.graph.inputs or frame is None or shape is None or len(shape) != 4:
        return None
    return frame[1] if frame[0] == analysed.graph.inputs[0].value else None


def net_valid(analysed: Analysed) -> tuple[NSet, NSet] | None:
    """Heights and widths for which the whole net is legal; None where that is not proved for all of them."""
    if not analysed.symbolic.spatial or analysed.legal.gaps:
        return None
    return analysed.valid


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
