"""Reduction, ArgMax, Filter, BatchReindex in plain NumPy."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from netcompile.prototxt.message import Message
from tests.oracles.activation import Oracle, decimal

Array = np.ndarray[Any, Any]


def _reduction(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s, x = p.get("reduction_param"), bottoms[0]
    axis = s.get("axis") % x.ndim
    y = np.empty(x.shape[:axis])
    for at in np.ndindex(*y.shape):
        values = [float(v) for v in x[at].ravel()]
        y[at] = (
            decimal(s, "coeff")
            * {
                "SUM": sum(values),
                "ASUM": sum(map(abs, values)),
                "SUMSQ": sum(v * v for v in values),
                "MEAN": sum(values) / len(values),
            }[s.get("operation")]
        )
    return [y]


def _arg_max(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s, x = p.get("argmax_param"), bottoms[0]
    k, values = s.get("top_k"), s.get("out_max_val")

    def best(row: Array) -> list[tuple[float, int]]:
        return sorted(((float(v), i) for i, v in enumerate(row)), reverse=True)[:k]

    if s.has("axis"):
        axis = s.get("axis") % x.ndim
        rows = np.moveaxis(x, axis, -1)
        y = np.empty((*rows.shape[:-1], k))
        for at in np.ndindex(*rows.shape[:-1]):
            y[at] = [pair[0 if values else 1] for pair in best(rows[at])]
        return [np.moveaxis(y, -1, axis)]
    y = np.empty((x.shape[0], 2 if values else 1, k, *(1,) * (x.ndim - 3)))
    for n, row in enumerate(x.reshape(x.shape[0], prod(x.shape[1:]))):
        for j, (value, index) in enumerate(best(row)):
            y[n, 0, j] = index
            if values:
                y[n, 1, j] = value
    return [y]


def _filter(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    *data, selector = bottoms
    chosen = [i for i, v in enumerate(selector.ravel()) if v]
    return [x[chosen] for x in data]


def _batch_reindex(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    return [np.stack([bottoms[0][int(i)] for i in bottoms[1]])]


ORACLES: dict[str, Oracle] = {
    "Reduction": _reduction,
    "ArgMax": _arg_max,
    "Filter": _filter,
    "BatchReindex": _batch_reindex,
}
