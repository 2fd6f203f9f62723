"""Im2col, SPP in plain NumPy, window by window."""

from __future__ import annotations

from math import ceil, prod
from typing import Any

import numpy as np

from netcompile.prototxt.message import Message
from tests.oracles.activation import Oracle

Array = np.ndarray[Any, Any]


def _extents(s: Message, name: str, default: int, rank: int, stem: str = "") -> list[int]:
    stem = stem or name
    if name != "dilation" and (s.has(f"{stem}_h") or s.has(f"{stem}_w")):
        return [s.get(f"{stem}_h"), s.get(f"{stem}_w")]
    found = list(s.all(name)) or [default]
    return found * rank if len(found) == 1 else found


def _im2col(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s, x = p.get("convolution_param"), bottoms[0]
    axis = s.get("axis") % x.ndim
    rank = x.ndim - axis - 1
    kernel = _extents(s, "kernel_size", 1, rank, "kernel")
    stride, pad = _extents(s, "stride", 1, rank), _extents(s, "pad", 0, rank)
    dilation = _extents(s, "dilation", 1, rank)
    size = x.shape[axis + 1 :]
    out = [
        int((n + 2 * q - (d * (k - 1) + 1)) / t) + 1  # towards zero, as C++ divides
        for n, k, t, q, d in zip(size, kernel, stride, pad, dilation, strict=True)
    ]
    channels = x.shape[axis]
    y = np.zeros((*x.shape[:axis], channels * prod(kernel), *out))
    for batch in np.ndindex(*x.shape[:axis]):
        for c in range(channels):
            for tap, at in enumerate(np.ndindex(*kernel)):
                for o in np.ndindex(*out):
                    place = tuple(i * t - q + a * d for i, t, q, a, d in zip(o, stride, pad, at, dilation, strict=True))
                    if all(0 <= i < n for i, n in zip(place, size, strict=True)):
                        y[(*batch, c * prod(kernel) + tap, *o)] = x[(*batch, c, *place)]
    return [y]


def _spp(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s, x = p.get("spp_param"), bottoms[0]
    levels = []
    for level in range(s.get("pyramid_height")):
        bins = 2**level
        kernel = [ceil(n / bins) for n in x.shape[2:]]
        pad = [(k * bins - n + 1) // 2 for k, n in zip(kernel, x.shape[2:], strict=True)]
        y = np.empty((*x.shape[:2], bins, bins))
        for i, j in np.ndindex(bins, bins):
            ends, slices = [], []
            for at, k, q, n in zip((i, j), kernel, pad, x.shape[2:], strict=True):
                start = at * k - q
                ends.append(min(start + k, n + q) - start)
                slices.append(slice(max(start, 0), min(start + k, n)))
            window = x[:, :, slices[0], slices[1]]
            if s.get("pool") == "MAX":
                y[:, :, i, j] = window.max((2, 3))
            elif s.get("pool") == "AVE":
                y[:, :, i, j] = window.sum((2, 3)) / prod(ends)
            else:
                total = window.sum((2, 3))
                weighted = (window**2).sum((2, 3)) / np.where(total > 0, total, 1)
                y[:, :, i, j] = np.where(total > 0, weighted, 0)
        levels.append(y)
    if len(levels) == 1:
        return levels
    return [np.concatenate([y.reshape(x.shape[0], -1) for y in levels], 1)]


ORACLES: dict[str, Oracle] = {"Im2col": _im2col, "SPP": _spp}
