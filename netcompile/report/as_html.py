"""The report as one self-contained HTML page: no network, everything escaped, one script and one style, let in by hash.

The tables are in the page as such; the script draws what follows the input's size: see `page_data` for what it reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from netcompile.algebra.nset import NSet
from netcompile.analyser import Analysed
from netcompile.analysis.crops import CropReport
from netcompile.analysis.proof import Slack
from netcompile.compiler import compile_net
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.text import bytes_text, count_text, listed, short_path
from netcompile.diagnostics.visible import is_visible, visible, visible_json, visible_text
from netcompile.emit.module import EmittedModule
from netcompile.passes.base import Skipped
from netcompile.report.formatting import (
    crop_sizes_text,
    offsets,
    offsets_text,
    pair_text,
    sizes_text,
    strides,
    unproved_text,
)
from netcompile.report.layer_model import Report
from netcompile.report.layer_table import layer_rows
from netcompile.report.model import Maps, Offsets
from netcompile.report.page import hash_source, page, read
from netcompile.report.page_data import page_data
from netcompile.report.proof_model import Derivation, Step
from netcompile.report.reasons import ambiguity_texts, conclusion, refusal_text, slack_texts, upsampling_text

PARTS = ("alignment", "graph", "layers")
MOST_LAYERS = 2000  # that a page shows: a browser draws no more in a time that a person waits
STYLES = ("page.css", "report.css")
SCRIPTS = (
    "values dom state controls rail lens alignment strip groups folds layout graph labels minimap travel details "
    "sources table start"
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
SIGNS = {"ok": "✓", "inferred": "✓", "undefined": "–"}  # beside the colour, for those who do not see it


def _net_sizes(offsets: Offsets) -> str:
    """For which sizes the net is legal, in one line."""
    return unproved_text(offsets) if offsets.gaps else sizes_text(offsets.valid)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "pair": pair_text,
    "values": offsets_text,
    "sizes": sizes_text,
    "net_sizes": _net_sizes,
    "crop_sizes": crop_sizes_text,
    "count": count_text,
    "bytes": bytes_text,
}


def html_report(
    analysed: Analysed,
    report: Report,
    module: EmittedModule | None = None,
    skipped: Sequence[Skipped] = (),
    part: str = "",
) -> str:
    """The page of a net, the same text for the same net; `report` has its proof.

    Without `module` the net is compiled here; where that is refused, the page says why. `skipped` are the sites at
    which optimisations of the module did not apply. Of `PARTS`, `part` is the one that is shown: the page has nothing
    that it can do without. It needs a proof for "alignment" alone, and a module for "graph".
    """
    refused = ""
    report, note = bounded(replace(report, offsets=replace(report.offsets, file=short_path(report.offsets.file))))
    if module is None and part in ("", "graph"):
        try:
            module = compile_net(analysed, style=None)
        except NetError as error:
            first, *rest = error.diagnostics
            refused = first.what + (f" (and {len(rest)} more)" if rest else "")
    script = page_script()
    return page(
        "report.html",
        STYLES,
        f"script-src {hash_source(script)}; require-trusted-types-for 'script'",  # no string becomes markup in it
        FILTERS,
        offsets=report.offsets,
        layers=report.layers,
        part=part,
        rows=layer_rows(report.layers) if part in ("", "layers") else "",
        verdict=verdict(report.offsets),
        is_always=is_always,
        is_still=is_still,
        always=sum(is_always(crop.valid) for crop in report.offsets.crops),
        refused=refused,
        note=note,
        skipped=skipped[:MOST_LAYERS],
        proof=proof_texts(report.offsets),
        script=Markup(script),  # our own file, not a user's text
        data=Markup(script_safe(_legible(page_data(analysed, report, module, sources=not part)))),
        meaning=MEANING,
        signs=SIGNS,
        strides=strides,
        offset_of=offsets,
        filter_pairs=filter_pairs,
        conclusion=conclusions,
    )


def bounded(report: Report) -> tuple[Report, str]:
    """What the page shows of a net with very many layers: the first of them, and a sentence that says so."""
    layers, offsets = report.layers.layers, report.offsets
    count = len(layers) + report.layers.left_out
    if count <= MOST_LAYERS:
        return report, ""
    shown = {(line.name, line.line) for line in layers[:MOST_LAYERS]}
    kept = next(
        (i for i, crop in enumerate(offsets.crops) if (crop.node.name, crop.node.line) not in shown), len(offsets.crops)
    )
    proof = offsets.proof
    if proof is not None:
        proof = replace(
            proof,
            derivations=proof.derivations[:kept],
            slacks=proof.slacks[:kept],
            upsamplings=proof.upsamplings[:MOST_LAYERS],
            refusals=proof.refusals[:MOST_LAYERS],
        )
    offsets = replace(offsets, crops=offsets.crops[:kept], proof=proof, gaps=offsets.gaps[:MOST_LAYERS])
    note = f"The net has {count:,} layers. This page shows the first {MOST_LAYERS:,}; netcompile inspect has all."
    return Report(offsets, replace(report.layers, layers=layers[:MOST_LAYERS])), note


def page_script() -> str:
    """The script in one piece; it reads its data from the element `data`."""
    start = "\"use strict\";\n(() => {\nconst DATA = JSON.parse(document.getElementById('data').textContent);\n"
    return start + read(*(f"script/{name}.js" for name in SCRIPTS.split())) + "})();\n"


def script_safe(value: Any) -> str:
    """JSON that holds nothing that could end a script element or begin another."""
    text = visible_json(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _legible(data: dict[str, Any]) -> dict[str, Any]:
    """The page's data with every text as the page shows it; the two sources keep their lines."""
    sources = {key: data[key] and visible_text(data[key]) for key in ("source", "module")}
    rest = {key: value for key, value in data.items() if key not in sources}
    text = json.dumps(rest, ensure_ascii=False)
    if not is_visible(text) or "\\" in text:  # most nets have nothing that would have to be found value by value
        rest = _visible_values(rest)
    return rest | sources


