"""Activations and functions of single elements in plain NumPy, one by one as in Caffe's loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from netcompile.prototxt.message import Message, float_text

Array = np.ndarray[Any, Any]
Oracle = Callable[[Message, list[Array], list[Array], bool], list[Array]]


def decimal(section: Message, field: str) -> float:
    """A float field as the number that the file writes: 0.1, not the nearest float32."""
    return float(float_text(section.get(field)))


def _each(function: Callable[[Message, float], float]) -> Oracle:
    def oracle(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
        x = bottoms[0]
        return [np.array([function(p, float(v)) for v in x.ravel()]).reshape(x.shape)]

    return oracle


def _relu(p: Message, x: float) -> float:
    return max(x, 0) + decimal(p.get("relu_param"), "negative_slope") * min(x, 0)


def _elu(p: Message, x: float) -> float:
    return max(x, 0) + decimal(p.get("elu_param"), "alpha") * (math.exp(min(x, 0)) - 1)


def sigmoid(x: float) -> float:
    return 0.5 * math.tanh(0.5 * x) + 0.5


def _swish(p: Message, x: float) -> float:
    return x * sigmoid(decimal(p.get("swish_param"), "beta") * x)


def _bnll(p: Message, x: float) -> float:
    return x + math.log(1 + math.exp(-x)) if x > 0 else math.log(1 + math.exp(x))


def _threshold(p: Message, x: float) -> float:
    return float(x > decimal(p.get("threshold_param"), "threshold"))


def _clip(p: Message, x: float) -> float:
    s = p.get("clip_param")
    return max(decimal(s, "min"), min(x, decimal(s, "max")))


def power(base: float, exponent: float) -> float:
    """C's pow."""
    with np.errstate(all="ignore"):
        return float(np.power(np.float64(base), np.float64(exponent)))


def _power(p: Message, x: float) -> float:
    s = p.get("power_param")
    exponent, scale, shift = (decimal(s, f) for f in ("power", "scale", "shift"))
    if exponent * scale == 0:
        return 1.0 if exponent == 0 else power(shift, exponent)
    return power(shift + scale * x, exponent)


def _exp(p: Message, x: float) -> float:
    s = p.get("exp_param")
    base, scale, shift = (decimal(s, f) for f in ("base", "scale", "shift"))
    return math.exp((1 if base == -1 else math.log(base)) * (scale * x + shift))


def _log(p: Message, x: float) -> float:
    s = p.get("log_param")
    base, scale, shift = (decimal(s, f) for f in ("base", "scale", "shift"))
    value = scale * x + shift
    natural = math.log(value) if value > 0 else -math.inf if value == 0 else math.nan
    return natural / (1 if base == -1 else math.log(base))


def _prelu(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    x, slope = bottoms[0], blobs[0].ravel()
    y = np.empty_like(x)
    for at in np.ndindex(*x.shape):
        a = slope[0] if p.get("prelu_param").get("channel_shared") else slope[at[1]]
        y[at] = max(x[at], 0) + a * min(x[at], 0)
    return [y]


def _dropout(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    assert not train, "dropout in training is random"
    return [bottoms[0]]


ORACLES: dict[str, Oracle] = {
    "AbsVal": _each(lambda p, x: abs(x)),
    "BNLL": _each(_bnll),
    "Clip": _each(_clip),
    "Dropout": _dropout,
    "ELU": _each(_elu),
    "Exp": _each(_exp),
    "Log": _each(_log),
    "Power": _each(_power),
    "PReLU": _prelu,
    "ReLU": _each(_relu),
    "Sigmoid": _each(lambda p, x: sigmoid(x)),
    "Swish": _each(_swish),
    "TanH": _each(lambda p, x: math.tanh(x)),
    "Threshold": _each(_threshold),
}
