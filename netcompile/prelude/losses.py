"""Losses."""

import torch
import torch.nn.functional as F
from torch import Tensor

from netcompile.prelude.measures import caffe_floor, caffe_labels, caffe_normalizer


def caffe_softmax_loss(
    x: Tensor,
    label: Tensor,
    dim: int = 1,
    ignore: int | None = None,
    normalization: str = "VALID",
) -> Tensor:
    """Caffe's SoftmaxWithLoss: a probability counts as FLT_MIN at least (e^-87.3)."""
    index, valid = caffe_labels(x, label, dim, ignore)
    log_prob = F.log_softmax(x, dim).gather(dim, index)
    loss = -caffe_floor(log_prob, -87.33654475055310).where(valid, 0).sum()
    return loss / caffe_normalizer(valid, x.shape[:dim].numel(), normalization)


def caffe_infogain_loss(
    x: Tensor,
    label: Tensor,
    matrix: Tensor | list[list[float]],
    dim: int = 1,
    ignore: int | None = None,
    normalization: str = "VALID",
) -> Tensor:
    """Caffe's InfogainLoss: row `label` of the matrix weighs the classes' -log p.

    A probability counts as 1e-20 at least; neither labels nor matrix get a gradient.
    """
    index, valid = caffe_labels(x, label, dim, ignore)
    matrix = torch.as_tensor(matrix, dtype=x.dtype, device=x.device).detach()
    weight = matrix.reshape(x.shape[dim], -1)[index.squeeze(dim)].movedim(-1, dim)
    log_prob = caffe_floor(F.log_softmax(x, dim), -46.05170185988091)
    loss = -(weight * log_prob).where(valid, 0).sum()
    return loss / caffe_normalizer(valid, x.shape[:dim].numel(), normalization)


def caffe_multinomial_loss(prob: Tensor, label: Tensor) -> Tensor:
    """Mean of -log of the label's probability, which counts as 1e-20 at least."""
    prob = prob.reshape(prob.shape[0], -1).gather(1, label.long().reshape(-1, 1))
    return -caffe_floor(prob, 1e-20).log().mean()


def caffe_hinge_loss(x: Tensor, label: Tensor, squared: bool = False) -> Tensor:
    """Caffe's HingeLoss: the label's score should exceed 1, the others be below -1."""
    x = x.reshape(x.shape[0], -1)
    own = label.long().flatten()[: x.shape[0], None]
    own = own == torch.arange(x.shape[1], device=x.device)
    margin = F.relu(1 + torch.where(own, -x, x))
    return (margin.square() if squared else margin).sum() / x.shape[0]


def caffe_sigmoid_loss(
    x: Tensor, target: Tensor, ignore: int, normalization: str = "BATCH_SIZE"
) -> Tensor:
    """Caffe's SigmoidCrossEntropyLoss where some targets do not count."""
    target = target.detach().reshape(x.shape)
    valid = target.long() != ignore
    loss = F.binary_cross_entropy_with_logits(x, target, reduction="none")
    loss = loss.where(valid, 0).sum()
    return loss / caffe_normalizer(valid, x.shape[0], normalization)


def caffe_contrastive_loss(
    a: Tensor, b: Tensor, similar: Tensor, margin: float, legacy: bool = False
) -> Tensor:
    """Caffe's ContrastiveLoss: half the mean of d^2, or of max(margin - d, 0)^2.

    The gradient of the latter is Caffe's, who divides by d + 1e-4; the legacy version
    is max(margin - d^2, 0).
    """
    square = (a - b.reshape(a.shape)).square().reshape(len(a), -1).sum(dim=1)
    similar = similar.long().flatten()[: len(a)] != 0
    if legacy:
        apart = F.relu(margin - square)
    else:
        distance = square.detach().sqrt()
        gap = F.relu(margin - distance)
        slope = square * gap / (distance + 1e-4)
        apart = gap.square() - (slope - slope.detach())
    return torch.where(similar, square, apart).sum() / (2 * len(a))


def softmax_cross_entropy(x: Tensor, target: Tensor) -> Tensor:
    """Batch mean of the divergence of softmax(x) from a target distribution."""
    target = target.reshape(x.shape)
    log_target = torch.where(target > 0, target, 1).log()
    divergence = target.clamp_min(0) * (log_target - F.log_softmax(x, dim=1))
    return divergence.sum() / x.shape[0]


def smooth_l1(d: Tensor, sigma: float, weight: Tensor | float = 1) -> Tensor:
    """Fast R-CNN's loss of the differences d, per image (or per box)."""
    size = d.abs()
    near = size < 1 / sigma**2
    loss = torch.where(near, 0.5 * (sigma * d) ** 2, size - 0.5 / sigma**2)
    return (weight * loss).sum() / d.shape[0]
