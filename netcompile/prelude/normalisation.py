"""Normalisation by a batch's statistics, by neighbours, and by length."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netcompile.prelude.inference import Kept, eager, is_frozen, place_of


def normalise_batch(x: Tensor, eps: float) -> Tensor:
    """Each channel to mean 0 and variance 1, by the batch's own statistics."""
    if x.numel() == x.shape[1]:
        return x - x  # one value is its own mean
    return F.batch_norm(x, None, None, training=True, eps=eps)


def normalise_exactly(x: Tensor) -> Tensor:
    """Each channel to mean 0 and variance 1, with no eps, which PyTorch's own wants."""
    others = [axis for axis in range(x.dim()) if axis != 1]
    x = x - x.mean(others, keepdim=True)
    return x / x.square().mean(others, keepdim=True).sqrt()


class BatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d, and the ReLU behind it if `relu`.

    For inference on a CPU, one call of torch scales and shifts by numbers that are
    frozen.
    """

    def __init__(self, *args: Any, relu: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.relu, self.known = relu, Kept()

    def forward(self, x: Tensor) -> Tensor:
        known = None if torch.compiler.is_compiling() else self.scale_and_shift(x)
        if known is None:
            y: Tensor = super().forward(x)
        else:
            y = torch.addcmul(known[1], x, known[0])
        return F.relu(y, inplace=True) if self.relu else y

    def scale_and_shift(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """What each channel is multiplied by, and what is added, where they stay."""
        found = self.weight, self.bias, self.running_mean, self.running_var
        tensors = [t for t in found if t is not None and is_frozen(t)]
        if self.training or torch.is_grad_enabled() or len(tensors) < 4:
            return None
        if not (x.dim() == 4 and x.is_cpu and eager(x)):
            return None
        if any(t.dtype is not torch.float32 for t in (x, *tensors)):
            return None
        places = [place_of(t) for t in tensors]
        if self.known.get("places") != places:
            weight, bias, mean, variance = (t.double() for t in tensors)
            scale = weight / (variance + self.eps).sqrt()
            made = [scale, bias - mean * scale]
            self.known["made"] = [t.float().view(-1, 1, 1) for t in made]
            self.known["places"] = places
        scale, shift = self.known["made"]
        return scale, shift


class BatchNorm(nn.Module):
    """Caffe's BatchNorm: in training by the batch's statistics, else by running ones.

    The running ones are sums that decay by `fraction`; `factor`, summed alike, divides
    them.
    """

    mean: Tensor
    variance: Tensor
    factor: Tensor

    def __init__(
        self,
        channels: int,
        eps: float = 1e-5,
        fraction: float = 0.999,
        use_global_stats: bool | None = None,
    ) -> None:
        super().__init__()
        self.eps, self.fraction, self.use_global_stats = eps, fraction, use_global_stats
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.zeros(channels))
        self.register_buffer("factor", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        fixed = self.use_global_stats
        if fixed is None:
            fixed = not self.training
        if fixed:
            scale = torch.where(self.factor == 0, 0, 1 / self.factor)
            mean, variance = self.mean * scale, self.variance * scale
            return F.batch_norm(x, mean, variance, eps=self.eps)
        mean, variance = torch.zeros_like(self.mean), torch.zeros_like(self.variance)
        if x.numel() == x.shape[1]:  # one value is its own mean
            mean, y = x.detach().flatten(), x - x
        else:  # with momentum 1 the batch's mean and unbiased variance are what is left
            y = F.batch_norm(x, mean, variance, None, None, True, 1.0, self.eps)
        if self.training:
            with torch.no_grad():
                self.mean.mul_(self.fraction).add_(mean)
                self.variance.mul_(self.fraction).add_(variance)
                self.factor.mul_(self.fraction).add_(1)
        return y


class ScaleShift(nn.Module):
    """A scale and a shift for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (x.dim() - 2)
        return x * self.weight.view(shape) + self.bias.view(shape)


def batch_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Normalise by the batch's mean and biased variance, then scale and shift."""
    dims, shape = (0, *range(2, x.dim())), (-1,) + (1,) * (x.dim() - 2)
    var, mean = torch.var_mean(x, dims, correction=0, keepdim=True)
    return (x - mean) / (var + eps).sqrt() * weight.view(shape) + bias.view(shape)


class RunningBN(nn.Module):
    """Batch normalisation whose running variance is the biased one, as in the fork."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float, momentum: float) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            mean, var = self.running_mean, self.running_var
            return F.batch_norm(x, mean, var, self.weight, self.bias, eps=self.eps)
        with torch.no_grad():
            var, mean = torch.var_mean(x, (0, *range(2, x.dim())), correction=0)
            share = self.share()
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(var, share)
        return batch_norm(x, self.weight, self.bias, self.eps)

    def share(self) -> float:
        """How much the batch counts in the running statistics."""
        return 1 - self.momentum


class AveragedBatchNorm(RunningBN):
    """NVCaffe's BatchNorm in training: the first two batches count alone."""

    def __init__(self, channels: int, eps: float, fraction: float) -> None:
        super().__init__(channels, eps, fraction)
        self.running_var.zero_()
        self.passes = 0

    def share(self) -> float:
        self.passes += 1
        return 1 if self.passes <= 2 else super().share()


def lrn(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """F.local_response_norm in all float types, and faster on a CPU.

    Neighbours' squares are summed as whole blobs, and a root is faster than a power.
    """
    wide = x if x.dtype in (torch.float32, torch.float64) else x.float()
    squares = F.pad(wide.square(), (0, 0, 0, 0, size // 2, size // 2))
    total = squares.narrow(1, 0, x.shape[1])
    for first in range(1, size):
        total = total + squares.narrow(1, first, x.shape[1])
    scale = k + alpha / size * total
    if beta == 0.75:
        root = scale.sqrt()
        return x / (root * root.sqrt()).to(x.dtype)
    return x * scale.pow(-beta).to(x.dtype)


def mvn(x: Tensor, dim: tuple[int, ...], eps: float) -> Tensor:
    """Mean 0 and deviation 1 over some axes; eps is added outside the root.

    The derivative is Caffe's own, in which eps does not weaken the variance's part.
    """
    x = x - x.mean(dim, keepdim=True)
    variance = x.square().mean(dim, keepdim=True)
    with torch.no_grad():
        shift = (variance.sqrt() + eps).square() - variance
    return x / (variance + shift).sqrt()


def unit_length(x: Tensor, l1: bool = False) -> tuple[Tensor, Tensor]:
    """The channels of each pixel divided by their length, and the lengths."""
    if l1:
        length = x.abs().sum(dim=1, keepdim=True) + 1e-6
    else:
        length = (x.square().sum(dim=1, keepdim=True) + 1e-6).sqrt()
    return x / length, length


def unit_rows(weight: Tensor, outputs: int) -> Tensor:
    """The weight, each output's share of it divided by its length."""
    rows = weight.reshape(outputs, -1)
    length = (rows.square().sum(dim=1, keepdim=True) + 1e-6).sqrt()
    return (rows / length).view_as(weight)
