"""Detection and region pooling box by box and class by class, in the plainest loops: oracles for what does all at once.

They share with it only how a box is decoded and how corners are rounded.
"""

from __future__ import annotations

import torch
from torch import Tensor

from netcompile.prelude.boxes import decode_boxes
from netcompile.prelude.regions import padded, round_half_away


def box_overlap(a: Tensor, b: Tensor, border: int = 0) -> Tensor:
    """Intersection over union of boxes (xmin, ymin, xmax, ymax), 0 if they are apart.

    A box whose corners are swapped has no area. `border` 1: corners are whole pixels,
    and both belong to the box.
    """
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., 2:], b[..., 2:]) + border
    shared = (high - low).clamp_min(0).prod(dim=-1)
    sizes = [box[..., 2:] - box[..., :2] + border for box in (a, b)]
    one, two = (size.clamp_min(0).prod(dim=-1) for size in sizes)
    return torch.where(shared > 0, shared / (one + two - shared), 0)


def suppress(
    boxes: Tensor,
    overlap: float,
    eta: float = 1.0,
    border: int = 0,
    most: int | None = None,
    strict: bool = False,
) -> list[int]:
    """Greedy suppression of boxes sorted by score: which stay, as indices.

    A box goes if its intersection over union with one that stays exceeds `overlap`, or
    with `strict` reaches it; `eta` shrinks `overlap` with every box that stays, down to
    a half. At most `most` stay.
    """
    worst, index = boxes.new_full((len(boxes),), -1), 0
    kept: list[int] = []
    while most is None or len(kept) < most:
        rest = worst[index:]
        free = (rest < overlap if strict else rest <= overlap).nonzero()
        if len(free) == 0:
            break
        index += int(free[0])
        kept.append(index)
        worst = torch.maximum(worst, box_overlap(boxes[index], boxes, border))
        if eta < 1 and overlap > 0.5:
            overlap *= eta
        index += 1
    return kept


def best_first(scores: list[float]) -> list[int]:
    """Indices of a list of scores in descending order, as C++'s std::sort puts them.

    It partitions around medians of three down to 16 scores and then inserts, so equal
    scores come in an order of their own, which decides what a limit keeps of them.
    """
    order = list(range(len(scores)))
    spans = [(0, len(order))] if len(set(scores)) < len(scores) else []
    while spans:
        first, last = spans.pop()
        if last - first <= 16:
            continue
        a, b, c = first + 1, (first + last) // 2, last - 1
        median = sorted((scores[order[i]], i) for i in (a, b, c))[1][1]
        order[first], order[median] = order[median], order[first]
        pivot, low, high = scores[order[first]], first + 1, last - 1
        while True:
            while scores[order[low]] > pivot:
                low += 1
            while pivot > scores[order[high]]:
                high -= 1
            if low >= high:
                break
            order[low], order[high] = order[high], order[low]
            low, high = low + 1, high - 1
        spans += [(first, low), (low, last)]
    return sorted(order, key=lambda i: -scores[i])


def detect(
    location: Tensor,
    scores: Tensor,
    priors: Tensor,
    classes: int,
    code: str,
    overlap: float,
    shared: bool = True,
    background: int = 0,
    encoded: bool = False,
    threshold: float = -3.4028235e38,
    most: int = -1,
    keep: int = -1,
    eta: float = 1.0,
) -> Tensor:
    """SSD's detections, 1 × 1 × K × 7: image, class, score, xmin, ymin, xmax, ymax.

    For each class the boxes above `threshold`, at most the `most` best, are suppressed
    where they overlap; of an image the `keep` best stay. K depends on the numbers.
    """
    n, count = location.shape[0], priors.shape[2] // 4
    corners, variances = priors[0].reshape(2, 1, count, 4)
    offsets = location.reshape(n, count, 1 if shared else classes, 4).transpose(1, 2)
    scores = scores.reshape(n, count, classes)
    rows = []
    for image in range(n):
        spread = torch.ones_like(variances) if encoded else variances
        boxes = decode_boxes(offsets[image], corners, spread, code)
        found = []
        for label in range(classes):
            if label == background:
                continue
            score = scores[image, :, label]
            order = score.sort(descending=True, stable=True).indices
            order = order[score[order] > threshold]
            order = order[:most] if most > -1 else order
            candidates = boxes[0 if shared else label][order]
            stay = suppress(candidates, overlap, eta)
            values = score[order].tolist()
            found += [(values[i], label, candidates[i]) for i in stay]
        if -1 < keep < len(found):
            best = best_first([score for score, _, _ in found])[:keep]
            found = sorted((found[i] for i in best), key=lambda row: row[1])
        for score, label, box in found:
            rows.append(torch.cat((box.new_tensor([image, label, score]), box)))
    if not rows:
        none = location.new_full((n, 7), -1)
        none[:, 0] = torch.arange(n, device=none.device)
        return none[None, None]
    return torch.stack(rows)[None, None]


def roi_pool(x: Tensor, rois: Tensor, size: tuple[int, int], scale: float, pad: float = 0) -> Tensor:
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
        bounds.append(edges.permute(1, 2, 0).long().clamp_min(0).tolist())
    y = x.new_zeros(rois.shape[0], x.shape[1], *size)
    images = rois[:, 0].long().tolist()
    for n, (image, rows, columns) in enumerate(zip(images, *bounds, strict=True)):
        for i, (top, bottom) in enumerate(rows):
            if bottom <= top:
                continue
            strip = x[image, :, top:bottom].amax(dim=1)
            for j, (left, right) in enumerate(columns):
                if right > left:
                    y[n, :, i, j] = strip[:, left:right].amax(dim=1)
    return y


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
        bounds.append(edges.permute(1, 2, 0).long().clamp_min(0).tolist())
    planes = torch.unflatten(x, 1, (-1, k, k))
    y = x.new_zeros(rois.shape[0], planes.shape[1], k, k)
    images = rois[:, 0].long().tolist()
    for n, (image, rows, columns) in enumerate(zip(images, *bounds, strict=True)):
        for i, (top, bottom) in enumerate(rows):
            for j, (left, right) in enumerate(columns):
                if bottom > top and right > left:
                    cell = planes[image, :, i, j, top:bottom, left:right]
                    y[n, :, i, j] = cell.mean(dim=(1, 2))
    return y
