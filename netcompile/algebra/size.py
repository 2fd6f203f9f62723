"""Caffe's size rules, one definition each, for plain ints and for `Size` alike; of a `Volume` nothing is known.

With ints the result is Caffe's raw number, which may be zero or negative: the caller refuses it. With
a `Size` the result is undefined there.
"""

from __future__ import annotations

from typing import overload

from netcompile.algebra.extent import Size
from netcompile.algebra.volume import UNKNOWN, Extent, Volume

__all__ = ["Size", "conv_size", "crop_slack", "deconv_size", "pool_size"]


@overload
def conv_size(n: int, kernel: int, stride: int = ..., pad: int = ..., dilation: int = ...) -> int: ...
@overload
def conv_size(n: Size, kernel: int, stride: int = ..., pad: int = ..., dilation: int = ...) -> Size: ...
@overload
def conv_size(n: Extent, kernel: int, stride: int = ..., pad: int = ..., dilation: int = ...) -> Extent: ...
def conv_size(n: Extent, kernel: int, stride: int = 1, pad: int = 0, dilation: int = 1) -> Extent:
    """Convolution: (n + 2p - (d(k-1)+1))/s + 1, with C++'s division toward zero.

    So an input that is up to s - 1 pixels too small for one window still gives 1, not 0.
    """
    if isinstance(n, Volume):
        return UNKNOWN
    if stride == 1:
        return _extent(n + (2 * pad - dilation * (kernel - 1)))
    reach = n + (2 * pad - (dilation * (kernel - 1) + 1))
    return _extent(_truncating_div(reach, stride) + 1)


@overload
def deconv_size(n: int, kernel: int, stride: int = ..., pad: int = ..., dilation: int = ...) -> int: ...
@overload
def deconv_size(n: Size, kernel: int, stride: int = ..., pad: int = ..., dilation: int = ...) -> Size: ...
@overload
def deconv_size(n: Extent, kernel: int, stride: int = ..., pad: int = ..., dilation: int = ...) -> Extent: ...
def deconv_size(n: Extent, kernel: int, stride: int = 1, pad: int = 0, dilation: int = 1) -> Extent:
    """Deconvolution: s(n-1) + d(k-1)+1 - 2p."""
    if isinstance(n, Volume):
        return UNKNOWN
    return _extent(n * stride + (dilation * (kernel - 1) + 1 - 2 * pad - stride))


@overload
def pool_size(
    n: int, kernel: int, stride: int = ..., pad: int = ..., round_mode: str = ..., clip: bool | None = ...
) -> int: ...
@overload
def pool_size(
    n: Size, kernel: int, stride: int = ..., pad: int = ..., round_mode: str = ..., clip: bool | None = ...
) -> Size: ...
@overload
def pool_size(
    n: Extent, kernel: int, stride: int = ..., pad: int = ..., round_mode: str = ..., clip: bool | None = ...
) -> Extent: ...
def pool_size(
    n: Extent,
    kernel: int,
    stride: int = 1,
    pad: int = 0,
    round_mode: str = "CEIL",
    clip: bool | None = None,
) -> Extent:
    """Pooling: ceil (or floor) of (n + 2p - k)/s, plus 1; with `clip` no window may start beyond the padding.

    `clip` is Caffe's ``pad_h || pad_w``, so it can be true on an axis whose own pad is 0; by default it
    is ``pad > 0``. Caffe then takes one off if (out-1)·s >= n+p. That is the same as rounding
    (n + 2p - k + t)/s down with t = min(s-1, k-p-1), since p < k, as Caffe demands. `round_mode` is
    "CEIL" or "FLOOR". Caffe divides in float32; its rounding beyond 2^24 is not modelled.
    Raises ValueError for p >= k or another round mode.
    """
    if isinstance(n, Volume):
        return UNKNOWN
    if pad >= kernel:
        raise ValueError(f"pad {pad} must be less than kernel {kernel}")
    if clip is None:
        clip = pad > 0
    if round_mode not in ("CEIL", "FLOOR"):
        raise ValueError(f"unknown round mode {round_mode!r}")
    if round_mode == "FLOOR":
        up = 0
    else:
        up = min(stride - 1, kernel - pad - 1) if clip else stride - 1
    return _extent((n + (2 * pad - kernel + up)) // stride + 1)


@overload
def crop_slack(n: int, reference: int, offset: int) -> int: ...
@overload
def crop_slack(n: Size, reference: Size | int, offset: int) -> Size: ...
@overload
def crop_slack(n: Size | int, reference: Size, offset: int) -> Size: ...
def crop_slack(n: Size | int, reference: Size | int, offset: int) -> Size | int:
    """How many pixels a Crop leaves beyond its window; it is legal where this is >= 0 (and offset >= 0)."""
    return n - reference - offset


def _extent(n: Size | int) -> Size | int:
    return n.where_positive() if isinstance(n, Size) else n


def _truncating_div(n: Size | int, by: int) -> Size | int:
    if isinstance(n, Size):
        return n.truncating_div(by)
    return n // by if n >= 0 else -(-n // by)
