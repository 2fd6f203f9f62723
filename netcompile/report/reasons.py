"""The report's reasons in sentences, for the text and for the page."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from netcompile.analysis.crops import CropReport
from netcompile.analysis.proof import Refusal, Slack, Tie
from netcompile.analysis.upsampling import Fibre, Resolution, Upsampling
from netcompile.diagnostics.visible import visible
from netcompile.report.model import Offsets
from netcompile.report.proof_model import Derivation, Step


def place(report: Offsets, line: int) -> str:
    """``net.prototxt:12``."""
    return f"{visible(report.file)}:{line}"


def end_of(chain: Sequence[Step], axis: int, places: bool = True) -> tuple[Fraction, Fraction]:
    """What a chain of layers comes to: (stride, offset) of pixel centres, or (S, P′) of sizes."""
    if not chain:
        return Fraction(1), Fraction(0)
    found = chain[-1].compound[axis]
    return (found.stride, found.offset) if places else found.filter_pair()


def conclusion(derivation: Derivation, axis: int, places: bool = True) -> str:
    """The offset with its numbers put in: ``(0 - (-31)) / 1 = 31``."""
    (s, a), (_, b) = (end_of(chain, axis, places) for chain in (derivation.cropped, derivation.reference))
    return f"({b} - {f'({a})' if a < 0 else a}) / {s} = {(b - a) / s}"


def slack_texts(crop: CropReport, pair: tuple[Slack | None, Slack | None]) -> list[list[str]]:
    """What a crop's window leaves over, along height and width: up to two sentences each; one axis where they agree."""
    name, texts = visible(crop.node.bottoms[0].blob), []
    for slack in pair:
        if slack is None or (slack.axis == 1 and _alike(*pair)):
            continue
        side = ("high", "wide")[slack.axis]
        window = f"the window leaves {slack.before} before it and {slack.after} after it"
        sentences = [f"'{name}' is {slack.cropped} {side}; {window}, {bounds(slack.least, slack.greatest)}"]
        if (s := slack.smallest) is not None:
            split = f"{s.cropped} = {s.before} + {s.reference} + {s.after} (before + window + after)"
            sentences.append(f"at the smallest legal input, {'HW'[slack.axis]} = {s.n}: {split}")
        texts.append(sentences)
    return texts


def _alike(high: Slack | None, wide: Slack | None) -> bool:
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


def upsampling_text(found: Upsampling) -> str:
    """By how much, what it undoes, and whether its kernel can be bilinear."""
    factor = found.factor
    by = str(factor[0]) if factor[0] == factor[1] else f"{factor[0]}, {factor[1]}"
    undone = ", ".join(f"'{visible(node.name)}'" for node in found.undone)
    text = f"by {by}, undoes {undone}" if undone else f"by {by}, undoes no layer on its way"
    if undone and found.left > 1:
        text += f", and {found.left} more"
    kernels = list(dict.fromkeys(map(str, found.kernels)))
    return f"{text}; {'; '.join(kernels)}"


def ambiguity_texts(found: Upsampling) -> list[str]:
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


def _fibre_text(found: Upsampling, fibre: Fibre, variable: str) -> str:
    size = "" if found.sizes is None else f" of {found.sizes['HW'.index(variable)]}"
    if fibre.most == 1:
        return f"its size{size} tells all {variable} apart"
    count = "without limit many" if fibre.most is None else f"up to {fibre.most}"
    example = fibre.members.describe(variable).removeprefix("only ")
    return f"its size{size} is ambiguous: {count} {variable} share one; {example} give {fibre.value}"


def _resolution_text(found: Upsampling, resolution: Resolution) -> str:
    if resolution.node is None:
        return "nothing cuts it: the net's output has that size, whatever the input's was"
    crop, other = visible(resolution.node.name), visible(resolution.other or "")
    if resolution.kind == "reference":
        return f"crop '{crop}' cuts '{other}' to it: the finer blob gives way, and the ambiguity goes on"
    if resolution.resolved:
        return f"crop '{crop}' resolves it: the window takes the size of '{other}', which differs for each input"
    return f"crop '{crop}' cuts it to the size of '{other}', which is ambiguous itself"


def refusal_text(refusal: Refusal, report: Offsets) -> str:
    """Why the extent next to a legal one is not."""
    at = f"'{visible(refusal.layer)}' ({place(report, refusal.line)})"
    return f"{'HW'[refusal.axis]} = {refusal.n} is refused by {at}: {visible(refusal.what)}"


def tie_text(tie: Tie, report: Offsets) -> str:
    """Which layer needs the declared size, and why."""
    at = f"'{visible(tie.node.name)}' ({place(report, tie.node.line)})"
    if tie.by_weights:
        return f"{at} ties the net to its declared size: its weights have the shape that goes with it"
    return f"{at} ties the net to its declared size: its rule needs numbers, other sizes are not proved"
