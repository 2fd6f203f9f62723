"""The report as JSON; the same net gives the same bytes. The keys are part of the command-line contract."""

from __future__ import annotations

from typing import Any

from netcompile.algebra.nset import NSet
from netcompile.analysis.follow import Unfollowed, both
from netcompile.analysis.proof import Slack
from netcompile.analysis.streams import Fusion
from netcompile.analysis.upsampling import Fibre, Resolution, Upsampling
from netcompile.report.layer_model import LayerLine, Layers
from netcompile.report.model import BlobLine, Maps, Offsets, ReceptiveField
from netcompile.report.proof_model import Derivation, Proof, Step

LONGEST = 1000  # runs and residues of a set that are written out


def offsets_as_json(report: Offsets) -> dict[str, Any]:
    """``{"net", "crops": […], "blobs": {name: …}}``; lists are in axis order, fractions are strings.

    With the proof that belongs to it, if the report has one, under further keys.
    """
    crops = [_crop(report, index) for index in range(len(report.crops))]
    blobs = {blob.name: {**_coordinates(blob.coordinates), "size": _size(blob)} for blob in report.blobs}
    found: dict[str, Any] = {"net": report.net, "crops": crops, "blobs": blobs}
    if report.proof is not None:
        found |= {"version": 1, "file": report.file, "phase": report.phase}
        found |= _proof(report, report.proof)
    return found


def _crop(report: Offsets, index: int) -> dict[str, Any]:
    crop = report.crops[index]
    found = {
        "layer": crop.node.name,
        "line": crop.node.line,
        "bottoms": [bottom.blob for bottom in crop.node.bottoms[:2]],
        "axis": crop.axis,
        "declared": None if crop.declared is None else list(crop.declared),
        "inferred": None if crop.inferred is None else [str(v) for v in crop.inferred],
        "used": None if crop.used is None else list(crop.used),
        "status": crop.status,
        "why": crop.why,
        "valid": _both(crop.valid),
    }
    if report.proof is not None:
        found["legal"] = _sets(crop.valid)
        found["slack"] = _slacks(report.proof.slacks[index])
        found["derivation"] = _derivation(report.proof.derivations[index])
    return found


def _both(valid: tuple[NSet, NSet]) -> dict[str, object]:
    """Sizes that are legal as height and as width; of those that are not, the first thousand."""
    these = both(*valid)
    if isinstance(these, Unfollowed):
        invalid = sorted({*valid[0].exceptions(1000), *valid[1].exceptions(1000)})[:1000]
        return {"always": False, "from": None, "invalid": invalid}
    return these.to_json()


def _coordinates(maps: Maps | None) -> dict[str, object]:
    if maps is None:
        return {"stride": None, "offset": None}
    return {"stride": [str(m.stride) for m in maps], "offset": [str(m.offset) for m in maps]}


def _size(blob: BlobLine) -> list[str] | None:
    dims = blob.symbolic if blob.symbolic is not None else blob.shape
    return None if dims is None or len(dims) != 4 else [str(dim) for dim in dims[2:]]


def _sets(pair: tuple[NSet, NSet]) -> list[dict[str, Any]]:
    """The sets of heights and of widths."""
    return [_set(these, name) for these, name in zip(pair, "HW", strict=True)]


def _set(these: NSet, variable: str) -> dict[str, Any]:
    """An exact set of input extents: intervals [lo, hi) below `start`, residues modulo `period` from there on.

    `runs` and `residues` are null where they are longer than a thousand; `text` says the set in words.
    """
    long = these.mask.bit_count() > LONGEST
    return {
        "text": these.describe(variable),
        "runs": [list(run) for run in these.runs] if len(these.runs) <= LONGEST else None,
        "start": these.start,
        "period": these.period,
        "residues": None if long else list(these.residues()),
    }


def _derivation(derivation: Derivation | None) -> dict[str, Any] | None:
    """Both ways from the common ancestor, in both forms; `offset` is what they come to, per axis."""
    if derivation is None:
        return None
    return {
        "ancestor": derivation.ancestor,
        "cropped": [_step(step) for step in derivation.cropped],
        "reference": [_step(step) for step in derivation.reference],
    }


def _step(step: Step) -> dict[str, Any]:
    windows = step.windows
    return {
        "blob": step.blob,
        "layer": step.layer,
        "type": step.type,
        "line": step.line,
        "kernel": None if windows is None else [w.extent for w in windows],
        "stride": None if windows is None else [w.stride for w in windows],
        "pad": None if windows is None else [w.pad for w in windows],
        "local": _maps(step.local),
        "compound": _maps(step.compound),
        "size": None if step.sizes is None else [str(size) for size in step.sizes],
    }


def _maps(maps: Maps) -> dict[str, Any]:
    """`stride` and `offset` of pixel centres; `P` is P′ of the size form (S, P′)."""
    return {
        **_coordinates(maps),
        "P": [str(m.filter_pair()[1]) for m in maps],
    }


