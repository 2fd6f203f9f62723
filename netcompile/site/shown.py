"""Findings and layers as the page shows them at their places in the text."""

from __future__ import annotations

from typing import Any

from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.diagnostics.source import Span
from netcompile.diagnostics.text import count_text, shape_text
from netcompile.report.formatting import exact_text, offsets, pair_text, strides
from netcompile.report.layer_model import LayerLine
from netcompile.report.layers import in_file_order
from netcompile.site.fixes import Fix
from netcompile.site.opened import Opened
from netcompile.site.positions import Units


def shown_findings(opened: Opened, mended: dict[Diagnostic, Fix]) -> list[dict[str, Any]]:
    """The findings as `netcompile check --json` has them, each with its place in units of UTF-16, and its fix."""
    return [_finding(each, opened.units, mended.get(each)) for each in opened.findings]


def _finding(finding: Diagnostic, units: Units, fix: Fix | None) -> dict[str, Any]:
    begin, end = _place(finding.span, units)
    return {**finding.to_json(), "from": begin, "to": end, "fix": None if fix is None else _fix(fix, units)}


def _place(span: Span | None, units: Units) -> tuple[int | None, int | None]:
    return (None, None) if span is None else (units.of(span.start), units.of(span.end))


def _fix(fix: Fix, units: Units) -> dict[str, Any]:
    edits = [{"from": units.of(e.start), "to": units.of(e.end), "insert": e.text} for e in dict.fromkeys(fix.edits)]
    return {"title": fix.title, "edits": edits}


def shown_layers(opened: Opened) -> list[dict[str, Any]]:
    """Every layer with its stretch of the text and what is known of its tops."""
    entries = in_file_order(opened.net().graph)
    spans = [(entry[0] if isinstance(entry, tuple) else entry).message.span for entry in entries]
    return [_layer(layer, _place(span, opened.units)) for layer, span in zip(opened.layers.layers, spans, strict=True)]


def _layer(layer: LayerLine, place: tuple[int | None, int | None]) -> dict[str, Any]:
    top = layer.tops[0] if layer.tops else None
    field = top.field if top is not None else None
    maps = top.coordinates if top is not None else None
    spent = [f"{count_text(n)} {what}" for n, what in ((layer.parameters, "parameters"), (layer.macs, "MACs")) if n]
    return {
        "name": layer.name,
        "type": layer.type,
        "from": place[0],
        "to": place[1],
        "line": layer.line,
        "bottoms": list(layer.bottoms),
        "tops": [each.name for each in layer.tops],
        "shapes": [shape_text(each.shape) for each in layer.tops],
        "exact": [exact_text(each.symbolic, each.shape) for each in layer.tops],
        "stride": pair_text(strides(maps)),
        "offset": pair_text(offsets(maps)),
        "receptive_field": pair_text(None if field is None else field.size),
        "note": ", ".join(spent),
    }
