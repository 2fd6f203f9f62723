"""Windows of blobs, and the borders around them."""

import torch
from torch import Tensor


def surround(
    x: Tensor, border: Tensor, top: int, left: int, height: int, width: int
) -> Tensor:
    """`x` from row `top` and column `left` on, and `border` around it.

    The border's middle row and column are repeated, to `height` × `width` in all.
    """
    y = x.new_empty(1).expand(len(x), x.shape[1], height, width)
    y = torch.empty_like(y, memory_format=torch.channels_last)
    bottom, right = top + x.shape[2], left + x.shape[3]
    rows = stretched(border.shape[2], height, x.device)
    columns = stretched(border.shape[3], width, x.device)
    y[:, :, top:bottom, left:right] = x
    for part, some in (
        (slice(0, top), rows[:top]),
        (slice(bottom, height), rows[bottom:]),
    ):
        y[:, :, part] = border[:, :, some][:, :, :, columns]
    middle = border[:, :, rows[top:bottom]]
    y[:, :, top:bottom, :left] = middle[:, :, :, columns[:left]]
    y[:, :, top:bottom, right:] = middle[:, :, :, columns[right:]]
    return y


def stretched(have: int, want: int, device: torch.device) -> Tensor:
    """Indices 0 … have-1 with the one in the middle repeated, `want` in all."""
    index = torch.arange(want, device=device)
    return torch.minimum(index, torch.clamp(index - (want - have), min=have // 2))
