"""YOLO's detections."""

import torch
import torch.nn.functional as F
from torch import Tensor

from netcompile.prelude.boxes import best_first, suppress


def yolo_boxes(x: Tensor, anchors: list[tuple[float, ...]], pixels: int = 1) -> Tensor:
    """Numbers and boxes of every cell: N × cells × anchors × (x, y, w, h, rest).

    x, y are the centre and w, h the size as parts of the image; a cell is `pixels` wide
    in the units of the anchors. The rest is objectness and class scores, as they come.
    """
    side, count = x.shape[3], len(anchors)
    x = x.permute(0, 2, 3, 1).reshape(x.shape[0], side * side, count, -1)
    place = torch.arange(side * side, device=x.device)
    cell = torch.stack((place % side, place // side), dim=1)[:, None]
    centre = (cell + x[..., :2].sigmoid()) / side
    size = torch.tensor(anchors, device=x.device, dtype=x.dtype) / (side * pixels)
    return torch.cat((centre, x[..., 2:4].exp() * size, x[..., 4:]), dim=-1)


def yolo_rows(
    boxes: Tensor, score: Tensor, label: Tensor, overlap: float, images: int
) -> Tensor:
    """Rows 0, class + 1, score, corners of the boxes that stay, best first; or -1."""
    order = best_first(score.tolist())
    boxes, score, label = boxes[order], score[order], label[order]
    half = boxes[:, 2:] / 2
    corners = torch.cat((boxes[:, :2] - half, boxes[:, :2] + half), dim=1)
    stay = suppress(corners[None], overlap, strict=True)[0]
    if not stay.any():
        none = boxes.new_full((images, 7), -1)
        none[:, 0] = torch.arange(images, device=none.device)
        return none[None, None]
    label = (label + 1).to(score.dtype)
    head = torch.stack((torch.zeros_like(score), label, score), dim=1)
    return torch.cat((head, corners), dim=1)[stay][None, None]


def yolo2_rows(
    maps: list[Tensor],
    anchors: list[tuple[float, ...]],
    classes: int,
    threshold: float,
    overlap: float,
) -> Tensor:
    """YOLOv2's detections as MobileNet-YOLO has them: 1 × 1 × K × 7."""
    found = [yolo_boxes(x, anchors).flatten(0, 2)[:, : 5 + classes] for x in maps]
    numbers = torch.cat(found)
    best, label = F.softmax(numbers[:, 5 : 5 + classes].T, dim=0).max(dim=0)
    score = numbers[:, 4].sigmoid() * best
    keep = score >= threshold
    images = maps[-1].shape[0]
    return yolo_rows(numbers[keep, :4], score[keep], label[keep], overlap, images)


def yolo2_cells(
    x: Tensor,
    anchors: list[tuple[float, ...]],
    classes: int,
    threshold: float,
    overlap: float,
    corners: bool = False,
) -> Tensor:
    """YOLOv2's detections as OpenCL Caffe has them: 1 × 1 × K × 7.

    Boxes suppress others in the order of their cells, by their part within the image.
    """
    rows = []
    for image, numbers in enumerate(yolo_boxes(x, anchors).flatten(1, 2)):
        best, label = F.softmax(numbers[:, 5 : 5 + classes].T, dim=0).max(dim=0)
        score = numbers[:, 4].sigmoid() * best
        keep = score >= threshold
        boxes, score, label = numbers[keep, :4], score[keep], label[keep].to(x.dtype)
        half = boxes[:, 2:] / 2
        edges = torch.cat((boxes[:, :2] - half, boxes[:, :2] + half), dim=1)
        stay = suppress(edges.clamp(0, 1)[None], overlap, strict=True)[0]
        if corners:
            boxes, label = edges, label + 1
        head = torch.stack((torch.full_like(score, image), label, score), dim=1)
        rows.append(torch.cat((head, boxes), dim=1)[stay])
    return torch.cat(rows)[None, None]


def yolo3_rows(
    maps: list[tuple[Tensor, list[tuple[float, ...]], int]],
    classes: int,
    threshold: float,
    overlap: float,
) -> Tensor:
    """YOLOv3's detections, 1 × 1 × K × 7; `maps`: (map, anchors, pixels of a cell).

    A box counts once for every class whose score exceeds the threshold.
    """
    boxes, scores, labels = [], [], []
    for x, anchors, pixels in maps:
        numbers = yolo_boxes(x, anchors, pixels).flatten(0, 2)
        score = numbers[:, 5 : 5 + classes].sigmoid() * numbers[:, 4:5].sigmoid()
        box, label = (score > threshold).nonzero(as_tuple=True)
        boxes.append(numbers[box, :4])
        scores.append(score[box, label])
        labels.append(label)
    found = torch.cat(boxes), torch.cat(scores), torch.cat(labels)
    return yolo_rows(*found, overlap, maps[-1][0].shape[0])
