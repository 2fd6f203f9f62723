"""Caffe's update rules on float32 tensors, in Caffe's order of operations (src/caffe/solvers of Caffe 1.0)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from netcompile.prototxt.schema import float32
from netcompile.train.solver import Solver

Rule = Callable[[Solver, Tensor, Sequence[Tensor], float, int], Tensor]


@dataclass(frozen=True, slots=True)
class Update:
    """A solver type: how many histories it keeps per blob, and its rule.

    The rule takes the solver, the regularised gradient, the blob's histories (changed in place), the blob's own
    learning rate and the iteration, and returns what is subtracted from the blob. It may overwrite the gradient.
    """

    histories: int
    rule: Rule


def _sgd(solver: Solver, diff: Tensor, history: Sequence[Tensor], rate: float, iteration: int) -> Tensor:
    return history[0].mul_(solver.momentum).add_(diff, alpha=rate)


def _nesterov(solver: Solver, diff: Tensor, history: Sequence[Tensor], rate: float, iteration: int) -> Tensor:
    before = history[0].clone()
    history[0].mul_(solver.momentum).add_(diff, alpha=rate)
    return before.mul_(-solver.momentum).add_(history[0], alpha=1.0 + solver.momentum)


def _adagrad(solver: Solver, diff: Tensor, history: Sequence[Tensor], rate: float, iteration: int) -> Tensor:
    history[0].add_(diff * diff)
    return diff.div_(history[0].sqrt().add_(solver.delta)).mul_(rate)


def _rmsprop(solver: Solver, diff: Tensor, history: Sequence[Tensor], rate: float, iteration: int) -> Tensor:
    history[0].mul_(solver.rms_decay).add_(diff * diff, alpha=1.0 - solver.rms_decay)
    return diff.div_(history[0].sqrt().add_(solver.delta)).mul_(rate)


def _adadelta(solver: Solver, diff: Tensor, history: Sequence[Tensor], rate: float, iteration: int) -> Tensor:
    gradients, updates = history
    gradients.mul_(solver.momentum).add_(diff * diff, alpha=1.0 - solver.momentum)
    diff.mul_((updates + solver.delta).div_(gradients + solver.delta).sqrt_())
    updates.mul_(solver.momentum).add_(diff * diff, alpha=1.0 - solver.momentum)
    return diff.mul_(rate)


def _adam(solver: Solver, diff: Tensor, history: Sequence[Tensor], rate: float, iteration: int) -> Tensor:
    first, second = history
    beta1, beta2, t = solver.momentum, solver.momentum2, iteration + 1
    correction = float32(sqrt(1.0 - beta2**t) / (1.0 - beta1**t))
    first.mul_(beta1).add_(diff, alpha=1.0 - beta1)
    second.mul_(beta2).add_(diff * diff, alpha=1.0 - beta2)
    return (first / second.sqrt().add_(solver.delta)).mul_(float32(rate * correction))


UPDATES: dict[str, Update] = {
    "SGD": Update(1, _sgd),
    "Nesterov": Update(1, _nesterov),
    "AdaGrad": Update(1, _adagrad),
    "RMSProp": Update(1, _rmsprop),
    "AdaDelta": Update(2, _adadelta),
    "Adam": Update(2, _adam),
}


@torch.no_grad()
def clip(gradients: Sequence[Tensor], limit: float) -> float:
    """Scale all gradients so that their joint L2 norm is at most `limit`; a negative limit does nothing.

    Works in place and returns the norm as it was. Caffe clips what the iter_size passes have summed up, before it
    is divided by iter_size and before weight decay is added.
    """
    if limit < 0 or not gradients:
        return 0.0
    norm = float(torch.stack([g.square().sum() for g in gradients]).sum().sqrt())
    if norm > limit:
        for gradient in gradients:
            gradient.mul_(float32(limit / norm))
    return norm


@torch.no_grad()
def regularise(diff: Tensor, data: Tensor, decay: float, kind: str) -> None:
    """Add the gradient of the weight penalty: decay · w for L2, decay · sign(w) for L1."""
    if decay:
        diff.add_(data if kind == "L2" else data.sign(), alpha=decay)
