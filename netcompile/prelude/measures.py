"""What losses and accuracies share, and the accuracies."""

import torch
from torch import Tensor


def caffe_floor(x: Tensor, floor: float) -> Tensor:
    """max(x, floor), whose gradient passes as if there were no floor, as in Caffe."""
    return torch.where(x < floor, (x - x.detach()).nan_to_num() + floor, x)


def caffe_labels(
    x: Tensor, label: Tensor, dim: int, ignore: int | None
) -> tuple[Tensor, Tensor]:
    """Labels as indices along `dim` of x, and which of them count (others are 0)."""
    index = label.long().reshape(*x.shape[:dim], 1, *x.shape[dim + 1 :])
    if ignore is None:
        return index, torch.ones_like(index, dtype=torch.bool)
    valid = index != ignore
    return index.where(valid, 0), valid


def caffe_normalizer(valid: Tensor, outer: int, normalization: str) -> Tensor | int:
    """What divides a loss: all, the valid, or the outer axes' items; at least 1."""
    if normalization == "VALID":
        return valid.sum().clamp_min(1)
    return {"FULL": valid.numel(), "BATCH_SIZE": outer, "NONE": 1}[normalization]


def caffe_accuracy(
    x: Tensor, label: Tensor, top_k: int = 1, dim: int = 1, ignore: int | None = None
) -> Tensor:
    """The share of valid labels that fewer than top_k other classes beat or equal."""
    index, valid = caffe_labels(x, label, dim, ignore)
    better = (x >= x.gather(dim, index)).sum(dim, keepdim=True) - 1
    hits = ((better < top_k) & valid).sum().double()
    return (hits / valid.sum().clamp_min(1)).to(x.dtype)


def caffe_class_accuracy(
    x: Tensor, label: Tensor, top_k: int = 1, dim: int = 1, ignore: int | None = None
) -> tuple[Tensor, Tensor]:
    """The share of valid labels that fewer than top_k other classes beat or equal.

    Of all labels, and of each class's; 0 where there are none.
    """
    index, valid = caffe_labels(x, label, dim, ignore)
    better = (x >= x.gather(dim, index)).sum(dim, keepdim=True) - 1
    hit = (better < top_k) & valid
    zero = torch.zeros(x.shape[dim], dtype=torch.float64, device=x.device)
    count = zero.index_add(0, index.flatten(), valid.flatten().double())
    hits = zero.index_add(0, index.flatten(), hit.flatten().double())
    each = hits / count.clamp_min(1)
    return (hits.sum() / count.sum().clamp_min(1)).to(x.dtype), each.to(x.dtype)
