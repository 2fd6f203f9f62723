"""InnerProduct, Embed in plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from netcompile.prototxt.message import Message
from tests.oracles.activation import Oracle

Array = np.ndarray[Any, Any]


def _inner_product(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s, x = p.get("inner_product_param"), bottoms[0]
    axis = s.get("axis") % x.ndim
    weight = blobs[0] if s.get("transpose") else blobs[0].T
    y = np.empty((*x.shape[:axis], s.get("num_output")))
    for at in np.ndindex(*x.shape[:axis]):
        y[at] = sum(v * row for v, row in zip(x[at].ravel(), weight, strict=True))
        if s.get("bias_term"):
            y[at] += blobs[1]
    return [y]


def _embed(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s, x = p.get("embed_param"), bottoms[0]
    y = np.empty((*x.shape, s.get("num_output")))
    for at in np.ndindex(*x.shape):
        y[at] = blobs[0][int(x[at])] + (blobs[1] if s.get("bias_term") else 0)
    return [y]


ORACLES: dict[str, Oracle] = {"InnerProduct": _inner_product, "Embed": _embed}
