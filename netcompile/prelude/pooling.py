"""Pooling where PyTorch has no equal."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def caffe_max_pool(
    x: Tensor,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pad: tuple[int, int],
    end: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Caffe's max pooling where PyTorch has no equal: any pad < kernel, empty windows.

    `end` is the padding behind: `pad`, and what makes rounding down round up. Returns
    the maxima and their flat indices h * W + w; an empty window gives -FLT_MAX, -1.
    """
    n = x.shape[2:]
    lowest = max(torch.finfo(torch.float32).min, torch.finfo(x.dtype).min)
    padded = F.pad(x, (pad[1], end[1], pad[0], end[0]), value=lowest)
    y, at = F.max_pool2d(padded, kernel, stride, return_indices=True)
    width = padded.shape[3]
    row, column = at // width - pad[0], at % width - pad[1]
    inside = (row >= 0) & (row < n[0]) & (column >= 0) & (column < n[1])
    return y, torch.where(inside, row * n[1] + column, -1)


def caffe_ave_pool(
    x: Tensor,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pad: tuple[int, int],
    end: tuple[int, int],
) -> Tensor:
    """Caffe's mean pooling where PyTorch has no equal: padding counts, not overhang.

    `end` is the padding behind: `pad`, and what makes rounding down round up.
    """
    padded = F.pad(x, (pad[1], end[1], pad[0], end[0]))
    total = F.avg_pool2d(padded, kernel, stride, divisor_override=1)
    size = []
    for m, o, k, s, p in zip(x.shape[2:], total.shape[2:], kernel, stride, pad):
        start = torch.arange(o, device=x.device) * s - p
        size.append((torch.clamp(start + k, max=m + p) - start).to(x.dtype))
    return total / (size[0][:, None] * size[1])


def global_max_pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """The maximum of each plane and its flat index h * W + w."""
    y, index = x.flatten(2).max(dim=2)
    return y[:, :, None, None], index[:, :, None, None]


def stochastic_pool(
    x: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    end: tuple[int, int],
) -> Tensor:
    """Stochastic pooling at test: each window's mean, weighted by itself.

    Where they do not sum to more than 0 it gives 0.
    """
    x = F.pad(x, (0, end[1], 0, end[0]))
    total = F.avg_pool2d(x, kernel, stride, divisor_override=1)
    squares = F.avg_pool2d(x * x, kernel, stride, divisor_override=1)
    return squares / total.masked_fill(total <= 0, float("inf"))


def mean_pool3d(
    x: Tensor,
    size: int | tuple[int, ...],
    stride: int | tuple[int, ...],
    padding: int | tuple[int, ...] = 0,
    **options: Any,
) -> Tensor:
    """F.avg_pool3d in all float types: that one lacks bfloat16 on a CPU."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return F.avg_pool3d(wide, size, stride, padding, **options).to(x.dtype)


def mean_of_volumes(
    x: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    pad: tuple[int, ...],
) -> Tensor:
    """C3D's means of windows, also of those that begin behind the volume.

    A window is divided by its places within the padded volume.
    """
    ends: list[int] = []
    places = x.new_ones(())
    for axis, (n, k, s, p) in enumerate(zip(x.shape[2:], kernel, stride, pad)):
        first = torch.arange(-((k - n - 2 * p) // s) + 1, device=x.device) * s - p
        own = (first + k).clamp_max(n + p) - first
        places = places * own.view((-1,) + (1,) * (2 - axis))
        ends = [p, max((len(first) - 1) * s + k - n - p, 0), *ends]
    return mean_pool3d(F.pad(x, ends), kernel, stride, divisor_override=1) / places


def weighted_mean(x: Tensor, kernel: tuple[int, ...]) -> Tensor:
    """Stochastic pooling at test over windows side by side."""
    return stochastic_pool(x, kernel, kernel, (0, 0))


def pyramid(
    x: Tensor, height: int, pool: Callable[..., Tensor], fill: float = 0.0
) -> Tensor:
    """Spatial pyramid: the plane pooled into 1, 4, 16, … bins, side by side."""
    levels = []
    for level in range(height):
        bins = 2**level
        kernel = [-(-n // bins) for n in x.shape[2:]]
        edges: list[int] = []
        for n, k in zip(x.shape[2:], kernel):
            over = k * bins - n
            edges = [(over + 1) // 2, over // 2, *edges]
        levels.append(pool(F.pad(x, edges, value=fill), kernel))
    if height == 1:
        return levels[0]
    return torch.cat([level.flatten(1) for level in levels], dim=1)


def grid_pyramid(
    x: Tensor, bins: tuple[int, ...], pool: Callable[..., Tensor]
) -> Tensor:
    """One column per batch element: poolings on grids of about b × b windows."""
    h, w = x.shape[2:]
    levels = [pool(x, (h // b, w // b), ceil_mode=True).flatten(1) for b in bins]
    return torch.cat(levels, dim=1)[:, :, None, None]
