"""Softmax in plain NumPy: slow, and obviously right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from netcompile.prototxt.message import Message

Array = np.ndarray[Any, Any]
Oracle = Callable[[Message, list[Array], list[Array], bool], list[Array]]


def softmax(x: Array, axis: int) -> Array:
    """exp(x) / Σ exp(x) along an axis."""
    e = np.exp(x - x.max(axis, keepdims=True))
    return np.asarray(e / e.sum(axis, keepdims=True))


def _softmax(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    return [softmax(bottoms[0], p.get("softmax_param").get("axis"))]


ORACLES: dict[str, Oracle] = {"Softmax": _softmax}
