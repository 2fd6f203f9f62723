"""The report's reasons as text that can be followed by hand: derivations, slack, what upsampling mixes up."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from netcompile.algebra.volume import Volume
from netcompile.analysis.crops import CropReport
from netcompile.analysis.proof import Slack
from netcompile.analysis.streams import Fusion
from netcompile.diagnostics.visible import visible
from netcompile.layers.base import IDENTITY
from netcompile.report.formatting import crop_sizes_text, net_sizes_text, offsets_text
from netcompile.report.model import Maps, Offsets
from netcompile.report.proof_model import Derivation, Proof, Step
from netcompile.report.reasons import (
    ambiguity_texts,
    conclusion,
    place,
    refusal_text,
    slack_texts,
    tie_text,
    upsampling_text,
)
from netcompile.report.table import table

RULES = """\
How to read this. A layer with kernel K (dilation included), stride S and pad P obeys, for sizes,
    n_in = S·n_out + 2P′   with   P′ = (K - S)/2 - P,
and a deconvolution is the inverse, (1/S, -P′/S). Two layers in a row make (S₁·S₂, S₁·P′₂ + P′₁).
For pixels, the centre of pixel i of its top lies at s·i + p of its bottom, with p = (K - 1)/2 - P; a
deconvolution is the inverse, (1/s, -p/s), and two in a row make (s₁·s₂, s₁·p₂ + p₁). Both say the same:
p = P′ + (S - 1)/2. Layers that move no pixel are left out."""


def explanation_as_text(report: Offsets) -> str:
    """Every crop's derivation and proof, then the deconvolutions and the fusions."""
    proof = report.proof
    assert proof is not None, "the report was made without its proof"
    parts = [f"{visible(report.net)} ({visible(report.file)}, phase {report.phase})", RULES]
    for crop, derivation, pair in zip(report.crops, proof.derivations, proof.slacks, strict=True):
        parts.append(_crop(report, crop, derivation, pair))
    if not report.crops:
        parts.append("no crop layers")
    if proof.upsamplings:
        parts.append(_upsamplings(report, proof))
    if proof.fusions:
        parts.append("\n".join(_fusion(report, fusion) for fusion in proof.fusions))
    if lines := net_sizes_text(report):
        lines += [f"  {refusal_text(refusal, report)}" for refusal in proof.refusals]
        lines += [f"  {tie_text(tie, report)}" for tie in proof.ties]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _crop(
    report: Offsets, crop: CropReport, derivation: Derivation | None, pair: tuple[Slack | None, Slack | None]
) -> str:
    a, b = (visible(bottom.blob) for bottom in crop.node.bottoms[:2])
    starts = f"starting at {offsets_text(crop.used)}" if crop.used is not None else "starting nobody can tell where"
    where = place(report, crop.node.line)
    title = f"{visible(crop.node.name)} cuts '{a}' to the size of '{b}', {starts} ({where})"
    parts = [f"{title}\n{'─' * len(title)}"]
    if crop.why:
        parts.append(f"{crop.status}: {visible(crop.why)}")
    if derivation is not None:
        parts += _derivation(report, derivation, (a, b))
    lines = [f"legal for {crop_sizes_text(crop)}"]
    lines += [f"  {sentence}" for sentences in slack_texts(crop, pair) for sentence in sentences]
    return "\n\n".join([*parts, "\n".join(lines)])


# derivations ---------------------------------------------------------------------------------------------------


def _derivation(report: Offsets, derivation: Derivation, bottoms: tuple[str, str]) -> list[str]:
    steps = (*derivation.cropped, *derivation.reference)
    square = all(step.local[0] == step.local[1] for step in steps)
    parts = []
    for axis in (0,) if square else (0, 1):
        which = "" if square else ("height: ", "width: ")[axis]
        ways = ((derivation.cropped, bottoms[0]), (derivation.reference, bottoms[1]))
        for rows, title, name, letter in ((_by_size, "by sizes", "T", "P′"), (_by_place, "by places", "offset", "p")):
            for chain, end in ways:
                if chain:
                    way = f"'{visible(derivation.ancestor)}' → '{end}'"
                    parts.append(f"{which}{way}, {title}\n{rows(report, chain, axis)}")
            whole = f"({letter} of '{bottoms[1]}' - {letter} of '{bottoms[0]}') / S"
            parts.append(f"{which}{name} = {whole} = {conclusion(derivation, axis, rows is _by_place)}")
    return parts


