"""The way back from pooling."""

import torch
from torch import Tensor


def unpool(x: Tensor, mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Values at the places h * W + w that a max pooling's mask names, 0 elsewhere.

    Where windows overlap and two values have one place, the later one stays, as in
    Caffe's loop.
    """
    places = mask.long().flatten(2)
    order = torch.arange(places.shape[2], device=x.device).expand_as(places)
    last = order.new_full((*x.shape[:2], size[0] * size[1]), -1)
    last = last.scatter_reduce(2, places, order, "amax")
    y = x.flatten(2).gather(2, last.clamp_min(0)) * (last >= 0)
    return y.reshape(*x.shape[:2], *size)


def corner_mask(x: Tensor, stride: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """The first place of every window: where a value without a mask goes."""
    rows, columns = (
        (torch.arange(n, device=x.device) * s).clamp_max(m - 1)
        for n, s, m in zip(x.shape[2:], stride, size)
    )
    return (rows[:, None] * size[1] + columns).expand_as(x)


def spread(
    x: Tensor,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    size: tuple[int, int],
    mean: bool = False,
) -> Tensor:
    """Every value added to all of its window, as far as that lies in the plane.

    With `mean` each value is divided by the number of the window's places first.
    """
    covers = []
    for n, k, s, m in zip(x.shape[2:], kernel, stride, size):
        first = torch.arange(n, device=x.device)[:, None] * s
        place = torch.arange(m, device=x.device)
        cover = ((place >= first) & (place < first + k)).to(x.dtype)
        if mean:
            cover = cover / cover.sum(dim=1, keepdim=True).clamp_min(1)
        covers.append(cover)
    return covers[0].T @ x @ covers[1]
