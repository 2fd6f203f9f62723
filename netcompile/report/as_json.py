"""The report as JSON; the same net gives the same bytes. The keys are part of the command-line contract."""

from __future__ import annotations

from typing import Any

from netcompile.algebra.nset import NSet
from netcompile.analysis.follow import Unfollowed, both
from netcompile.report.layer_model import Field, LayerLine, Layers
from netcompile.report.model import BlobLine, Maps, Offsets
from netcompile.report.proof_json import derivation_as_json, proof_as_json, rooms_as_json, set_as_json


def offsets_as_json(report: Offsets) -> dict[str, Any]:
    """``{"net", "crops": […], "blobs": {name: …}}``; lists are in axis order, fractions are strings.

    With the proof that belongs to it, if the report has one, under further keys.
    """
    crops = [_crop(report, index) for index in range(len(report.crops))]
    blobs = {blob.name: {**_coordinates(blob.coordinates), "size": _size(blob)} for blob in report.blobs}
    found: dict[str, Any] = {"net": report.net, "crops": crops, "blobs": blobs}
    if report.proof is not None:
        found |= {"version": 1, "file": report.file, "phase": report.phase}
        found |= proof_as_json(report.proof, report.valid, report.gaps)
    return found


def _crop(report: Offsets, index: int) -> dict[str, Any]:
    crop = report.crops[index]
    found = {
        "layer": crop.layer,
        "line": crop.line,
        "bottoms": list(crop.bottoms),
        "axis": crop.axis,
        "declared": None if crop.declared is None else list(crop.declared),
        "inferred": None if crop.inferred is None else [str(v) for v in crop.inferred],
        "used": None if crop.used is None else list(crop.used),
        "status": crop.status,
        "why": crop.why,
        "valid": _both(crop.valid),
    }
    if report.proof is not None:
        found["legal"] = [set_as_json(these, name) for these, name in zip(crop.valid, "HW", strict=True)]
        found["slack"] = rooms_as_json(report.proof.rooms[index])
        found["derivation"] = derivation_as_json(crop.derivation)
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
        "tops": [top.blob for top in layer.tops],
        "blobs": [list(blob) for blob in layer.blobs],
        "shapes": [_list(top.shape) for top in layer.tops],
        "symbolic": [None if top.symbolic is None else [str(dim) for dim in top.symbolic] for top in layer.tops],
        "fields": [_field(top.field) for top in layer.tops],
        "parameters": layer.parameters,
        "macs": layer.macs,
        "activation_bytes": layer.activations,
    }


def _field(field: Field | None) -> dict[str, object] | None:
    if field is None:
        return None
    return {
        "size": list(field.size),
        "stride": [str(v) for v in field.stride],
        "centre": [str(v) for v in field.centre],
    }


def _list(shape: tuple[int, ...] | None) -> list[int] | None:
    return None if shape is None else list(shape)
