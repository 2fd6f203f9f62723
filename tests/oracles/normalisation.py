"""BatchNorm, LRN, MVN in plain NumPy; also BatchNorm's running sums, and MVN's gradient as Caffe has it."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from netcompile.prototxt.message import Message
from tests.oracles.activation import Oracle, decimal

Array = np.ndarray[Any, Any]


def _global(p: Message, train: bool) -> bool:
    s = p.get("batch_norm_param")
    return bool(s.get("use_global_stats")) if s.has("use_global_stats") else not train


def _batch_norm(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    x, eps = bottoms[0], decimal(p.get("batch_norm_param"), "eps")
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        if _global(p, train):
            factor = 0.0 if blobs[2][0] == 0 else 1 / blobs[2][0]
            mean, variance = blobs[0][c] * factor, blobs[1][c] * factor
        else:
            mean = x[:, c].sum() / x[:, c].size
            variance = ((x[:, c] - mean) ** 2).sum() / x[:, c].size
        y[:, c] = (x[:, c] - mean) / sqrt(variance + eps)
    return [y]


def running_sums(p: Message, x: Array, blobs: list[Array]) -> list[Array]:
    """BatchNorm's three blobs after one forward pass in training."""
    keep = decimal(p.get("batch_norm_param"), "moving_average_fraction")
    mean, variance, factor = (b.copy() for b in blobs)
    for c in range(x.shape[1]):
        values = x[:, c].ravel()
        m = values.size
        centre = values.sum() / m
        biased = ((values - centre) ** 2).sum() / m
        mean[c] = keep * mean[c] + centre
        variance[c] = keep * variance[c] + biased * (m / (m - 1) if m > 1 else 1)
    return [mean, variance, keep * factor + 1]


def _lrn(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s, x = p.get("lrn_param"), bottoms[0]
    size, alpha, beta, k = s.get("local_size"), decimal(s, "alpha"), decimal(s, "beta"), decimal(s, "k")
    reach, y = size // 2, np.empty_like(x)
    for n, c, h, w in np.ndindex(*x.shape):
        if s.get("norm_region") == "WITHIN_CHANNEL":
            window = x[n, c, max(h - reach, 0) : h + reach + 1, max(w - reach, 0) : w + reach + 1]
            scale = 1 + alpha * (window**2).sum() / size**2
        else:
            scale = k + alpha / size * (x[n, max(c - reach, 0) : c + reach + 1, h, w] ** 2).sum()
        y[n, c, h, w] = x[n, c, h, w] * scale**-beta
    return [y]


def _groups(p: Message, x: Array) -> Array:
    """x with 4 axes, as (groups, elements of one group)."""
    x = x.reshape(x.shape + (1,) * (4 - x.ndim))
    return x.reshape(x.shape[0] if p.get("mvn_param").get("across_channels") else x.shape[0] * x.shape[1], -1)


def _mvn(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s, x = p.get("mvn_param"), bottoms[0]
    y = _groups(p, x).copy()
    for group in y:
        group -= group.sum() / group.size
        if s.get("normalize_variance"):
            group /= sqrt((group**2).sum() / group.size) + decimal(s, "eps")
    return [y.reshape(x.shape + (1,) * (4 - x.ndim))]


def mvn_gradient(p: Message, x: Array, gradient: Array) -> Array:
    """Caffe's backward pass, which is not the derivative where eps is not small."""
    s = p.get("mvn_param")
    found = []
    for group, g in zip(_groups(p, x), _groups(p, gradient), strict=True):
        centred = group - group.mean()
        if not s.get("normalize_variance"):
            found.append(g - g.mean())
            continue
        deviation = sqrt((centred**2).mean()) + decimal(s, "eps")
        y = centred / deviation
        found.append((g - g.mean() - y * (g * y).mean()) / deviation)
    return np.stack(found).reshape(x.shape)


ORACLES: dict[str, Oracle] = {"BatchNorm": _batch_norm, "LRN": _lrn, "MVN": _mvn}
