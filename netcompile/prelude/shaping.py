"""Windows as channels, and Darknet's reorg."""

import torch.nn.functional as F
from torch import Tensor


def im2col(
    x: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    pad: tuple[int, ...],
    dilation: tuple[int, ...],
    channels: int = 1,
) -> Tensor:
    """Each window's elements side by side as channels, the spatial axes behind."""
    rank, first = len(kernel), channels + 1
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
    edges: list[int] = []
    for n, p, r in zip(x.shape[first:], pad, reach):
        edges = [p, p + max(r - n - 2 * p, 0), *edges]  # one window at least, cut off
    x = F.pad(x, edges)
    for axis, (r, s, d) in enumerate(zip(reach, stride, dilation), first):
        x = x.unfold(axis, r, s)[..., ::d]
    x = x.movedim(tuple(range(-rank, 0)), tuple(range(first, first + rank)))
    return x.flatten(channels, channels + rank)


def reorg(x: Tensor, s: int) -> Tensor:
    """Darknet's reorg, n × c × h × w to n × c·s² × h/s × w/s, in its element order."""
    n, c, h, w = x.shape
    blocks = x.reshape(n, c // s**2, h, s, w, s).permute(0, 3, 5, 1, 2, 4)
    return blocks.reshape(n, c * s**2, h // s, w // s)


def reorg_back(x: Tensor, s: int) -> Tensor:
    """Darknet's reversed reorg: n × c × h × w to n × c/s² × h·s × w·s."""
    n, c, h, w = x.shape
    blocks = x.reshape(n, s, s, c // s**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return blocks.reshape(n, c // s**2, h * s, w * s)
