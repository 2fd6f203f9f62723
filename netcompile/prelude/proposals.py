"""Faster R-CNN's proposals of regions."""

import torch
from torch import Tensor

from netcompile.prelude.boxes import suppress


def moved_anchors(
    offsets: Tensor, anchors: list[tuple[float, ...]], stride: int
) -> Tensor:
    """Boxes of every cell of an image: its anchors, moved and stretched by offsets.

    `offsets` are 4A × H × W (dx, dy, log of width, log of height); boxes are HWA × 4.
    """
    device, (height, width) = offsets.device, offsets.shape[1:]
    x, y = (torch.arange(n, device=device) * stride for n in (width, height))
    shift = torch.stack(torch.meshgrid(x, y, indexing="xy") * 2, dim=-1)[:, :, None]
    boxes = shift + torch.tensor(anchors, device=device, dtype=offsets.dtype)
    low, high = boxes.reshape(-1, 4).chunk(2, dim=1)
    move, stretch = offsets.permute(1, 2, 0).reshape(-1, 4).chunk(2, dim=1)
    size = high - low + 1
    centre, half = move * size + (low + 0.5 * size), 0.5 * (stretch.exp() * size)
    return torch.cat((centre - half, centre + half), dim=1)


def propose(
    scores: Tensor,
    offsets: Tensor,
    image: Tensor,
    anchors: list[tuple[float, ...]],
    stride: int,
    before: int,
    after: int,
    overlap: float,
    least: float,
    keep_small: bool = False,
) -> list[Tensor]:
    """Faster R-CNN's regions (image, x1, y1, x2, y2), and their scores.

    Of an image's boxes the `before` best are suppressed where they overlap, and `after`
    stay. Sides shorter than `least` · scale are left out, or score 0 with `keep_small`.
    """
    found = []
    image = image.reshape(image.shape[0], -1)
    for index in range(scores.shape[0]):
        height, width, *scale = image[min(index, len(image) - 1)][:4]
        limit = torch.stack((width, height)).repeat(2) - 1
        boxes = moved_anchors(offsets[index], anchors, stride)
        boxes = torch.minimum(boxes, limit).clamp_min(0)
        score = scores[index, len(anchors) :].permute(1, 2, 0).flatten()
        side = boxes[:, 2:] - boxes[:, :2] + 1
        fits = (side >= least * torch.stack((scale[-1], scale[0]))).all(dim=1)
        if keep_small:
            score = score * fits
        else:
            boxes, score = boxes[fits], score[fits]
        order = score.sort(stable=True).indices.flip(0)[: before or None]
        boxes, score = boxes[order], score[order]
        stay = suppress(boxes[None], overlap, border=1, most=after)[0]
        boxes, score = boxes[stay], score[stay]
        number = torch.full_like(score, index)[:, None]
        found.append((torch.cat((number, boxes), dim=1), score))
    return [torch.cat(part) for part in zip(*found)]
