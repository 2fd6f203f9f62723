"""Pooling over regions of an image."""

import torch
from torch import Tensor


def round_half_away(x: Tensor) -> Tensor:
    """Rounding as C does it: halves go away from zero."""
    whole = x.trunc()
    return whole + ((x - whole).abs() >= 0.5) * x.sign()


def padded(corners: Tensor, pad: float) -> Tensor:
    """Regions x1, y1, x2, y2 in pixels, widened on each side by a part of the side."""
    edge = (corners[:, 2:] - corners[:, :2] + 1) * pad
    return torch.cat((corners[:, :2] - edge, corners[:, 2:] + edge), dim=1)


def roi_pool(
    x: Tensor, rois: Tensor, size: tuple[int, int], scale: float, pad: float = 0
) -> Tensor:
    """The maximum of each cell of a grid of `size` on each region; 0 if empty.

    A row of `rois` is image, x1, y1, x2, y2 in pixels, both corners included.
    """
    rois = rois.reshape(-1, 5)
    corners = padded(rois[:, 1:], pad) if pad else rois[:, 1:]
    x1, y1, x2, y2 = round_half_away(corners * scale).unbind(1)
    bounds = []
    for low, high, cells, extent in (
        (y1, y2, size[0], x.shape[2]),
        (x1, x2, size[1], x.shape[3]),
    ):
        step = (high - low + 1).clamp_min(1) / cells
        cell = torch.arange(cells, device=x.device, dtype=x.dtype)
        start = (cell * step[:, None]).floor() + low[:, None]
        end = ((cell + 1) * step[:, None]).ceil() + low[:, None]
        edges = torch.stack((start, end)).clamp(0, extent)
        bounds.append(edges.permute(1, 2, 0).long().tolist())
    y = x.new_zeros(rois.shape[0], x.shape[1], *size)
    images = rois[:, 0].long().tolist()
    for n, (image, rows, columns) in enumerate(zip(images, *bounds)):
        for i, (top, bottom) in enumerate(rows):
            if bottom <= top:
                continue
            strip = x[image, :, top:bottom].amax(dim=1)
            for j, (left, right) in enumerate(columns):
                if right > left:
                    y[n, :, i, j] = strip[:, left:right].amax(dim=1)
    return y


def roi_align(
    x: Tensor, rois: Tensor, cells: tuple[int, int], scale: float, pad: float = 0
) -> Tensor:
    """Features at the corners of a grid of `cells` on each region, bilinear.

    A row of `rois` is image, x1, y1, x2, y2 in pixels; pixel centres lie at halves.
    """
    rois = rois.reshape(-1, 5)
    corners = padded(rois[:, 1:], pad) if pad else rois[:, 1:]
    x1, y1, x2, y2 = (corners * scale - 0.5).unbind(1)
    weight, index = [], []
    for low, high, n, size in (
        (y1, y2, cells[0], x.shape[2]),
        (x1, x2, cells[1], x.shape[3]),
    ):
        step = torch.arange(n + 1, device=x.device, dtype=x.dtype)
        at = low[:, None] + step * ((high - low) / n)[:, None]
        inside = (at >= -0.5) & (at <= size - 0.5) & (high > low)[:, None]
        first = at.floor().clamp(0, size - 1)
        part = at.clamp(0, size - 1) - first
        weight.append(torch.stack((1 - part, part)) * inside)
        index.append(torch.stack((first, (at.floor() + 1).clamp(0, size - 1))).long())
    image = rois[:, 0].long()[:, None, None]
    y = x.new_zeros(())
    for i in (0, 1):
        for j in (0, 1):
            value = x[image, :, index[0][i][:, :, None], index[1][j][:, None]]
            share = weight[0][i][:, :, None] * weight[1][j][:, None]
            y = y + value * share[..., None]
    return y.permute(0, 3, 1, 2)


def moved_regions(
    offsets: Tensor, rois: Tensor, mean: list[float], std: list[float]
) -> Tensor:
    """Regions (image, x1, y1, x2, y2) moved and stretched by the offsets of class 1."""
    offsets, rois = offsets.reshape(-1, 8)[:, 4:], rois.reshape(-1, 5)
    offsets = offsets * offsets.new_tensor(std) + offsets.new_tensor(mean)
    low, high = rois[:, 1:3], rois[:, 3:]
    size = high - low + 1
    centre = offsets[:, :2] * size + 0.5 * (high + low)
    size = size * offsets[:, 2:].exp()
    low = centre - (size - 1) / 2
    boxes = torch.cat((rois[:, :1], low, low + size - 1), dim=1)
    return boxes[:, :, None, None]


def position_sensitive_pool(x: Tensor, rois: Tensor, k: int, scale: float) -> Tensor:
    """Means over a k × k grid on each region, cell (i, j) from its own channels.

    A row of `rois` is image, x1, y1, x2, y2 in pixels; an empty cell gives 0.
    """
    rois = rois.reshape(-1, 5)
    x1, y1, x2, y2 = round_half_away(rois[:, 1:]).unbind(1)
    bounds = []
    for low, high, extent in ((y1, y2, x.shape[2]), (x1, x2, x.shape[3])):
        start, end = low * scale, (high + 1) * scale
        step = (end - start).clamp_min(0.1) / k
        cell = torch.arange(k, device=x.device, dtype=x.dtype)
        first = (cell * step[:, None] + start[:, None]).floor()
        last = ((cell + 1) * step[:, None] + start[:, None]).ceil()
        edges = torch.stack((first, last)).clamp(0, extent)
        bounds.append(edges.permute(1, 2, 0).long().tolist())
    planes = torch.unflatten(x, 1, (-1, k, k))
    y = x.new_zeros(rois.shape[0], planes.shape[1], k, k)
    images = rois[:, 0].long().tolist()
    for n, (image, rows, columns) in enumerate(zip(images, *bounds)):
        for i, (top, bottom) in enumerate(rows):
            for j, (left, right) in enumerate(columns):
                if bottom > top and right > left:
                    cell = planes[image, :, i, j, top:bottom, left:right]
                    y[n, :, i, j] = cell.mean(dim=(1, 2))
    return y
