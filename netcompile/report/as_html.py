"""The report as one self-contained HTML page: no network, everything escaped, one script and one style, let in by hash.

The tables are in the page as such; the script draws what follows the input's size: see `page_data` for what it reads.
"""

from __future__ import annotations

import json
import os
from base64 import b64encode
from fractions import Fraction
from hashlib import sha256
from typing import Any

from markupsafe import Markup

from netcompile.algebra.nset import NSet
from netcompile.analysis.proof import Room
from netcompile.diagnostics.diagnostic import NetError
from netcompile.emit.module import Module
from netcompile.pipeline import Analysed, compile_net
from netcompile.report.as_explanation import ambiguity_texts, bounds, refusal_text, upsampling_text
from netcompile.report.layer_model import Report
from netcompile.report.model import CropLine, Derivation, Maps, Offsets, Step
from netcompile.report.page_data import page_data
from netcompile.report.words import (
    bytes_text,
    count_text,
    crop_sizes_text,
    exact_text,
    offsets,
    offsets_text,
    pair_text,
    shape_text,
    sizes_text,
    strides,
    unproved_text,
)
from netcompile.version import __version__

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates")
STYLES = ("page.css", "report.css")
SCRIPTS = (
    "values",
    "dom",
    "state",
    "controls",
    "rail",
    "lens",
    "alignment",
    "strip",
    "groups",
    "layout",
    "graph",
    "travel",
    "details",
    "sources",
    "table",
    "start",
)
MEANING = {
    "ok": "starts where alignment needs it to",
    "inferred": "declares nothing; the offset is computed",
    "mismatch": "does not start where alignment needs it to",
    "noninteger": "no whole number of pixels aligns the two",
    "negative": "would have to start before the first pixel",
    "stride-mismatch": "the two blobs have different strides",
    "undefined": "the two blobs have no common ancestor with pixels",
}
SIGNS = {
    "ok": "✓",
    "inferred": "✓",
    "undefined": "–",
}  # a sign beside the colour, for those who do not see it


def html_report(analysed: Analysed, report: Report, module: Module | None = None) -> str:
    """The page of a net. Without `module` the net is compiled here; where that is refused, the page says why."""

    refused = ""
    if module is None:
        try:
            module = compile_net(analysed)
        except NetError as error:
            first, *rest = error.diagnostics
            refused = first.what + (f" (and {len(rest)} more)" if rest else "")
    return page(analysed, report, module, refused)


