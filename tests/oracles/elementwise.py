"""Eltwise, Bias, Scale in plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from netcompile.prototxt.message import Message, float_text
from tests.oracles.activation import Oracle

Array = np.ndarray[Any, Any]


def _eltwise(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s = p.get("eltwise_param")
    if s.get("operation") == "PROD":
        return [np.prod(np.stack(bottoms), axis=0)]
    if s.get("operation") == "MAX":
        return [np.max(np.stack(bottoms), axis=0)]
    coeff = [float(float_text(c)) for c in s.all("coeff")] or [1.0] * len(bottoms)
    total = np.zeros_like(bottoms[0])
    for c, x in zip(coeff, bottoms, strict=True):
        total += c * x
    return [total]


def spread(x: Array, blob: Array, axis: int) -> Array:
    """`blob` at the size of x: its axis i is x's axis `axis` + i."""
    if not blob.ndim:
        axis = 0
    axis %= x.ndim
    full = np.empty_like(x)
    for at in np.ndindex(*x.shape):
        full[at] = blob[at[axis : axis + blob.ndim]]
    return full


def _bias(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    other = bottoms[1] if len(bottoms) == 2 else blobs[0]
    return [bottoms[0] + spread(bottoms[0], other, p.get("bias_param").get("axis"))]


def _scale(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s = p.get("scale_param")
    x, left = bottoms[0], list(blobs)
    factor = bottoms[1] if len(bottoms) == 2 else left.pop(0)
    y = x * spread(x, factor, s.get("axis"))
    if s.get("bias_term"):
        y = y + spread(x, left.pop(0), s.get("axis"))
    return [y]


ORACLES: dict[str, Oracle] = {"Eltwise": _eltwise, "Bias": _bias, "Scale": _scale}
