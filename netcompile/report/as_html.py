"""The report as one self-contained HTML page: no network, no script, a strict policy, everything escaped."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from netcompile.report.words import (
    count_text,
    exact_text,
    offsets,
    offsets_text,
    pair_text,
    shape_text,
    sizes_text,
    strides,
)

if TYPE_CHECKING:
    from netcompile.report.layer_model import Report
    from netcompile.report.model import Derivation, Maps

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates")
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


def page(report: Report) -> str:
    """The page, the same text for the same report. Its policy lets in the style by hash, and nothing else."""
    from base64 import b64encode
    from hashlib import sha256

    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    from netcompile import __version__

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
        shape=shape_text,
        count=count_text,
    )
    with open(os.path.join(FOLDER, "page.css"), encoding="utf-8") as file:
        style = file.read()
    digest = b64encode(sha256(style.encode()).digest()).decode()
    template = environment.get_template("page.html")
    text = template.render(
        offsets=report.offsets,
        layers=report.layers,
        style=Markup(style),  # our own file, not a user's text
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
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
    from fractions import Fraction

    if not steps:
        return Fraction(1), Fraction(0)
    return steps[-1].compound[axis].stride, steps[-1].compound[axis].offset


def _signed(value: Any) -> str:
    return f"({value})" if value < 0 else str(value)
