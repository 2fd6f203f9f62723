"""Pooling over regions of an image."""

from collections.abc import Iterator

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


def doublings(sizes: Tensor, extent: int) -> int:
    """How many powers of two are at most as large as the largest size.

    Where asking a device would make it wait, as large as `extent`, which no size is
    larger than.
    """
    if sizes.is_cpu and sizes.numel():
        extent = int(sizes.max())
    return max(extent, 1).bit_length()


def windows(
    flat: Tensor, high: int, wide: int, width: int, sums: bool
) -> Iterator[Tensor]:
    """Maxima or sums of all windows of 2^a rows and 2^b columns, b running faster.

    `flat` is pixels × numbers, of images that are `width` wide; a window stands at its
    first pixel. The last ones of a row or an image run on into the next.
    """
    join = torch.add if sums else torch.maximum
    for a in range(high):
        if a:
            step = width * 2 ** (a - 1)
            flat = join(flat[:-step], flat[step:])
        wider = flat
        yield wider
        for b in range(wide - 1):
            wider = join(wider[: -(2**b)], wider[2**b :])
            yield wider


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
        bounds.append(torch.stack((start, end)).clamp(0, extent).long().clamp_min(0))
    image = torch.arange(len(x), device=x.device)[rois[:, 0].long()]
    return window_maxima(x, image, *bounds)


def window_maxima(x: Tensor, image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The maxima of windows of an image each: regions × channels × I × J; 0 if empty.

    `rows` (2 × regions × I) are the first and the one behind the last, `columns` alike.
    Four windows of powers of two that may overlap make up any; those are in a table.
    """
    n, channels, height, width = x.shape
    counts, powers = [], []
    for (first, last), extent in ((rows, height), (columns, width)):
        counts.append(doublings(last - first, extent))
        sides = (last - first).clamp_min(1).to(torch.float32)
        powers.append(torch.frexp(sides).exponent.long() - 1)
    (high, wide), (a, b) = counts, powers
    pixels, empty = n * height * width, (rows[1] <= rows[0])[:, :, None]
    empty = empty | (columns[1] <= columns[0])[:, None]
    start = image[:, None, None] * height * width
    start = start + (a[:, :, None] * wide + b[:, None]) * pixels
    places = [
        torch.where(empty, high * wide * pixels, start + row * width + column).flatten()
        for row in (rows[0][:, :, None], (rows[1] - 2**a)[:, :, None])
        for column in (columns[0][:, None], (columns[1] - 2**b)[:, None])
    ]
    y = x.new_empty(len(image), channels, *empty.shape[1:])
    step = max(16, (2**21 if x.is_cpu else 2**27) // (high * wide * pixels))
    whole = x.new_empty(high * wide * pixels + 1, min(step, channels))
    whole[-1] = 0
    for at in range(0, channels, step):
        part = slice(at, at + step)
        flat = x[:, part].permute(0, 2, 3, 1).flatten(0, 2)
        table = whole[:, : flat.shape[1]]
        for index, each in enumerate(windows(flat, high, wide, width, sums=False)):
            table[index * pixels : index * pixels + len(each)] = each
        best = table.index_select(0, places[0])
        for place in places[1:]:
            best.clamp_min_(table.index_select(0, place))
        best = best.reshape(*empty.shape, flat.shape[1])
        y[:, part] = best.permute(0, 3, 1, 2)
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
        bounds.append(torch.stack((first, last)).clamp(0, extent).long().clamp_min(0))
    image = torch.arange(len(x), device=x.device)[rois[:, 0].long()]
    rows, columns = (first for first, _ in bounds)
    heights, widths = ((last - first).clamp_min(0) for first, last in bounds)
    tall, wide = doublings(heights, x.shape[2]), doublings(widths, x.shape[3])
    cell = torch.arange(k * k, device=x.device).reshape(k, k)
    start = (cell * len(x) + image[:, None, None]) * x.shape[2]
    planes = x.to(torch.promote_types(x.dtype, torch.float32))
    planes = planes.reshape(len(x), -1, k * k, *x.shape[2:])
    flat = planes.permute(2, 0, 3, 4, 1).flatten(0, 3)
    y = flat.new_zeros(())
    tables = windows(flat, tall, wide, x.shape[3], sums=True)
    for a in range(tall):
        for b in range(wide):
            # The binary digits of a side say of which powers of two it consists.
            part = (heights >> a & 1)[:, :, None] & (widths >> b & 1)[:, None] > 0
            row = start + (rows + heights % 2**a)[:, :, None]
            place = row * x.shape[3] + (columns + widths % 2**b)[:, None]
            found = next(tables)[torch.where(part, place, 0)]
            y = y + torch.where(part[..., None], found, 0)
    area = heights[:, :, None] * widths[:, None]
    mean: Tensor = y / area.clamp_min(1)[..., None]
    return mean.permute(0, 3, 1, 2).to(x.dtype)
