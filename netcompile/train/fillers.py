"""Caffe's fillers: how a blob is drawn before training (include/caffe/filler.hpp of BVLC's master, 2018).

Distributions are Caffe's, the random numbers are torch's: the same seed gives other values than in Caffe. The bilinear
one differs from that of the release 1.0 (see `analysis.bilinear`).
"""

from __future__ import annotations

from math import prod, sqrt

import torch
from torch import Generator, Tensor

from netcompile.analysis.bilinear import bilinear
from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.diagnostics.nearest import did_you_mean, nearest
from netcompile.layers.params import FILLERS, filler_mistake
from netcompile.prototxt.message import Message


def problem(filler: Message | None, shape: tuple[int, ...], layer: str) -> Diagnostic | None:
    """Why a filler cannot fill a blob of this shape; None if it can, or if there is none."""
    if filler is None:
        return None
    kind, at, remedy = str(filler.get("type")), "type", ""
    if kind not in FILLERS:
        what, why = f"unknown filler '{kind}' in layer '{layer}'", f"Caffe has {', '.join(FILLERS)}"
        remedy = did_you_mean(nearest(kind, FILLERS))
    elif (mistake := filler_mistake(filler, shape)) is not None:
        at, what, why = mistake
        what = f"{what} in layer '{layer}'"
    else:
        return None
    span = filler.span_of(at) if filler.has(at) else filler.span
    return Diagnostic("filler", what, span, why, remedy)


def fan(shape: tuple[int, ...], norm: str) -> float:
    """The n of xavier and msra: fan in, fan out, or their mean.

    >>> fan((6, 3, 5, 5), "FAN_IN"), fan((6, 3, 5, 5), "FAN_OUT"), fan((6, 3, 5, 5), "AVERAGE")
    (75.0, 150.0, 112.5)
    """
    count = prod(shape)
    fan_in = count // shape[0] if shape else count
    fan_out = count // shape[1] if len(shape) > 1 else count
    return {"FAN_IN": fan_in / 1, "FAN_OUT": fan_out / 1, "AVERAGE": (fan_in + fan_out) / 2}[norm]


def fill(shape: tuple[int, ...], filler: Message | None, generator: Generator) -> Tensor:
    """A float32 tensor as `filler` draws it; without a filler, zeros."""
    out = torch.empty(shape)
    if filler is None:
        return out.zero_()
    kind = str(filler.get("type"))
    match kind:
        case "constant":
            return out.fill_(filler.get("value"))
        case "uniform":
            return out.uniform_(filler.get("min"), filler.get("max"), generator=generator)
        case "gaussian":
            out.normal_(filler.get("mean"), filler.get("std"), generator=generator)
            sparse = int(filler.get("sparse"))
            if sparse >= 0:  # on average so many inputs of each output keep their weight
                chance = sparse / shape[0] if shape else 1.0
                out.mul_(torch.empty(shape).bernoulli_(chance, generator=generator))
            return out
        case "positive_unitball":
            rows = out.uniform_(0, 1, generator=generator).view(shape[0] if shape else 1, -1)
            return (rows / rows.sum(1, keepdim=True)).view(shape)
        case "xavier":
            scale = sqrt(3.0 / fan(shape, filler.get("variance_norm")))
            return out.uniform_(-scale, scale, generator=generator)
        case "msra":
            return out.normal_(0, sqrt(2.0 / fan(shape, filler.get("variance_norm"))), generator=generator)
        case "bilinear":
            return torch.from_numpy(bilinear(shape[2], shape[3], "float32")).expand(shape).contiguous()
        case _:
            raise ValueError(f"no filler {kind!r}")
