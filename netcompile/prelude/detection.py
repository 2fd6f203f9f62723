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
    labels = [label for label in range(classes) if label != background]
    corners, variances = priors[0].reshape(2, 1, count, 4)
    spread = torch.ones_like(variances) if encoded else variances
    offsets = location.reshape(n, count, 1 if shared else classes, 4).transpose(1, 2)
    boxes = decode_boxes(offsets, corners, spread, code)
    boxes = boxes.expand(n, classes, count, 4)[:, labels].flatten(0, 1)
    scores = scores.detach().reshape(n, count, classes).transpose(1, 2)[:, labels]
    scores = torch.where(scores > threshold, scores, -torch.inf).flatten(0, 1)
    order = highest(scores, min(most, count) if most > -1 else count)
    boxes = boxes.gather(1, order[..., None].expand(-1, -1, 4))
    # What follows depends on the numbers: it asks a device for them once.
    found = torch.cat((scores.gather(1, order)[..., None], boxes), dim=-1).cpu()
    values, boxes = found[..., 0], found[..., 1:]
    valid = values > threshold
    if eta < 1 and overlap > 0.5:
        stays = suppress_easing(boxes, overlap, valid, eta)
    else:
        stays = suppress(boxes, overlap, valid)
    rows, size = [], order.shape[1]
    for image, stay in enumerate(stays.reshape(n, len(labels) * size)):
        at = stay.nonzero()[:, 0] + image * len(stay)
        if -1 < keep < len(at):
            at = at[best_first(values.flatten()[at].tolist(), keep)]
            at = at[(at // size).sort(stable=True).indices]
        rows.append(at)
    chosen = torch.cat(rows)
    if len(chosen) == 0:
        none = location.new_full((n, 7), -1)
        none[:, 0] = torch.arange(n, device=none.device)
        return none[None, None]
    image, label = chosen // (len(labels) * size), chosen // size % len(labels)
    head = torch.stack((image, torch.tensor(labels)[label]), dim=1).to(found.dtype)
    result = torch.cat((head, found.flatten(0, 1)[chosen]), dim=1)[None, None]
    return result.to(location.device)


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
