"""Boxes (xmin, ymin, xmax, ymax): their overlap, suppression, and encoding."""

import torch
from torch import Tensor


def decode_boxes(
    offsets: Tensor, priors: Tensor, variances: Tensor, code: str
) -> Tensor:
    """Boxes (xmin, ymin, xmax, ymax) from offsets to prior boxes; all are … × 4."""
    offsets = offsets * variances
    low, high = priors[..., :2], priors[..., 2:]
    if code == "CORNER":
        return priors + offsets
    if code == "CORNER_SIZE":
        return priors + offsets * (high - low).repeat(1, 1, 2)
    centre = offsets[..., :2] * (high - low) + (low + high) / 2
    half = offsets[..., 2:].exp() * (high - low) / 2
    return torch.cat((centre - half, centre + half), dim=-1)


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


def encode_boxes(boxes: Tensor, priors: Tensor, variances: Tensor, code: str) -> Tensor:
    """Offsets that decode to `boxes`: the inverse of decode_boxes; all are … × 4."""
    low, high = priors[..., :2], priors[..., 2:]
    if code == "CORNER":
        return (boxes - priors) / variances
    if code == "CORNER_SIZE":
        return (boxes - priors) / (high - low).repeat(1, 2) / variances
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2 - (low + high) / 2
    size = (boxes[..., 2:] - boxes[..., :2]) / (high - low)
    return torch.cat((centre / (high - low), size.log()), dim=-1) / variances


def match_boxes(
    boxes: Tensor,
    truth: Tensor,
    threshold: float,
    one_each: bool = False,
    inside: bool = False,
) -> tuple[Tensor, Tensor]:
    """For each box the true box that it is matched with (-1: none), and the overlap.

    First every true box takes the box that it overlaps most; unless `one_each`, others
    follow from `threshold` on. `inside` marks boxes that leave the image with -2.
    """
    matched = boxes.new_full((len(boxes),), -1, dtype=torch.long)
    overlaps = box_overlap(boxes[:, None], truth)
    overlaps = torch.where(overlaps > 1e-6, overlaps, 0)
    if inside:
        outside = ((boxes < 0) | (boxes > 1)).any(dim=1)
        matched[outside] = -2
        overlaps[outside] = 0
    if len(truth) == 0:
        return matched, boxes.new_zeros(len(boxes))
    most, best = overlaps.amax(dim=1), overlaps.argmax(dim=1)
    if not one_each:
        close = (matched == -1) & (most > 0) & (most >= threshold)
        matched[close] = best[close]
    left = overlaps.clone()
    for _ in range(len(truth)):
        box, true = divmod(int(left.argmax()), len(truth))
        if not left[box, true] > 0:
            break
        matched[box], most[box] = true, overlaps[box, true]
        left[box] = 0
        left[:, true] = 0
    return matched, most
