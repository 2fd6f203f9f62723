"""Whole trainings with random settings against a slow one in plain NumPy, float64, written from Caffe's equations."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import exp

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from netcompile.caffemodel.recipe import Take
from netcompile.diagnostics.source import Source
from netcompile.train.prepare import Wishes, prepare
from netcompile.train.solver import TYPES, read_solver

Array = np.ndarray
ITEMS, WIDTH, STEPS = 3, 4, 7

# h = x Wᵀ + b;  k = σ(h) Wᵀ + d, with the same W;  y = k Vᵀ + c;  loss = ½ a ‖y − t‖² / N + e Σ k²
NET = """
name: "two losses and shared weights"
layer {{ name: "in" type: "Input" top: "x" top: "t"
  input_param {{ shape {{ dim: 3 dim: 4 }} shape {{ dim: 3 dim: 2 }} }} }}
layer {{ name: "p" type: "InnerProduct" bottom: "x" top: "h" param {{ name: "w" {W} }} param {{ {b} }}
  inner_product_param {{ num_output: 4 }} }}
layer {{ name: "s" type: "Sigmoid" bottom: "h" top: "h" }}
layer {{ name: "q" type: "InnerProduct" bottom: "h" top: "k" param {{ name: "w" }} param {{ {d} }}
  inner_product_param {{ num_output: 4 }} }}
layer {{ name: "r" type: "InnerProduct" bottom: "k" top: "y" param {{ {V} }} param {{ {c} }}
  inner_product_param {{ num_output: 2 }} }}
