"""Convolution, Deconvolution, Pooling, Crop in plain NumPy, number by number from Caffe's definitions."""

from __future__ import annotations

from itertools import product
from math import ceil, floor
from typing import Any

import numpy as np

from netcompile.prototxt.message import Message
from tests.oracles.activation import Oracle

Array = np.ndarray[Any, Any]
FLT_MAX = float(np.finfo(np.float32).max)


def extents(s: Message, name: str, stem: str, default: int, rank: int) -> list[int]:
    """One number for each spatial axis: the repeated field, or the fields for height and width."""
    if stem and (s.has(f"{stem}_h") or s.has(f"{stem}_w")):
        return [s.get(f"{stem}_h"), s.get(f"{stem}_w")]
    given = list(s.all(name))
    if not given:
        return [default] * rank
    return given * rank if len(given) == 1 else given


def toward_zero(a: int, b: int) -> int:
    """C++'s division of integers."""
    return abs(a) // abs(b) * (1 if a * b > 0 else -1)


def _windows(p: Message, x: Array) -> tuple[int, list[int], list[int], list[int], list[int]]:
    """Channel axis; kernel, stride, pad and dilation of each axis behind it."""
    s = p.get("convolution_param")
    axis = s.get("axis") + (x.ndim if s.get("axis") < 0 else 0)
    rank = x.ndim - axis - 1
    return (
        axis,
        extents(s, "kernel_size", "kernel", 0, rank),
        extents(s, "stride", "stride", 1, rank),
        extents(s, "pad", "pad", 0, rank),
        extents(s, "dilation", "", 1, rank),
    )


def _convolution(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s = p.get("convolution_param")
    axis, kernel, stride, pad, dilation = _windows(p, bottoms[0])
    weight, group, outputs = blobs[0], s.get("group"), s.get("num_output")
    tops = []
    for bottom in bottoms:
        before, channels, size = bottom.shape[:axis], bottom.shape[axis], bottom.shape[axis + 1 :]
        x = bottom.reshape(-1, channels, *size)
        out = [
            toward_zero(n + 2 * q - (d * (k - 1) + 1), t) + 1
            for n, k, t, q, d in zip(size, kernel, stride, pad, dilation, strict=True)
        ]
        y = np.zeros((len(x), outputs, *out))
        per_in, per_out = channels // group, outputs // group
        for o, place in product(range(outputs), np.ndindex(*out)):
            first = o // per_out * per_in
            for tap in np.ndindex(*kernel):
                at = [i * t - q + a * d for i, t, q, a, d in zip(place, stride, pad, tap, dilation, strict=True)]
                if any(not 0 <= v < n for v, n in zip(at, size, strict=True)):
                    continue  # zero: padding, or beyond it
                values = x[(slice(None), slice(first, first + per_in), *at)]
                y[(slice(None), o, *place)] += values @ weight[(o, slice(None), *tap)]
            if s.get("bias_term"):
                y[(slice(None), o, *place)] += blobs[1][o]
        tops.append(y.reshape(*before, outputs, *out))
    return tops


def _deconvolution(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s = p.get("convolution_param")
    axis, kernel, stride, pad, dilation = _windows(p, bottoms[0])
    weight, group, outputs = blobs[0], s.get("group"), s.get("num_output")
    tops = []
    for bottom in bottoms:
        before, channels, size = bottom.shape[:axis], bottom.shape[axis], bottom.shape[axis + 1 :]
        x = bottom.reshape(-1, channels, *size)
        out = [
            t * (n - 1) + d * (k - 1) + 1 - 2 * q
            for n, k, t, q, d in zip(size, kernel, stride, pad, dilation, strict=True)
        ]
        y = np.zeros((len(x), outputs, *out))
        per_in, per_out = channels // group, outputs // group
        for c, place, tap in product(range(channels), np.ndindex(*size), np.ndindex(*kernel)):
            at = [i * t - q + a * d for i, t, q, a, d in zip(place, stride, pad, tap, dilation, strict=True)]
            if any(not 0 <= v < n for v, n in zip(at, out, strict=True)):
                continue  # falls into the padding, which is cut off
            first = c // per_in * per_out
            for j in range(per_out):
                y[(slice(None), first + j, *at)] += x[(slice(None), c, *place)] * weight[(c, j, *tap)]
        if s.get("bias_term"):
            for o in range(outputs):
                y[:, o] += blobs[1][o]
        tops.append(y.reshape(*before, outputs, *out))
    return tops


def _pair(s: Message, name: str, stem: str) -> list[int]:
    """Height and width of a pooling's field."""
    both = s.has(f"{stem}_h") or s.has(f"{stem}_w")
    return [s.get(f"{stem}_h"), s.get(f"{stem}_w")] if both else [s.get(name)] * 2


def _pooling(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s, x = p.get("pooling_param"), bottoms[0]
    size = x.shape[2:]
    kernel = list(size) if s.get("global_pooling") else _pair(s, "kernel_size", "kernel")
    stride, pad = _pair(s, "stride", "stride"), _pair(s, "pad", "pad")
    up = floor if s.get("round_mode") == "FLOOR" else ceil
    out = [up((n + 2 * q - k) / t) + 1 for n, k, t, q in zip(size, kernel, stride, pad, strict=True)]
    if any(pad):
        # The last window must start inside the image, or in the padding before it.
        out = [o - 1 if (o - 1) * t >= n + q else o for o, n, t, q in zip(out, size, stride, pad, strict=True)]
    y, mask = np.zeros((*x.shape[:2], *out)), np.zeros((*x.shape[:2], *out))
    for n, c, i, j in np.ndindex(*y.shape):
        top, left = i * stride[0] - pad[0], j * stride[1] - pad[1]
        bottom, right = min(top + kernel[0], size[0] + pad[0]), min(left + kernel[1], size[1] + pad[1])
        count = (bottom - top) * (right - left)
        rows, columns = range(max(top, 0), min(bottom, size[0])), range(max(left, 0), min(right, size[1]))
        if s.get("pool") == "MAX":
            best, where = -FLT_MAX, -1
            for h, w in product(rows, columns):
                if x[n, c, h, w] > best:
                    best, where = x[n, c, h, w], h * size[1] + w
            y[n, c, i, j], mask[n, c, i, j] = best, where
        elif s.get("pool") == "AVE":
            total = sum(x[n, c, h, w] for h, w in product(rows, columns))
            y[n, c, i, j] = total / count if count else np.nan
        else:  # STOCHASTIC at test
            total = sum(x[n, c, h, w] for h, w in product(rows, columns))
            squares = sum(x[n, c, h, w] ** 2 for h, w in product(rows, columns))
            y[n, c, i, j] = squares / total if total > 0 else 0
    return [y, mask][: len(p.all("top"))]


def _crop(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s, (x, reference) = p.get("crop_param"), bottoms
    axis = s.get("axis") + (x.ndim if s.get("axis") < 0 else 0)
    given = list(s.all("offset")) or [0]
    shape, offsets = list(x.shape), [0] * x.ndim
    for a in range(axis, x.ndim):
        shape[a] = reference.shape[a]
        offsets[a] = given[0] if len(given) == 1 else given[a - axis]
    y = np.zeros(shape)
    for at in np.ndindex(*shape):
        y[at] = x[tuple(i + o for i, o in zip(at, offsets, strict=True))]
    return [y]


ORACLES: dict[str, Oracle] = {
    "Convolution": _convolution,
    "Deconvolution": _deconvolution,
    "Pooling": _pooling,
    "Crop": _crop,
}
