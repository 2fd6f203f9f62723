"""Optical flow: correlation, warping, and FlowNet's resizing."""

import torch
import torch.nn.functional as F
from torch import Tensor


def correlate(
    a: Tensor,
    b: Tensor,
    kernel: int,
    reach: int,
    pad: int,
    stride: int = 1,
    step: int = 1,
    subtract: bool = False,
) -> Tensor:
    """Mean product of a's patches with b's, displaced by up to `reach` along both axes.

    One channel for each displacement (dy, dx), dx running faster.
    """
    a, b = F.pad(a, (pad,) * 4), F.pad(b, (pad,) * 4)
    h, w = a.shape[2] - 2 * reach, a.shape[3] - 2 * reach
    a = a[:, :, reach : reach + h, reach : reach + w]
    steps = range(reach - reach // step * step, 2 * reach + 1, step)
    planes = []
    for dy in steps:
        for dx in steps:
            other = b[:, :, dy : dy + h, dx : dx + w]
            match = (a - other).abs() if subtract else a * other
            planes.append(match.mean(dim=1, keepdim=True))
    return F.avg_pool2d(torch.cat(planes, dim=1), kernel, stride)


def correlate_rows(
    a: Tensor,
    b: Tensor,
    kernel: int,
    reach: int,
    pad: int,
    stride: int = 1,
    step: int = 1,
    subtract: bool = False,
    right: bool = False,
) -> Tensor:
    """Mean product of a's patches with b's, displaced along the rows up to `reach`."""
    a, b = F.pad(a, (pad, pad)), F.pad(b, (pad, pad))
    w = a.shape[3] - 2 * reach
    a = a[:, :, :, reach : reach + w]
    first = reach if right else reach - reach // step * step
    planes = []
    for dx in range(first, 2 * reach + 1, step):
        other = b[:, :, :, dx : dx + w]
        match = (a - other).abs() if subtract else a * other
        planes.append(match.mean(dim=1, keepdim=True))
    return F.avg_pool2d(torch.cat(planes, dim=1), kernel, stride)


def flow_warp(x: Tensor, flow: Tensor, fill: float = 0.0) -> Tensor:
    """x where the flow points to, bilinearly; `fill` where that lies outside."""
    h, w = x.shape[2:]
    columns = torch.arange(w, device=x.device, dtype=x.dtype) + flow[:, 0]
    rows = torch.arange(h, device=x.device, dtype=x.dtype)[:, None] + flow[:, 1]
    inside = (columns >= 0) & (rows >= 0) & (columns < w) & (rows < h)
    columns, rows = torch.where(inside, columns, 0), torch.where(inside, rows, 0)
    left, top = columns.floor().long(), rows.floor().long()
    right, bottom = (left + 1).clamp_max(w - 1), (top + 1).clamp_max(h - 1)
    a, b = (columns - left)[:, None], (rows - top)[:, None]
    image = torch.arange(x.shape[0], device=x.device)[:, None, None]

    def at(row: Tensor, column: Tensor) -> Tensor:
        return x[image, :, row, column].permute(0, 3, 1, 2)

    upper = (1 - a) * at(top, left) + a * at(top, right)
    lower = (1 - a) * at(bottom, left) + a * at(bottom, right)
    return torch.where(inside[:, None], (1 - b) * upper + b * lower, fill)


def inner_warp(x: Tensor, flow: Tensor) -> Tensor:
    """As flow_warp, with 0 already beyond the middle of the last row and column."""
    h, w = x.shape[2:]
    columns = torch.arange(w, device=x.device, dtype=x.dtype) + flow[:, 0]
    rows = torch.arange(h, device=x.device, dtype=x.dtype)[:, None] + flow[:, 1]
    inside = (columns <= w - 1) & (rows <= h - 1)
    return flow_warp(x, torch.where(inside[:, None], flow, -h - w))


def resample(
    x: Tensor, size: tuple[int, ...], method: str = "linear", antialias: bool = True
) -> Tensor:
    """FlowNet's resizing; where the factors differ, each axis has the other's shift.

    The nearest pixel may then lie behind its row: memory goes on with the next one.
    """
    factors = [n / m for n, m in zip(x.shape[2:], size)]
    wide = antialias and max(factors) > 1
    weights, nearest = [], []
    for n, m, own, other in zip(x.shape[2:], size, factors, factors[::-1]):
        place = torch.arange(m, device=x.device, dtype=x.dtype) * own + other / 2 - 0.5
        pixel = torch.arange(n, device=x.device, dtype=x.dtype)
        if method == "nearest":
            nearest.append((place + 0.5).floor().long())
            continue
        d = (pixel - place[:, None]).abs() / (own if wide else 1.0)
        if method == "linear":
            weight = (1 - d).clamp_min(0)
        else:
            inner = d * d * (1.5 * d - 2.5) + 1
            outer = d * (d * (2.5 - 0.5 * d) - 4) + 2
            weight = torch.where(d <= 1, inner, torch.where(d < 2, outer, 0))
        total = weight.sum(dim=1, keepdim=True)
        weights.append(torch.where(total == 0, 0, weight / total))
    if method == "nearest":
        rows, columns = nearest
        plane = torch.arange(x.shape[0] * x.shape[1], device=x.device) * (
            x.shape[2] * x.shape[3]
        )
        at = plane[:, None, None] + rows[:, None] * x.shape[3] + columns
        return x.flatten()[at.clamp_max(x.numel() - 1)].reshape(*x.shape[:2], *size)
    return weights[0] @ x @ weights[1].T


def middle(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """The middle of x, read between pixels where the margin is odd.

    Places are kept 1.05 pixels from the far edge, as in FlowNet's code, so the last row
    and column are blended where the whole plane is asked for.
    """
    for axis, (n, m) in enumerate(zip(x.shape[2:], size), 2):
        place = torch.arange(m, device=x.device, dtype=x.dtype) + (n - m) / 2
        place = place.clamp_max(n - 1.05).clamp_min(0)
        first = place.floor().long()
        part = (place - first).view((-1,) + (1,) * (3 - axis))
        after = x.index_select(axis, (first + 1).clamp_max(n - 1))
        x = (1 - part) * x.index_select(axis, first) + part * after
    return x
