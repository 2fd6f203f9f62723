"""The report as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netcompile.diagnostics.text import bytes_text, count_text, listed, shape_text
from netcompile.diagnostics.visible import visible
from netcompile.report.formatting import (
    crop_sizes_text,
    exact_text,
    net_sizes_text,
    offsets,
    offsets_text,
    pair_text,
    strides,
)
from netcompile.report.model import Offsets
from netcompile.report.table import table

if TYPE_CHECKING:
    from netcompile.report.layer_model import Layers

MOST = 16  # bottoms and tops of a layer that its row tells; JSON has all


def offsets_as_text(report: Offsets) -> str:
    """One line per crop: place, what it declares, what alignment needs, what is used, when it is legal."""
    title = f"{visible(report.net)} ({visible(report.file)}, phase {report.phase})"
    if not report.crops:
        body = "no crop layers"
    else:
        header = ("crop", "line", "axis", "declared", "needed", "used", "status", "legal for")
        rows = [
            (
                crop.node.name,
                crop.node.line,
                crop.axis,
                *map(offsets_text, (crop.declared, crop.inferred, crop.used)),
                crop.status,
                crop_sizes_text(crop),
            )
            for crop in report.crops
        ]
        body = table(header, rows, right=(1, 2, 3, 4, 5))
    if lines := net_sizes_text(report):
        body += "\n\n" + "\n".join(lines)
    return f"{title}\n\n{body}\n"


def layers_as_text(report: Layers) -> str:
    """One line per layer, and totals."""
    header = ["layer", "type", "bottoms → tops", "shape"]
    if report.numeric:
        header.append("numbers")
    header += ["parameters", "MACs", "activations", "field", "centre", "stride", "offset"]
    rows = []
    for layer in report.layers:
        top = layer.tops[0] if layer.tops else None
        arrow = f"{listed(layer.bottoms, MOST)} → {listed((t.name for t in layer.tops), MOST)}".strip()
        row: list[object] = [layer.name, layer.type, arrow]
        tops = layer.tops[:MOST]
        row.append("; ".join(exact_text(t.symbolic, t.shape) for t in tops))
        if report.numeric:
            row.append("; ".join(shape_text(t.shape) for t in tops))
        row += [
            count_text(layer.parameters) if layer.parameters else "",
            count_text(layer.macs) if layer.macs else "",
            bytes_text(layer.activations) if layer.activations else "",
        ]
        field = top.field if top is not None else None
        row.append(pair_text(None if field is None else field.size))
        row.append(pair_text(None if field is None else field.centre))
        row.append(pair_text(strides(top.coordinates) if top is not None else None))
        row.append(pair_text(offsets(top.coordinates) if top is not None else None))
        rows.append(row)
    first = len(header) - 7
    body = table(header, rows, right=range(first, len(header)))
    totals = (
        f"{len(report.layers)} layers, {report.parameters:,} parameters, {count_text(report.macs)} MACs, "
        f"{bytes_text(report.activations)} of activations (float32)"
    )
    if report.assumed:
        totals += f", with assumed shapes for {', '.join(map(visible, report.assumed))}"
    outputs = f"outputs: {', '.join(map(visible, report.outputs)) or 'none'}"
    title = f"{visible(report.net)} ({visible(report.file)}, phase {report.phase})"
    return f"{title}\n\n{body}\n\n{totals}\n{outputs}\n"