layer {{ name: "l" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "l" loss_weight: {a} }}
layer {{ name: "e" type: "Reduction" bottom: "k" top: "e" loss_weight: {e} reduction_param {{ operation: SUMSQ }} }}
"""
BLOBS = {"W": Take("p", 0), "b": Take("p", 1), "d": Take("q", 1), "V": Take("r", 0), "c": Take("r", 1)}


def backward(w: dict[str, Array], x: Array, t: Array, a: float, e: float) -> tuple[float, dict[str, Array]]:
    """The loss and its gradient to every blob, by hand."""
    h = x @ w["W"].T + w["b"]
    s = 1 / (1 + np.exp(-h))
    k = s @ w["W"].T + w["d"]
    y = k @ w["V"].T + w["c"]
    loss = a * ((y - t) ** 2).sum() / (2 * ITEMS) + e * (k**2).sum()
    dy = a * (y - t) / ITEMS
    dk = dy @ w["V"] + 2 * e * k
    dh = dk @ w["W"] * s * (1 - s)
    return loss, {"W": dk.T @ s + dh.T @ x, "b": dh.sum(0), "d": dk.sum(0), "V": dy.T @ k, "c": dy.sum(0)}


@dataclass(frozen=True, slots=True)
class Setting:
    """A solver as the oracle takes it; `mults` are each blob's lr_mult and decay_mult."""

    type: str
    policy: str
    base: float
    gamma: float
    power: float
    stepsize: int
    stepvalues: tuple[int, ...]
    momentum: float
    momentum2: float
    rms_decay: float
    delta: float
    decay: float
    penalty: str
    clip: float
    passes: int
    a: float
    e: float
    mults: dict[str, tuple[float, float]]
    seed: int = 0

    def text(self) -> str:
        lines = [f'type: "{self.type}" base_lr: {self.base!r} lr_policy: "{self.policy}" max_iter: {STEPS}']
        lines.append(f'weight_decay: {self.decay!r} regularization_type: "{self.penalty}" iter_size: {self.passes}')
        lines.append(f"gamma: {self.gamma!r} power: {self.power!r} stepsize: {self.stepsize} delta: {self.delta!r}")
        lines.append(f"clip_gradients: {self.clip!r} rms_decay: {self.rms_decay!r} momentum2: {self.momentum2!r}")
        lines += [f"stepvalue: {value}" for value in self.stepvalues]
        lines += [f"momentum: {self.momentum!r}"] if self.type not in ("AdaGrad", "RMSProp") else []
        return "\n".join(lines)

    def net(self) -> str:
        params = {name: f"lr_mult: {lr!r} decay_mult: {decay!r}" for name, (lr, decay) in self.mults.items()}
        return NET.format(a=repr(self.a), e=repr(self.e), **params)

    def rate(self, t: int) -> float:
        match self.policy:
            case "fixed":
                return self.base
            case "step":
                return self.base * self.gamma ** (t // self.stepsize)
            case "multistep":
                return self.base * self.gamma ** sum(t >= value for value in self.stepvalues)
            case "exp":
                return self.base * self.gamma**t
            case "inv":
                return self.base * (1 + self.gamma * t) ** -self.power
            case "poly":
                return self.base * (1 - t / STEPS) ** self.power
            case _:
                return self.base / (1 + exp(-self.gamma * (t - self.stepsize)))


@dataclass
class Oracle:
    """Caffe's solver on the blobs `w`."""

    s: Setting
    w: dict[str, Array]
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.first = {name: np.zeros_like(value) for name, value in self.w.items()}
        self.second = {name: np.zeros_like(value) for name, value in self.w.items()}

    def step(self, t: int, x: Array, target: Array) -> None:
        s = self.s
        loss, gradient = backward(self.w, x, target, s.a, s.e)
        self.losses.append(loss)
        learned = [name for name, (lr, _) in s.mults.items() if lr]
        diff = {name: gradient[name] * s.passes for name in learned}
        norm = np.sqrt(sum((d**2).sum() for d in diff.values()))
        scale = s.clip / norm if 0 <= s.clip < norm else 1.0
        for name in learned:
            lr, decay = s.mults[name]
            penalty = self.w[name] if s.penalty == "L2" else np.sign(self.w[name])
            g = diff[name] * scale / s.passes + s.decay * decay * penalty
            self.w[name] = self.w[name] - self.update(name, g, s.rate(t) * lr, t)

    def update(self, name: str, g: Array, rate: float, t: int) -> Array:
        s, m, v = self.s, self.first, self.second
        match s.type:
            case "SGD":
                m[name] = s.momentum * m[name] + rate * g
                return m[name]
            case "Nesterov":
                old = m[name]
                m[name] = s.momentum * old + rate * g
                return (1 + s.momentum) * m[name] - s.momentum * old
            case "AdaGrad":
                m[name] = m[name] + g * g
                return rate * g / (np.sqrt(m[name]) + s.delta)
            case "RMSProp":
                m[name] = s.rms_decay * m[name] + (1 - s.rms_decay) * g * g
                return rate * g / (np.sqrt(m[name]) + s.delta)
            case "AdaDelta":
                m[name] = s.momentum * m[name] + (1 - s.momentum) * g * g
                change = g * np.sqrt((v[name] + s.delta) / (m[name] + s.delta))
                v[name] = s.momentum * v[name] + (1 - s.momentum) * change * change
                return rate * change
            case _:
                m[name] = s.momentum * m[name] + (1 - s.momentum) * g
                v[name] = s.momentum2 * v[name] + (1 - s.momentum2) * g * g
                corrected = rate * np.sqrt(1 - s.momentum2 ** (t + 1)) / (1 - s.momentum ** (t + 1))
                return corrected * m[name] / (np.sqrt(v[name]) + s.delta)


@dataclass(frozen=True, slots=True)
class Fed:
    """The same batch for every pass of a step."""

    x: Array
    t: Array
    passes: int

    def batch(self, index: int) -> dict[str, Array]:
        step = index // self.passes % STEPS
        return {"x": self.x[step], "t": self.t[step]}


def compare(setting: Setting) -> bool:
    """Both trainings from the same weights on the same batches, netcompile's in float64 too. False if they explode."""
    random = np.random.default_rng(setting.seed)
    x, t = (random.standard_normal((STEPS, ITEMS, n)).astype(np.float32) for n in (WIDTH, 2))
    shapes = {"W": (4, 4), "b": (4,), "d": (4,), "V": (2, 4), "c": (2,)}
    start = {name: random.standard_normal(shape) * 0.5 for name, shape in shapes.items()}

    oracle = Oracle(setting, dict(start))
    with np.errstate(all="ignore"):
        for step in range(STEPS):
            oracle.step(step, x[step].astype(np.float64), t[step].astype(np.float64))
    if not (np.isfinite(oracle.losses).all() and max(oracle.losses) < 1e4):
        return False

    solver = read_solver(Source(f"{setting.text()} net_param {{ {setting.net()} }}"))
    made = prepare(solver, Wishes(batches=Fed(x, t, setting.passes)), lambda text: None, lambda found: None)
    blobs = {take: torch.from_numpy(start[name].copy()) for name, take in BLOBS.items()}
    training = replace(made, blobs=blobs, precision=torch.float64)
    assert set(made.blobs) == set(blobs)
    training.net.code.double()
    training.run()
    np.testing.assert_allclose(training.losses, oracle.losses, rtol=2e-6, atol=1e-9)
    for name, take in BLOBS.items():
        wanted = oracle.w[name]
        found = training.blobs[take].detach().numpy()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6 * np.abs(wanted).max(), err_msg=name)
        if setting.mults[name][0] == 0:
            np.testing.assert_array_equal(found, start[name])
    return True