def _moving(chain: Sequence[Step]) -> list[tuple[Maps, Step]]:
    """The steps that have windows or move pixels, each with the compound maps before it."""
    found, before = [], IDENTITY
    for step in chain:
        if step.windows is not None or step.local != IDENTITY:
            found.append((before, step))
        before = step.compound
    return found


def _by_size(report: Offsets, chain: Sequence[Step], axis: int) -> str:
    header = ("layer", "K", "S", "P", "(S, P′)", "compound S", "compound P′", "size", "unrounded", "where")
    rows = []
    for before, step in _moving(chain):
        stride, offset = step.local[axis].filter_pair()
        s, p = before[axis].filter_pair()
        total, shift = step.compound[axis].filter_pair()
        compound = (f"({stride}, {offset})", total, _product(s, offset, p, shift))
        rows.append((step.layer, *_window(step, axis), *compound, *_size(step, axis), place(report, step.line)))
    return table(header, rows, right=(1, 2, 3, 4, 5, 6), indent="  ")


def _by_place(report: Offsets, chain: Sequence[Step], axis: int) -> str:
    header = ("layer", "(s, p)", "compound s", "compound p", "where")
    rows = []
    for before, step in _moving(chain):
        local, total, earlier = step.local[axis], step.compound[axis], before[axis]
        shift = _product(earlier.stride, local.offset, earlier.offset, total.offset)
        rows.append((step.layer, f"({local.stride}, {local.offset})", total.stride, shift, place(report, step.line)))
    return table(header, rows, right=(1, 2, 3), indent="  ")


def _window(step: Step, axis: int) -> tuple[object, object, object]:
    if step.windows is None:
        return "", "", ""
    window = step.windows[axis]
    return window.extent, window.stride, window.pad


def _size(step: Step, axis: int) -> tuple[str, str]:
    """The blob's extent as a function of the input's, and as published tables write it, without rounding."""
    if step.sizes is None:
        return "", ""
    size = step.sizes[axis]
    if isinstance(size, int | Volume):
        return str(size), ""
    exact, even = str(size), size.when_divisible()
    return exact, even if even is not None and even != exact else ""


def _product(s: Fraction, p: Fraction, before: Fraction, result: Fraction) -> str:
    """``32·3 - 99 = -3``; just the result where there is nothing to reckon."""
    if p == 0 or (before == 0 and s == 1):
        return str(result)
    factor = f"{s}·({p})" if p < 0 or p.denominator != 1 else f"{s}·{p}"
    rest = "" if before == 0 else f" - {-before}" if before < 0 else f" + {before}"
    return f"{factor}{rest} = {result}"


# upsampling and fusions ----------------------------------------------------------------------------------------


def _upsamplings(report: Offsets, proof: Proof) -> str:
    lines = ["what is upsampled"]
    for found in proof.upsamplings:
        lines.append(f"  {visible(found.node.name)} ({place(report, found.node.line)}): {upsampling_text(found)}")
        lines += [f"    {text}" for text in ambiguity_texts(found)]
    return "\n".join(lines)


def _fusion(report: Offsets, fusion: Fusion) -> str:
    parts = []
    for stream in fusion.streams:
        carried = " and ".join(map(str, stream.coarsest))
        come = "" if stream.coarsest == (stream.stride,) else f", from stride {carried}"
        parts.append(f"'{visible(stream.blob)}' (stride {stream.stride}{come})")
    return f"{visible(fusion.node.name)} ({place(report, fusion.node.line)}) fuses {', '.join(parts)}"
