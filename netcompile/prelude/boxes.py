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
    sides, areas = [], []
    for low, high in ((0, 2), (1, 3)):
        start = torch.maximum(a[..., low], b[..., low])
        end = torch.minimum(a[..., high] + border, b[..., high] + border)
        sides.append(end.sub_(start).clamp_min_(0))
    for box in (a, b):
        width, height = (box[..., i + 2] - box[..., i] + border for i in (0, 1))
        area = width.clamp_min(0) * height.clamp_min(0)
        # No area, nothing shared: 0 of something, since 0 / 0 would be no number.
        areas.append(torch.where(area > 0, area, torch.inf))
    shared = sides[0].mul_(sides[1]).nan_to_num_(0, torch.inf)
    return shared.div_((areas[0] + areas[1]).sub_(shared))


def suppress(
    boxes: Tensor,
    overlap: float,
    valid: Tensor | None = None,
    border: int = 0,
    most: int | None = None,
    strict: bool = False,
) -> Tensor:
    """Greedy suppression in lists of boxes sorted by score: a mask of those that stay.

    Boxes are lists × K × 4. A box goes if its intersection over union with one of its
    list that stays exceeds `overlap`, or with `strict` reaches it. At most `most` of a
    list stay. Boxes that are not `valid` neither stay nor suppress. Every step depends
    on what stayed before, so the boxes of a device are brought to the processor once.
    """
    device, boxes = boxes.device, boxes.detach().cpu()
    stays = boxes.new_zeros(boxes.shape[:2], dtype=torch.bool)
    valid = ~stays if valid is None else valid.cpu()
    place = torch.arange(stays.numel()).reshape(stays.shape)
    planes = boxes.permute(2, 0, 1)  # each coordinate in one piece: faster
    while valid.any():
        lists = valid.any(dim=1)
        order = valid[lists].sort(dim=1, descending=True, stable=True).indices
        order = order[:, : int(valid.sum(dim=1).max())]
        place, valid = place[lists].gather(1, order), valid[lists].gather(1, order)
        planes = planes[:, lists].gather(2, order.expand(4, -1, -1))
        step = max(16, 2**17 // order.numel())  # pairs that stay in a cache
        first, every = planes[:, :, :step, None], planes[:, :, None]
        worst = box_overlap(first.movedim(0, -1), every.movedim(0, -1), border)
        stay = undisputed(worst[:, :, :step], valid[:, :step], overlap, strict)
        stays.view(-1)[place[:, :step]] = stay
        # The first of a list stays: it takes the place of those that do not.
        rank = torch.arange(stay.shape[1]).where(stay, 0)
        lists = torch.arange(len(stay))[:, None]
        worst = worst[lists, rank, step:].amax(dim=1)
        place, planes = place[:, step:], planes[:, :, step:]
        valid = valid[:, step:] & (worst < overlap if strict else worst <= overlap)
        if most is not None:
            valid &= (stays.sum(dim=1) < most)[place // stays.shape[1]]
    if most is not None:
        stays &= stays.cumsum(dim=1) <= most
    return stays.to(device)


def undisputed(worst: Tensor, valid: Tensor, overlap: float, strict: bool) -> Tensor:
    """Which of a few boxes stay (lists × K), of their overlaps, lists × K × K.

    A box goes if one before it that stays overlaps it too much: every round settles at
    least one more, most rounds many.
    """
    apart = worst < overlap if strict else worst <= overlap
    before = (~apart).triu(1).to(torch.float32)
    stay = valid
    while True:
        found = valid & (stay[:, None].to(torch.float32) @ before == 0)[:, 0]
        if torch.equal(found, stay):
            return stay
        stay = found


def suppress_easing(boxes: Tensor, overlap: float, valid: Tensor, eta: float) -> Tensor:
    """As `suppress`, but `eta` shrinks a list's `overlap` with every box of it that
    stays, down to a half.
    """
    boxes, stays = boxes.detach(), torch.zeros_like(valid)
    worst = boxes.new_full(valid.shape, -1)
    limit = boxes.new_full(valid.shape[:1], overlap, dtype=torch.float64)
    for rank in range(valid.shape[1]):
        stay = valid[:, rank] & (worst[:, rank] <= limit.to(worst.dtype))
        stays[:, rank] = stay
        found = torch.maximum(worst, box_overlap(boxes[:, rank, None], boxes))
        worst = torch.where(stay[:, None], found, worst)
        limit = torch.where(stay & (limit > 0.5), limit * eta, limit)
    return stays


def highest(scores: Tensor, count: int) -> Tensor:
    """Indices of the `count` highest scores of each row, highest first.

    Equal scores come in their order, also those that `count` cuts between; none is NaN.
    """
    if not 0 < count < scores.shape[1]:
        order = scores.sort(dim=1, descending=True, stable=True).indices
        return order[:, :count]
    least = scores.topk(count, dim=1).values[:, -1:]
    above, level = scores > least, scores == least
    room = count - above.sum(dim=1, keepdim=True)
    chosen = above | (level & (level.cumsum(dim=1) <= room))
    place = torch.arange(scores.shape[1], 0, -1, device=scores.device)
    first = scores.shape[1] - (place * chosen).topk(count, dim=1).values
    order = scores.gather(1, first).sort(dim=1, descending=True, stable=True).indices
    return first.gather(1, order)


def best_first(scores: list[float], most: int | None = None) -> list[int]:
    """Indices of the `most` best scores in descending order, as C++'s std::sort does.

    It partitions around medians of three down to 16 scores and then inserts, so equal
    scores come in an order of their own, which decides what a limit keeps of them.
    """
    most = len(scores) if most is None else most
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    top = {scores[i] for i in order[: most + 1]}
    if len(top) == len(order[: most + 1]):
        return order[:most]
    order, spans = list(range(len(scores))), [(0, len(scores))]
    while spans:
        first, last = spans.pop()
        span = {scores[i] for i in order[first:last]}
        if last - first <= 16 or first >= most or len(span) == last - first:
            continue  # how these are put shows nowhere
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
    return sorted(order, key=lambda i: -scores[i])[:most]


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
