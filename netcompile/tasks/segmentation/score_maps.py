"""From a net's output to what is looked at: labels, probabilities, and grey maps where there is one channel.

Scores are logits unless the net itself ends in Softmax, Sigmoid or ArgMax; `kind` says so, see `analysis.outputs`.
"""

from __future__ import annotations

import numpy as np

from netcompile.array import Array
from netcompile.diagnostics.diagnostic import refuse
from netcompile.diagnostics.text import shape_text


def is_grey(score: Array, kind: str = "") -> bool:
    """Whether it is a map of one channel, 1×H×W: how likely something is, an edge say."""
    return bool(score.ndim == 3 and score.shape[0] == 1 and kind != "labels")


def labels_of(score: Array, kind: str = "") -> Array:
    """The class with the largest score, H×W bytes (the first of equals); labels, H×W, are passed on.

    Of one channel, 1 where the probability is above a half. Raises NetError for what is no map of 1 … 256 classes.
    """
    if kind == "labels" and score.ndim == 3 and score.shape[0] == 1:
        score = score[0]
    if score.ndim == 2:
        return np.asarray(score, np.uint8)
    if is_grey(score):
        return np.asarray(score[0] > (0.5 if kind == "probabilities" else 0), np.uint8)
    if score.ndim != 3 or not 2 <= score.shape[0] <= 256:
        shape = shape_text(score.shape)
        refuse(
            "score-map",
            f"the output is {shape}, no map of 1 to 256 classes",
            why="labels are the class of the largest score at each pixel",
            remedy="--output BLOB names another blob; netcompile run saves any blob as it is",
        )
    return np.asarray(score.argmax(0), np.uint8)


def probabilities(score: Array, kind: str = "") -> Array:
    """Softmax over the classes, C×H×W float32, the sigmoid of one channel; probabilities stay as they are."""
    if kind == "probabilities" or (not is_grey(score) and score.min() >= 0 and np.abs(score.sum(0) - 1).max() < 1e-3):
        return np.asarray(score, np.float32)
    if is_grey(score):
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-score.astype(np.float64))), np.float32)
    exponents = np.exp(score - score.max(0, keepdims=True))
    return np.asarray(exponents / exponents.sum(0, keepdims=True), np.float32)


def grey(score: Array, kind: str = "") -> Array:
    """The probability of one channel as H×W bytes, 255 for certain."""
    return np.asarray(np.rint(probabilities(score, kind)[0].clip(0, 1) * 255), np.uint8)