def number(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers that a float32 holds, as those of a solver are."""
    return st.floats(low, high).map(lambda value: float(np.float32(value)))


def one_of(*values: float) -> st.SearchStrategy[float]:
    return st.sampled_from([float(np.float32(value)) for value in values])


@st.composite
def drawn(draw: st.DrawFn) -> Setting:
    kind = draw(st.sampled_from(TYPES))
    large = kind in ("SGD", "Nesterov")
    return Setting(
        type=kind,
        policy=draw(st.sampled_from(["fixed", "step", "exp", "inv", "multistep", "poly", "sigmoid"])),
        base=draw(number(0.001, 0.05 if large else 0.02 if kind != "AdaDelta" else 2.0)),
        gamma=draw(number(0.1, 1.1)),
        power=draw(number(0.25, 2)),
        stepsize=draw(st.integers(1, STEPS)),
        stepvalues=tuple(sorted(draw(st.sets(st.integers(1, STEPS), max_size=3)))),
        momentum=draw(one_of(0, 0.5, 0.9, 0.99)),
        momentum2=draw(one_of(0.9, 0.99, 0.999)),
        rms_decay=draw(one_of(0, 0.5, 0.9, 0.98)),
        delta=draw(one_of(1e-8, 1e-6, 1e-3, 1)),
        decay=draw(one_of(0, 0.0005, 0.01, 0.1)),
        penalty=draw(st.sampled_from(["L1", "L2"])),
        clip=draw(one_of(-1, 0.05, 0.5, 5)),
        passes=draw(st.integers(1, 4)),
        a=draw(one_of(1, 0.25, 3, 0)),
        e=draw(one_of(0, 0.1, 1)),
        mults={n: (draw(one_of(1, 2, 0.5, 0)), draw(one_of(1, 0, 2))) for n in ("W", "b", "d", "V", "c")},
        seed=draw(st.integers(0, 1000)),
    )


@settings(max_examples=60)
@given(drawn())
def test_random_settings(setting: Setting) -> None:
    assume(setting.a or setting.e)
    assume(compare(setting))


PLAIN = Setting(
    "SGD", "fixed", 2**-6, 0.5, 0.75, 2, (2, 5), 0.5, 0.875, 0.75, 2**-10, 2**-7, "L2", 2**-2, 2, 1.0, 0.125,
    {"W": (1, 1), "b": (2, 0), "d": (0, 1), "V": (0.5, 1), "c": (1, 2)},
)  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("policy", ["fixed", "step", "exp", "inv", "multistep", "poly", "sigmoid"])
def test_every_rule_with_every_policy(kind: str, policy: str) -> None:
    assert compare(replace(PLAIN, type=kind, policy=policy, penalty="L1" if policy in ("inv", "exp") else "L2"))
