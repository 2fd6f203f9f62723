"""Update rules and learning-rate policies against plain NumPy written from the formulas."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from netcompile.diagnostics.source import Source
from netcompile.train.rates import Policy
from netcompile.train.rules import UPDATES, clip, regularise
from netcompile.train.solver import read_solver

Step = Callable[[np.ndarray, list[np.ndarray], int], np.ndarray]
RATE, MOMENTUM, DELTA, RMS, BETA2 = 0.1, 0.9, 1e-3, 0.95, 0.98


def sgd(g: np.ndarray, h: list[np.ndarray], t: int) -> np.ndarray:
    h[0] = MOMENTUM * h[0] + RATE * g
    return h[0]


def nesterov(g: np.ndarray, h: list[np.ndarray], t: int) -> np.ndarray:
    old, h[0] = h[0], MOMENTUM * h[0] + RATE * g
    return (1 + MOMENTUM) * h[0] - MOMENTUM * old


def adagrad(g: np.ndarray, h: list[np.ndarray], t: int) -> np.ndarray:
    h[0] = h[0] + g**2
    return RATE * g / (np.sqrt(h[0]) + DELTA)


def rmsprop(g: np.ndarray, h: list[np.ndarray], t: int) -> np.ndarray:
    h[0] = RMS * h[0] + (1 - RMS) * g**2
    return RATE * g / (np.sqrt(h[0]) + DELTA)


def adadelta(g: np.ndarray, h: list[np.ndarray], t: int) -> np.ndarray:
    h[0] = MOMENTUM * h[0] + (1 - MOMENTUM) * g**2
    step = g * np.sqrt((h[1] + DELTA) / (h[0] + DELTA))
    h[1] = MOMENTUM * h[1] + (1 - MOMENTUM) * step**2
    return RATE * step


def adam(g: np.ndarray, h: list[np.ndarray], t: int) -> np.ndarray:
    h[0] = MOMENTUM * h[0] + (1 - MOMENTUM) * g
    h[1] = BETA2 * h[1] + (1 - BETA2) * g**2
    correction = np.sqrt(1 - BETA2 ** (t + 1)) / (1 - MOMENTUM ** (t + 1))
    return RATE * correction * h[0] / (np.sqrt(h[1]) + DELTA)


ORACLES: dict[str, Step] = {
    "SGD": sgd, "Nesterov": nesterov, "AdaGrad": adagrad, "RMSProp": rmsprop, "AdaDelta": adadelta, "Adam": adam,
}  # fmt: skip


@pytest.mark.parametrize("kind", UPDATES)
def test_rule_follows_its_formula(kind: str) -> None:
    momentum = "" if kind in ("AdaGrad", "RMSProp") else f"momentum: {MOMENTUM}"
    solver = read_solver(
        Source(
            f'net: "n" type: "{kind}" base_lr: {RATE} lr_policy: "fixed" max_iter: 9 {momentum} delta: {DELTA} '
            f"rms_decay: {RMS} momentum2: {BETA2}"
        )
    )
    random = np.random.default_rng(1)
    update = UPDATES[kind]
    mine = [torch.zeros(40) for _ in range(update.histories)]
    oracle = [np.zeros(40) for _ in range(update.histories)]
    for t in range(6):
        gradient = random.standard_normal(40)
        wanted = ORACLES[kind](gradient, oracle, t)
        found = update.rule(solver, torch.from_numpy(gradient.astype(np.float32)), mine, RATE, t)
        np.testing.assert_allclose(found.numpy(), wanted, rtol=2e-5, atol=1e-7)
        for a, b in zip(mine, oracle, strict=True):
            np.testing.assert_allclose(a.numpy(), b, rtol=2e-5, atol=1e-7)


POLICIES: list[tuple[Policy, Callable[[int], float]]] = [
    (Policy("fixed", 0.1), lambda t: 0.1),
    (Policy("step", 0.1, gamma=0.5, stepsize=3), lambda t: 0.1 * 0.5 ** (t // 3)),
    (Policy("exp", 0.1, gamma=0.9), lambda t: 0.1 * 0.9**t),
    (Policy("inv", 0.1, gamma=0.01, power=0.75), lambda t: 0.1 * (1 + 0.01 * t) ** -0.75),
    (Policy("multistep", 0.1, gamma=0.1, stepvalues=(2, 5)), lambda t: 0.1 * 0.1 ** ((t >= 2) + (t >= 5))),
    (Policy("poly", 0.1, power=0.9, max_iter=12), lambda t: 0.1 * (1 - t / 12) ** 0.9),
    (Policy("sigmoid", 0.1, gamma=-0.5, stepsize=6), lambda t: 0.1 / (1 + np.exp(0.5 * (t - 6)))),
]


@pytest.mark.parametrize(("policy", "formula"), POLICIES, ids=[p.name for p, _ in POLICIES])
def test_policy_follows_its_formula(policy: Policy, formula: Callable[[int], float]) -> None:
    taken = 0
    for t in range(12):
        taken = policy.step(t, taken)
        assert policy.rate(t, taken) == pytest.approx(formula(t), rel=1e-6)


def test_multistep_takes_one_step_an_iteration() -> None:
    """Equal step values take effect one iteration after the other, as Caffe's counter does."""
    policy = Policy("multistep", 1.0, gamma=0.5, stepvalues=(2, 2))
    taken, rates = 0, []
    for t in range(5):
        taken = policy.step(t, taken)
        rates.append(policy.rate(t, taken))
    assert rates == [1.0, 1.0, 0.5, 0.25, 0.25]


def test_clip_scales_all_gradients_by_their_joint_norm() -> None:
    gradients = [torch.tensor([3.0]), torch.tensor([[0.0, 4.0]])]
    assert clip(gradients, 2.5) == 5.0
    assert [g.tolist() for g in gradients] == [[1.5], [[0.0, 2.0]]]
    assert clip(gradients, 2.5) == 2.5
    assert [g.tolist() for g in gradients] == [[1.5], [[0.0, 2.0]]]
    clip(gradients, -1)
    assert [g.tolist() for g in gradients] == [[1.5], [[0.0, 2.0]]]


@pytest.mark.parametrize(("kind", "wanted"), [("L2", [1.5, 0.5, 1.0]), ("L1", [1.25, 0.75, 1.0])])
def test_regularise(kind: str, wanted: list[float]) -> None:
    diff = torch.ones(3)
    regularise(diff, torch.tensor([2.0, -2.0, 0.0]), 0.25, kind)
    assert diff.tolist() == wanted
