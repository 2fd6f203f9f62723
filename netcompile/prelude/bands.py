"""Layers in bands of rows."""

from collections.abc import Callable

import torch
from torch import Tensor


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
    end, y = x.shape[2] - reach, x.new_empty(0)
    for start in range(0, end, count):
        rows = compute(x[:, :, start : start + count + reach])
        if start == 0:
            size = *rows.shape[:2], -(-end // stride), rows.shape[3]
            layout = torch.channels_last
            y = torch.empty(
                size, dtype=rows.dtype, device=x.device, memory_format=layout
            )
        y[:, :, start // stride :][:, :, : rows.shape[2]] = rows
        del rows
    return y
