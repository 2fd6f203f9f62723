"""From an analysed net to the alignment half of its report."""

from __future__ import annotations

from netcompile.algebra.nset import NSet
from netcompile.analyser import Analysed
from netcompile.analysis.symbolic import Gap
from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.ir.graph import Value
from netcompile.layers.base import Axes
from netcompile.report.model import BlobLine, Offsets, ReceptiveField


def offsets_report(analysed: Analysed, prove: bool = True) -> Offsets:
    """Every crop, the coordinates and extents of every blob, and (with `prove`) what holds for all input sizes."""
    valid, proof = net_valid(analysed), None
    if prove:
        from netcompile.report.proofs import proof_of  # half of the analyses, for those who ask for a proof

        proof = proof_of(analysed, valid)
    return Offsets(
        analysed.name,
        analysed.source.name,
        "train" if analysed.graph.train else "test",
        tuple(entry.value.blob for entry in analysed.graph.inputs),
        analysed.reports,
        blob_lines(analysed),
        valid,
        proof,
        _gaps(analysed),
        analysed.symbolic.declared if analysed.symbolic.spatial else None,
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


def refusals(analysed: Analysed) -> list[Diagnostic]:
    """Why the net is refused, without what the offsets of a misaligned crop cause: that is a finding."""
    wrong = [report.node.message.span for report in analysed.reports if report.status not in ("ok", "undefined")]
    return [
        problem
        for problem in analysed.problems
        if not problem.code.startswith("crop-")
        or problem.span is None
        or not any(span.start <= problem.span.start < span.end for span in wrong)
    ]
