"""SSD's prior boxes and detections."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from netcompile.prelude.boxes import (
    best_first,
    decode_boxes,
    highest,
    suppress,
    suppress_easing,
)


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
    corners, variances = priors[0].reshape(2, count, 4)
    spread = torch.ones_like(variances) if encoded else variances
    offsets = location.reshape(n, count, 1 if shared else classes, 4).transpose(1, 2)
    boxes = decode_boxes(offsets, corners[None], spread, code).flatten(1, 2)
    scores = scores.detach().reshape(n, count, classes)
    asked = torch.arange(classes, device=scores.device) != background
    scores = torch.where((scores > threshold) & asked, scores, -torch.inf)
    scores = scores.transpose(1, 2).flatten(0, 1)
    order = highest(scores, min(most, count) if most > -1 else count)
    size, score = order.shape[1], scores.gather(1, order)
    first = torch.arange(classes, device=order.device)[:, None] * count
    place = order.reshape(n, classes, size) + (0 if shared else first)
    boxes = boxes.gather(1, place.reshape(n, -1, 1).expand(-1, -1, 4))
    # What follows depends on the numbers: it asks a device for them once.
    found = torch.cat((score.reshape(n, -1, 1), boxes), dim=2).cpu()
    values, boxes = found[..., 0], found[..., 1:].reshape(n * classes, size, 4)
    valid = (values > -torch.inf).reshape(n * classes, size)
    if eta < 1 and overlap > 0.5:
        stays = suppress_easing(boxes, overlap, valid, eta)
    else:
        stays = suppress(boxes, overlap, valid)
    rows = [location.new_empty(0, 7, device="cpu")]
    for image, stay in enumerate(stays.reshape(n, classes * size)):
        at = stay.nonzero()[:, 0]
        if -1 < keep < len(at):
            at = at[best_first(values[image, at].tolist(), keep)]
            at = at[(at // size).sort(stable=True).indices]
        head = torch.stack((torch.full_like(at, image), at // max(size, 1)), dim=1)
        rows.append(torch.cat((head.to(found.dtype), found[image, at]), dim=1))
    result = torch.cat(rows)
    if len(result) == 0:
        result = location.new_full((n, 7), -1)
        result[:, 0] = torch.arange(n, device=location.device)
    return result[None, None].to(location.device)


def box_sizes(
    least: list[int], most: list[int], ratios: list[float], flip: bool = True
) -> list[tuple[float, float]]:
    """Width and height of SSD's default boxes of one cell, in float32's digits.

    Squares of each `least` and of √(least · most), and for each ratio, and its inverse
    if `flip`, a box of the least one's area.
    """
    turned: list[float] = torch.tensor(
        [1 / r for r in ratios], dtype=torch.float32
    ).tolist()
    every = [each for pair in zip(ratios, turned) for each in pair] if flip else ratios
    sizes: list[tuple[float, float]] = []
    for index, size in enumerate(least):
        sizes.append((size, size))
        if most:
            sizes.append((math.sqrt(size * most[index]),) * 2)
        sizes += [(size * math.sqrt(r), size / math.sqrt(r)) for r in every]
    return [(w, h) for w, h in torch.tensor(sizes, dtype=torch.float32).tolist()]


def prior_boxes(
    x: Tensor,
    image: Tensor | tuple[float, ...],
    sizes: list[tuple[float, float]],
    variances: Sequence[float] = (0.1, 0.1, 0.2, 0.2),
    step: tuple[float, ...] | None = None,
    offset: float = 0.5,
    clip: bool = False,
) -> Tensor:
    """SSD's default boxes: for every cell of x one of each size (width, height).

    `image`, or its height and width, and `step` (height, width) are in pixels. Returns
    1 × 2 × n: the corners as parts of the image, and their variances. Corners are
    computed in float64, as in SSD.
    """
    image = tuple(image.shape[2:]) if isinstance(image, Tensor) else image
    device, dtype = x.device, torch.promote_types(x.dtype, torch.float32)
    step = step or tuple(whole / n for whole, n in zip(image, x.shape[2:]))
    cy, cx = (
        (torch.arange(n, device=device, dtype=dtype) + offset) * s
        for n, s in zip(x.shape[2:], step)
    )
    centre = torch.stack(torch.meshgrid(cx, cy, indexing="xy"), dim=-1)[:, :, None]
    half = torch.tensor(sizes, device=device, dtype=torch.float64) / 2
    corners = torch.cat((centre.double() - half, centre.double() + half), dim=-1)
    boxes = corners / half.new_tensor([image[1], image[0]] * 2)
    boxes = boxes.clamp(0, 1) if clip else boxes
    spread = half.new_tensor(list(variances)).expand_as(boxes)
    return torch.stack((boxes.flatten(), spread.flatten()))[None].to(x.dtype)
