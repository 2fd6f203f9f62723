"""Layers in bands of rows."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from netcompile.prelude.workers import in_parts


def in_bands(
    steps: list[Callable[[Tensor], Tensor]],
    x: Tensor,
    reach: int,
    stride: int,
    channels: int,
) -> Tensor:
    """Steps on some rows of `x` at a time; they lose `reach` rows, divide by `stride`.

    What lies between, with so many channels, would be larger than a cache: a band of it
    has 8 MB. Small blobs are one band.
    """

    def compute(rows: Tensor) -> Tensor:
        for step in steps:
            rows = step(rows)
        return rows

    row = len(x) * channels * x.shape[3] * x.element_size()
    count = max(1, (1 << 23) // max(1, row * stride)) * stride
    whole = x.device.type != "cpu" or torch.compiler.is_compiling()
    if whole or 2 * count >= x.shape[2]:
        return compute(x)
    end = x.shape[2] - reach
    rows = compute(x[:, :, : count + reach])
    size = *rows.shape[:2], -(-end // stride), rows.shape[3]
    y = x.new_empty(1).expand(size)
    y = torch.empty_like(y, memory_format=torch.channels_last)
    y[:, :, : rows.shape[2]] = rows

    def part(start: int) -> None:
        rows = compute(x[:, :, start : start + count + reach])
        y[:, :, start // stride :][:, :, : rows.shape[2]] = rows

    in_parts([partial(part, start) for start in range(count, end, count)])
    return y
