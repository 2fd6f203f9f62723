"""The proof of the report as JSON: exact, the same bytes for the same net. Fractions and sizes are strings."""

from __future__ import annotations

from typing import Any

from netcompile.algebra.nset import NSet
from netcompile.analysis.proof import Room
from netcompile.analysis.upsampling import Fibre
from netcompile.report.model import Derivation, GapLine, Maps, Step
from netcompile.report.proof_model import FusionLine, Proof, UpsamplingLine

LONGEST = 1000  # runs and residues of a set that are written out


def set_as_json(these: NSet, variable: str) -> dict[str, Any]:
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


def derivation_as_json(derivation: Derivation | None) -> dict[str, Any] | None:
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
        "stride": [str(m.stride) for m in maps],
        "offset": [str(m.offset) for m in maps],
        "P": [str(m.filter_pair()[1]) for m in maps],
    }


def rooms_as_json(pair: tuple[Room | None, Room | None]) -> list[dict[str, Any] | None]:
    """What a crop leaves over, for height and width."""
    return [None if room is None else _room(room) for room in pair]


def _room(room: Room) -> dict[str, Any]:
    smallest = room.smallest
    return {
        "before": room.before,
        "after": str(room.after),
        "least": room.least,
        "greatest": room.greatest,
        "smallest": None
        if smallest is None
        else {"n": smallest.n, "cropped": smallest.cropped, "window": smallest.reference, "after": smallest.after},
    }


def proof_as_json(proof: Proof, valid: tuple[NSet, NSet] | None, gaps: tuple[GapLine, ...]) -> dict[str, Any]:
    """What does not belong to one crop: legal sizes, their borders, deconvolutions, fusions.

    `valid` is null where the net has no plane, or where layers that are not followed (`unproved`) leave open for
    which sizes other than the declared one it is legal.
    """
    return {
        "valid": None if valid is None else [set_as_json(these, name) for these, name in zip(valid, "HW", strict=True)],
        "unproved": [{"layer": gap.layer, "line": gap.line, "why": gap.why} for gap in gaps],
        "refusals": [
            {"axis": "HW"[r.axis], "n": r.n, "layer": r.layer, "line": r.line, "what": r.what} for r in proof.refusals
        ],
        "ties": [{"layer": ref.layer, "line": ref.line, "weights": weights} for ref, weights in proof.ties],
        "deconvolutions": [_upsampling(found) for found in proof.upsamplings],
        "fusions": [_fusion(found) for found in proof.fusions],
    }


def _upsampling(found: UpsamplingLine) -> dict[str, Any]:
    return {
        "layer": found.layer,
        "line": found.line,
        "blob": found.blob,
        "factor": list(found.factor),
        "kernel": [kernel.size for kernel in found.kernels],
        "bilinear_kernel": [kernel.wanted for kernel in found.kernels],
        "bilinear": all(kernel.exact for kernel in found.kernels),
        "undoes": [layer.layer for layer in found.undone],
        "left": str(found.left),
        "size": None if found.sizes is None else [str(size) for size in found.sizes],
        "fibres": [None if f is None else _fibre(f, name) for f, name in zip(found.fibres, "HW", strict=True)],
        "uses": [
            {
                "kind": use.kind,
                "crop": None if use.crop is None else use.crop.layer,
                "other": use.other,
                "resolved": use.resolved,
            }
            for use in found.resolutions
        ],
    }


def _fibre(fibre: Fibre, variable: str) -> dict[str, Any]:
    return {"most": fibre.most, "value": fibre.value, "members": set_as_json(fibre.members, variable)}


def _fusion(found: FusionLine) -> dict[str, Any]:
    return {
        "layer": found.layer,
        "line": found.line,
        "streams": [
            {"blob": s.blob, "stride": str(s.stride), "coarsest": [str(v) for v in s.coarsest]} for s in found.streams
        ],
    }
