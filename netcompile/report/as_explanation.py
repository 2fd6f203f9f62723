"""The report's reasons as text that can be followed by hand: derivations, slack, what upsampling mixes up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from netcompile.algebra.coords import AxisMap
from netcompile.algebra.volume import Volume
from netcompile.analysis.proof import Refusal, Room
from netcompile.analysis.upsampling import Fibre
from netcompile.diagnostics.diagnostic import visible
from netcompile.layers.base import IDENTITY
from netcompile.report.model import CropLine, Derivation, Offsets, Step
from netcompile.report.proof_model import FusionLine, LayerRef, Proof, ResolutionLine, UpsamplingLine
from netcompile.report.table import table
from netcompile.report.words import crop_sizes_text, net_sizes_text, offsets_text

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
    for crop, pair in zip(report.crops, proof.rooms, strict=True):
        parts.append(_crop(report, crop, pair))
    if not report.crops:
        parts.append("no crop layers")
    if proof.upsamplings:
        parts.append(_upsamplings(report, proof))
    if proof.fusions:
        parts.append("\n".join(_fusion(report, fusion) for fusion in proof.fusions))
    if lines := net_sizes_text(report):
        lines += [f"  {refusal_text(refusal, report)}" for refusal in proof.refusals]
        lines += [f"  {tie_text(ref, weights, report)}" for ref, weights in proof.ties]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _crop(report: Offsets, crop: CropLine, pair: tuple[Room | None, Room | None]) -> str:
    a, b = map(visible, crop.bottoms)
    starts = f"starting at {offsets_text(crop.used)}" if crop.used is not None else "starting nobody can tell where"
    parts = [_headline(f"{visible(crop.layer)} cuts '{a}' to the size of '{b}', {starts} ({_at(report, crop.line)})")]
    if crop.why:
        parts.append(f"{crop.status}: {visible(crop.why)}")
    if crop.derivation is not None:
        parts += _derivation(report, crop.derivation, crop.bottoms)
    parts += _rooms(crop, pair)
    return "\n\n".join(parts)


def _headline(text: str) -> str:
    return f"{text}\n{'─' * len(text)}"


def _at(report: Offsets, line: int) -> str:
    return f"{visible(report.file)}:{line}"


# derivations ---------------------------------------------------------------------------------------------------


def _derivation(report: Offsets, derivation: Derivation, bottoms: tuple[str, str]) -> list[str]:
    steps = (*derivation.cropped, *derivation.reference)
    square = all(step.local[0] == step.local[1] for step in steps)
    parts = []
    for axis in (0,) if square else (0, 1):
        which = "" if square else ("height: ", "width: ")[axis]
        ways = ((derivation.cropped, bottoms[0]), (derivation.reference, bottoms[1]))
        for number, rows in enumerate((_by_size, _by_place)):
            title = ("by sizes", "by places")[number]
            for chain, end in ways:
                if chain:
                    way = f"'{visible(derivation.ancestor)}' → '{visible(end)}'"
                    parts.append(f"{which}{way}, {title}\n{_indent(rows(report, chain, axis))}")
            parts.append(f"{which}{_conclusion(derivation, bottoms, axis, bool(number))}")
    return parts


def _moving(chain: Sequence[Step]) -> list[tuple[AxisPair, Step]]:
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
        exact, even = _size(step, axis)
        rows.append(
            (
                step.layer,
                *_window(step, axis),
                f"({stride}, {offset})",
                total,
                _product(s, offset, p, shift),
                exact,
                even,
                _at(report, step.line),
            )
        )
    return table(header, rows, right=(1, 2, 3, 4, 5, 6))


def _by_place(report: Offsets, chain: Sequence[Step], axis: int) -> str:
    header = ("layer", "(s, p)", "compound s", "compound p", "where")
    rows = []
    for before, step in _moving(chain):
        local, total, earlier = step.local[axis], step.compound[axis], before[axis]
        rows.append(
            (
                step.layer,
                f"({local.stride}, {local.offset})",
                total.stride,
                _product(earlier.stride, local.offset, earlier.offset, total.offset),
                _at(report, step.line),
            )
        )
    return table(header, rows, right=(1, 2, 3))


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


def _conclusion(derivation: Derivation, bottoms: tuple[str, str], axis: int, places: bool) -> str:
    """The last line of either form, with its numbers."""
    (s, a), (_, b) = (_last(chain, axis, places) for chain in (derivation.cropped, derivation.reference))
    name, letter = ("offset", "p") if places else ("T", "P′")
    whole = f"({b} - {f'({a})' if a < 0 else a}) / {s} = {(b - a) / s}"
    return f"{name} = ({letter} of '{visible(bottoms[1])}' - {letter} of '{visible(bottoms[0])}') / S = {whole}"


def _last(chain: Sequence[Step], axis: int, places: bool) -> tuple[Fraction, Fraction]:
    if not chain:
        return Fraction(1), Fraction(0)
    found = chain[-1].compound[axis]
    return (found.stride, found.offset) if places else found.filter_pair()


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.split("\n"))


# proofs --------------------------------------------------------------------------------------------------------


def _rooms(crop: CropLine, pair: tuple[Room | None, Room | None]) -> list[str]:
    lines = [f"legal for {crop_sizes_text(crop)}"]
    for room in pair:
        if room is None or (room.axis == 1 and pair[0] is not None and _alike(*pair)):
            continue
        variable = "HW"[room.axis]
        lines.append(
            f"  '{visible(crop.bottoms[0])}' is {room.cropped} {('high', 'wide')[room.axis]}; the window leaves "
            f"{room.before} before it and {room.after} after it, {bounds(room.least, room.greatest)}"
        )
        if room.smallest is not None:
            s = room.smallest
            split = f"{s.cropped} = {s.before} + {s.reference} + {s.after}"
            lines.append(f"  at the smallest legal input, {variable} = {s.n}: {split} (before + window + after)")
    return ["\n".join(lines)]


def _alike(high: Room | None, wide: Room | None) -> bool:
    """Whether the width's proof is the height's, letter for letter."""
    if high is None or wide is None:
        return False
    if (high.before, high.smallest) != (wide.before, wide.smallest):
        return False
    return str(high.after) == str(wide.after).replace("W", "H")


def bounds(least: int | None, greatest: int | None) -> str:
    """``from 31 to 62``; ``always 5``; ``at least 3``."""
    if least is not None and least == greatest:
        return f"always {least}"
    if least is not None and greatest is not None:
        return f"from {least} to {greatest}"
    if least is not None:
        return f"at least {least}"
    return "with no lower bound" if greatest is None else f"at most {greatest}"


# upsampling and fusions ----------------------------------------------------------------------------------------


def _upsamplings(report: Offsets, proof: Proof) -> str:
    lines = ["what is upsampled"]
    for found in proof.upsamplings:
        lines.append(f"  {visible(found.layer)} ({_at(report, found.line)}): {upsampling_text(found)}")
        lines += [f"    {text}" for text in ambiguity_texts(found)]
    return "\n".join(lines)


def upsampling_text(found: UpsamplingLine) -> str:
    """By how much, what it undoes, and whether its kernel can be bilinear."""
    factor = found.factor
    by = str(factor[0]) if factor[0] == factor[1] else f"{factor[0]}, {factor[1]}"
    undone = _names(layer.layer for layer in found.undone)
    text = f"by {by}, undoes {undone}" if undone else f"by {by}, undoes no layer on its way"
    if undone and found.left > 1:
        text += f", and {found.left} more"
    kernels = list(dict.fromkeys(map(str, found.kernels)))
    return f"{text}; {'; '.join(kernels)}"


def ambiguity_texts(found: UpsamplingLine) -> list[str]:
    """Which input sizes share its output, and what becomes of that."""
    lines = []
    for axis, fibre in enumerate(found.fibres):
        first = found.fibres[0]
        if fibre is None or (axis == 1 and first is not None and _same_fibre(first, fibre)):
            continue
        lines.append(_fibre_text(found, fibre, "HW"[axis]))
    if any(fibre is not None and fibre.most != 1 for fibre in found.fibres):
        lines += [_resolution_text(found, resolution) for resolution in found.resolutions]
    return lines


def _same_fibre(a: Fibre, b: Fibre) -> bool:
    return (a.most, a.value, a.members) == (b.most, b.value, b.members)


def _fibre_text(found: UpsamplingLine, fibre: Fibre, variable: str) -> str:
    size = "" if found.sizes is None else f" of {found.sizes['HW'.index(variable)]}"
    if fibre.most == 1:
        return f"its size{size} tells all {variable} apart"
    count = "without limit many" if fibre.most is None else f"up to {fibre.most}"
    example = fibre.members.describe(variable).removeprefix("only ")
    return f"its size{size} is ambiguous: {count} {variable} share one; {example} give {fibre.value}"


def _resolution_text(found: UpsamplingLine, resolution: ResolutionLine) -> str:
    if resolution.crop is None:
        return "nothing cuts it: the net's output has that size, whatever the input's was"
    crop, other = visible(resolution.crop.layer), visible(resolution.other or "")
    if resolution.kind == "reference":
        return f"crop '{crop}' cuts '{other}' to it: the finer blob gives way, and the ambiguity goes on"
    if resolution.resolved:
        return f"crop '{crop}' resolves it: the window takes the size of '{other}', which differs for each input"
    return f"crop '{crop}' cuts it to the size of '{other}', which is ambiguous itself"


def refusal_text(refusal: Refusal, report: Offsets) -> str:
    """Why the extent next to a legal one is not."""
    at = f"'{visible(refusal.layer)}' ({_at(report, refusal.line)})"
    return f"{'HW'[refusal.axis]} = {refusal.n} is refused by {at}: {visible(refusal.what)}"


def tie_text(ref: LayerRef, weights: bool, report: Offsets) -> str:
    """Which layer needs the declared size, and why."""
    at = f"'{visible(ref.layer)}' ({_at(report, ref.line)})"
    if weights:
        return f"{at} ties the net to its declared size: its weights have the shape that goes with it"
    return f"{at} ties the net to its declared size: its rule needs numbers, other sizes are not proved"


def _fusion(report: Offsets, fusion: FusionLine) -> str:
    parts = []
    for stream in fusion.streams:
        carried = " and ".join(map(str, stream.coarsest))
        come = "" if stream.coarsest == (stream.stride,) else f", from stride {carried}"
        parts.append(f"'{visible(stream.blob)}' (stride {stream.stride}{come})")
    return f"{visible(fusion.layer)} ({_at(report, fusion.line)}) fuses {', '.join(parts)}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"'{visible(name)}'" for name in names)


AxisPair = tuple[AxisMap, AxisMap]