def page(analysed: Analysed, report: Report, module: Module | None, refused: str = "") -> str:
    """The page, the same text for the same net. Its policy lets in its style and its script by hash, nothing else."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        pair=pair_text,
        values=offsets_text,
        sizes=sizes_text,
        net_sizes=_net_sizes,
        crop_sizes=crop_sizes_text,
        shape=shape_text,
        count=count_text,
        bytes=bytes_text,
    )
    style = "".join(_text(name) for name in STYLES)
    script = page_script()
    costs = [(layer.parameters, layer.macs, layer.activations) for layer in report.layers.layers]
    text = environment.get_template("page.html").render(
        offsets=report.offsets,
        layers=report.layers,
        largest=[max(column) for column in zip(*costs, strict=True)] if costs else [0, 0, 0],
        verdict=verdict(report.offsets),
        is_always=is_always,
        is_still=is_still,
        always=sum(is_always(crop.valid) for crop in report.offsets.crops),
        refused=refused,
        proof=proof_texts(report.offsets),
        style=Markup(style),  # our own file, not a user's text
        script=Markup(script),
        data=Markup(script_safe(page_data(analysed, report, module))),
        policy=policy(style, script),
        meaning=MEANING,
        signs=SIGNS,
        exact=exact_text,
        strides=strides,
        offset_of=offsets,
        filter_pairs=filter_pairs,
        conclusion=conclusion,
        tool=__version__,
    )
    return text.encode("utf-8", "backslashreplace").decode("utf-8") + "\n"


def policy(style: str, script: str) -> str:
    """A Content-Security-Policy for just this style and this script; strings never become markup in it."""
    return (
        f"default-src 'none'; style-src 'sha256-{_digest(style)}'; script-src 'sha256-{_digest(script)}'; "
        "require-trusted-types-for 'script'; base-uri 'none'; form-action 'none'"
    )


def page_script() -> str:
    """The script in one piece; it reads its data from the element `data`."""
    parts = ["\"use strict\";\n(() => {\nconst DATA = JSON.parse(document.getElementById('data').textContent);\n"]
    parts += [_text(os.path.join("script", f"{name}.js")) for name in SCRIPTS]
    return "".join([*parts, "})();\n"])


def script_safe(value: Any) -> str:
    """JSON that holds nothing that could end a script element or begin another."""

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _net_sizes(offsets: Offsets) -> str:
    """For which sizes the net is legal, in one line."""
    return unproved_text(offsets) if offsets.gaps else sizes_text(offsets.valid)


def verdict(report: Offsets) -> tuple[str, str]:
    """What the crops come to: a status and a sentence."""
    count = len(report.crops)
    if not count:
        return "none", "No crops: nothing has to be aligned."
    wrong = [crop for crop in report.crops if crop.status not in ("ok", "inferred")]
    if wrong:
        names = ", ".join(f"{crop.layer} (line {crop.line})" for crop in wrong[:4]) + (", …" if len(wrong) > 4 else "")
        return "mismatch", f"{len(wrong)} of {count} crops {'is' if len(wrong) == 1 else 'are'} not aligned: {names}."
    inferred = sum(crop.status == "inferred" for crop in report.crops)
    undeclared = f", {inferred} of them" if 0 < inferred < count else ","
    undeclared = f"{undeclared} by an offset that the file does not declare" if inferred else ""
    if count == 1:
        return "ok", f"The crop starts where alignment needs it to{undeclared}."
    return "ok", f"All {count} crops start where alignment needs them to{undeclared}."


def proof_texts(report: Offsets) -> dict[str, Any]:
    """What is proved for all sizes, in sentences: per crop, per upsampling, and at the edges of what is legal."""

    proof = report.proof
    if proof is None:
        return {"rooms": [()] * len(report.crops), "upsamplings": (), "refusals": ()}
    return {
        "rooms": [room_texts(crop, pair) for crop, pair in zip(report.crops, proof.rooms, strict=True)],
        "upsamplings": [
            (line.layer, line.line, upsampling_text(line), ambiguity_texts(line)) for line in proof.upsamplings
        ],
        "refusals": [refusal_text(refusal, report) for refusal in proof.refusals],
    }


def room_texts(crop: CropLine, pair: tuple[Room | None, Room | None]) -> list[str]:
    """What a crop's window leaves over, for every height and width; one sentence where they are alike."""

    texts = []
    for room in pair:
        if room is None:
            continue
        extent = ("high", "wide")[room.axis]
        text = (
            f"{crop.bottoms[0]} is {room.cropped} {extent}; the window leaves {room.before} before it and {room.after} "
            f"after it, {bounds(room.least, room.greatest)}."
        )
        if room.smallest is not None:
            least = room.smallest
            text += (
                f" At the smallest legal input, {'HW'[room.axis]} = {least.n}: "
                f"{least.cropped} = {least.before} + {least.reference} + {least.after}."
            )
        texts.append(text)
    if len(texts) == 2 and texts[1].replace("W", "H").replace(" wide;", " high;") == texts[0].replace("W", "H"):
        return [f"{texts[0]} Its width likewise."]
    return texts


def is_always(valid: tuple[NSet, NSet]) -> bool:
    return all(numbers.is_all for numbers in valid)


def is_still(step: Step) -> bool:
    """Whether a layer neither has a window nor moves a pixel: a derivation can do without it."""
    return step.windows is None and all(m.stride == 1 and m.offset == 0 for m in step.local)


def filter_pairs(maps: Maps) -> str:
    """The size form (S, P′) of a map: H_in = S · H_out + 2P′."""
    pairs = ["({}, {})".format(*m.filter_pair()) for m in maps]
    return pairs[0] if pairs[0] == pairs[1] else ", ".join(pairs)


def conclusion(derivation: Derivation) -> str:
    """The last line of a derivation, with its numbers put in, per axis if they differ."""
    lines = []
    for axis in (0, 1):
        a, b = (_last(steps, axis) for steps in (derivation.cropped, derivation.reference))
        need = (b[1] - a[1]) / a[0]
        lines.append(f"({b[1]} − {_signed(a[1])}) / {a[0]} = {need}")
    return lines[0] if lines[0] == lines[1] else f"H: {lines[0]}; W: {lines[1]}"


def _last(steps: Any, axis: int) -> tuple[Any, Any]:

    if not steps:
        return Fraction(1), Fraction(0)
    return steps[-1].compound[axis].stride, steps[-1].compound[axis].offset


def _signed(value: Any) -> str:
    return f"({value})" if value < 0 else str(value)


def _digest(text: str) -> str:

    return b64encode(sha256(text.encode()).digest()).decode()


def _text(name: str) -> str:
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return file.read()