def _slacks(pair: tuple[Slack | None, Slack | None]) -> list[dict[str, Any] | None]:
    """What a crop leaves over, for height and width."""
    return [None if slack is None else _slack(slack) for slack in pair]


def _slack(slack: Slack) -> dict[str, Any]:
    smallest = slack.smallest
    return {
        "before": slack.before,
        "after": str(slack.after),
        "least": slack.least,
        "greatest": slack.greatest,
        "smallest": None
        if smallest is None
        else {"n": smallest.n, "cropped": smallest.cropped, "window": smallest.reference, "after": smallest.after},
    }


def _proof(report: Offsets, proof: Proof) -> dict[str, Any]:
    """What does not belong to one crop: legal sizes, their borders, deconvolutions, fusions.

    `valid` is null where the net has no plane, or where layers that are not followed (`unproved`) leave open for
    which sizes other than the declared one it is legal.
    """
    return {
        "valid": None if report.valid is None else _sets(report.valid),
        "unproved": [{"layer": gap.node.name, "line": gap.node.line, "why": gap.why} for gap in report.gaps],
        "refusals": [
            {"axis": "HW"[r.axis], "n": r.n, "layer": r.layer, "line": r.line, "what": r.what} for r in proof.refusals
        ],
        "ties": [{"layer": t.node.name, "line": t.node.line, "weights": t.by_weights} for t in proof.ties],
        "deconvolutions": [_upsampling(found) for found in proof.upsamplings],
        "fusions": [_fusion(found) for found in proof.fusions],
    }


def _upsampling(found: Upsampling) -> dict[str, Any]:
    return {
        "layer": found.node.name,
        "line": found.node.line,
        "blob": found.node.tops[0].blob,
        "factor": list(found.factor),
        "kernel": [kernel.size for kernel in found.kernels],
        "bilinear_kernel": [kernel.wanted for kernel in found.kernels],
        "bilinear": all(kernel.exact for kernel in found.kernels),
        "undoes": [node.name for node in found.undone],
        "left": str(found.left),
        "size": None if found.sizes is None else [str(size) for size in found.sizes],
        "fibres": [None if f is None else _fibre(f, name) for f, name in zip(found.fibres, "HW", strict=True)],
        "uses": [_use(use) for use in found.resolutions],
    }


def _use(use: Resolution) -> dict[str, Any]:
    crop = None if use.node is None else use.node.name
    return {"kind": use.kind, "crop": crop, "other": use.other, "resolved": use.resolved}


def _fibre(fibre: Fibre, variable: str) -> dict[str, Any]:
    return {"most": fibre.most, "value": fibre.value, "members": _set(fibre.members, variable)}


def _fusion(found: Fusion) -> dict[str, Any]:
    return {
        "layer": found.node.name,
        "line": found.node.line,
        "streams": [
            {"blob": s.blob, "stride": str(s.stride), "coarsest": [str(v) for v in s.coarsest]} for s in found.streams
        ],
    }


def layers_as_json(report: Layers) -> dict[str, Any]:
    """``{"version", "net", "blobs": {name: {"shape", …}}, "layers": […], "totals": …}``."""
    return {
        "version": 1,
        "net": report.net,
        "phase": report.phase,
        "assumed": list(report.assumed),
        "outputs": list(report.outputs),
        "blobs": {
            blob.name: {
                "shape": _list(blob.shape),
                "symbolic": None if blob.symbolic is None else [str(dim) for dim in blob.symbolic],
                **_coordinates(blob.coordinates),
            }
            for blob in report.blobs
        },
        "layers": [_layer(layer) for layer in report.layers],
        "totals": {
            "parameters": report.parameters,
            "macs": report.macs,
            "activation_bytes": report.activations,
        },
    }


def _layer(layer: LayerLine) -> dict[str, Any]:
    return {
        "name": layer.name,
        "type": layer.type,
        "line": layer.line,
        "bottoms": list(layer.bottoms),
        "tops": [top.name for top in layer.tops],
        "blobs": [list(blob) for blob in layer.blobs],
        "shapes": [_list(top.shape) for top in layer.tops],
        "symbolic": [None if top.symbolic is None else [str(dim) for dim in top.symbolic] for top in layer.tops],
        "fields": [_field(top.field) for top in layer.tops],
        "parameters": layer.parameters,
        "macs": layer.macs,
        "activation_bytes": layer.activations,
    }


def _field(field: ReceptiveField | None) -> dict[str, object] | None:
    if field is None:
        return None
    return {
        "size": list(field.size),
        "stride": [str(v) for v in field.stride],
        "centre": [str(v) for v in field.centre],
    }


def _list(shape: tuple[int, ...] | None) -> list[int] | None:
    return None if shape is None else list(shape)