def _visible_values(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {key: _visible_values(one) for key, one in value.items()}
    return [_visible_values(one) for one in value] if isinstance(value, (list, tuple)) else value


def verdict(report: Offsets) -> tuple[str, str]:
    """What the crops come to: a status and a sentence."""
    count = len(report.crops)
    if not count:
        return "none", "No crops: nothing has to be aligned."
    wrong = [crop for crop in report.crops if crop.status not in ("ok", "inferred")]
    if wrong:
        names = listed((f"{crop.node.name} (line {crop.node.line})" for crop in wrong), 4)
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
        return {"derivations": [], "upsamplings": [], "refusals": []}
    crops = zip(report.crops, proof.derivations, proof.slacks, strict=True)
    return {
        "derivations": [
            (index, crop, derivation, _paragraphs(crop, pair))
            for index, (crop, derivation, pair) in enumerate(crops)
            if derivation is not None
        ],
        "upsamplings": [
            (found.node.name, found.node.line, upsampling_text(found), ambiguity_texts(found))
            for found in proof.upsamplings
        ],
        "refusals": [refusal_text(refusal, report) for refusal in proof.refusals],
    }


def _paragraphs(crop: CropReport, pair: tuple[Slack | None, Slack | None]) -> list[str]:
    """What a crop's window leaves over, a paragraph an axis; one that says so where they are alike."""
    texts = [" ".join(f"{text[0].upper()}{text[1:]}." for text in sentences) for sentences in slack_texts(crop, pair)]
    return [f"{texts[0]} Its width likewise."] if len(texts) == 1 and None not in pair else texts


def is_always(valid: tuple[NSet, NSet]) -> bool:
    return all(numbers.is_all for numbers in valid)


def is_still(step: Step) -> bool:
    """Whether a layer neither has a window nor moves a pixel: a derivation can do without it."""
    return step.windows is None and all(m.stride == 1 and m.offset == 0 for m in step.local)


def filter_pairs(maps: Maps) -> str:
    """The size form (S, P′) of a map: H_in = S · H_out + 2P′."""
    pairs = ["({}, {})".format(*m.filter_pair()) for m in maps]
    return pairs[0] if pairs[0] == pairs[1] else ", ".join(pairs)


def conclusions(derivation: Derivation) -> str:
    """The last line of a derivation, with its numbers put in, per axis if they differ."""
    high, wide = (conclusion(derivation, axis) for axis in (0, 1))
    return high if high == wide else f"H: {high}; W: {wide}"
