"""What a notebook shows of a loaded net: inputs, outputs, crop offsets, legal sizes, cost; HTML of its own.

The facts are plain values beside the module's parameters, so that copies and pickles keep them. They are no part of its
state, and nothing that computes looks at them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from torch import nn

from netcompile.analyser import Analysed
from netcompile.analysis.cost import costs
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.text import count_text, shape_text
from netcompile.emit.module import EmittedModule
from netcompile.files.reading import read_json
from netcompile.report.formatting import crop_sizes_text, exact_text, net_sizes_text, offsets_text
from netcompile.report.offsets import blob_line, offsets_report
from netcompile.report.page import fragment

FACTS = "_netcompile_facts"  # the attribute; no layer's begins with "_"
MOST = 40  # rows of a table; `netcompile offsets` shows all


def with_facts(net: nn.Module, facts: Mapping[str, Any]) -> nn.Module:
    """The same module, which now shows these facts in a notebook."""
    net.__dict__[FACTS] = dict(facts)
    return net


def facts_of(analysed: Analysed, module: EmittedModule) -> dict[str, Any]:
    """Of a net that was compiled: shapes and sizes as texts, multiply-accumulates at the declared size."""
    report = offsets_report(analysed, prove=False)
    outputs = [(name, blob_line(analysed, name, analysed.graph.blobs[name])) for name in module.outputs]
    return {
        "net": analysed.name,
        "file": analysed.source.name,
        "inputs": [(value.blob, shape_text(analysed.shapes[value])) for value in module.inputs],
        "outputs": [(name, exact_text(line.symbolic, line.shape)) for name, line in outputs],
        "crops": [
            (crop.node.name, *map(offsets_text, (crop.declared, crop.inferred, crop.used)), crop.status,
             crop_sizes_text(crop))
            for crop in report.crops
        ],
        "legal": net_sizes_text(report),
        "macs": sum(cost.macs for cost in costs(analysed.graph, analysed.shapes)),
    }  # fmt: skip


def facts_of_build(folder: str, name: str, inputs: Any, outputs: Any) -> dict[str, Any]:
    """Of a build, from what lies in its folder: its offsets.json where that can be read."""
    try:
        report = dict(read_json(os.path.join(folder, "offsets.json")))
        sizes = {str(blob): fields["size"] for blob, fields in report["blobs"].items()}
        crops = [
            (str(crop["layer"]), *(offsets_text(crop[key]) for key in ("declared", "inferred", "used")),
             str(crop["status"]), _legal(crop.get("legal")))
            for crop in report["crops"]
        ]  # fmt: skip
        legal = [f"the whole net is legal for {_legal(report['valid'])}"] if report.get("valid") else []
    except (NetError, OSError, ValueError, KeyError, TypeError, AttributeError):
        sizes, crops, legal = {}, [], []
    return {
        "net": name,
        "file": folder,
        "inputs": [(blob, shape_text(shape)) for blob, shape in inputs],
        "outputs": [(blob, f"…×{shape_text(sizes[blob])}" if sizes.get(blob) else "") for blob in outputs],
        "crops": crops,
        "legal": legal,
        "macs": None,
    }


def _legal(pair: Any) -> str:
    """The sets of heights and of widths, as offsets.json has them, in words."""
    texts = [str(axis["text"]) for axis in pair or ()]
    return "every H, W" if texts == ["every H >= 1", "every W >= 1"] else "; ".join(texts) or "not known"


def html(net: nn.Module) -> str | None:
    """The facts of a net as HTML; None for a module that nobody told them of, such as a part of a net."""
    facts = net.__dict__.get(FACTS)
    if not isinstance(facts, dict):
        return None
    parameters = sum(parameter.numel() for parameter in net.parameters())
    return fragment(
        "module.html",
        facts=facts,
        most=MOST,
        kind=type(net).__name__,
        mode="training" if net.training else "evaluation",
        parameters=count_text(parameters),
        macs=None if facts["macs"] is None else count_text(facts["macs"]),
    )
