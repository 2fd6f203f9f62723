"""Losses and accuracy in plain NumPy, number by number as in Caffe's loops; also the losses' gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import exp, log, prod, sqrt
from typing import Any

import numpy as np

from netcompile.prototxt.message import Message
from tests.oracles.softmax import softmax

Array = np.ndarray[Any, Any]
Oracle = Callable[[Message, list[Array], list[Array], bool], list[Array]]
FLT_MIN = 1.1754943508222875e-38
LOG_THRESHOLD = 1e-20


def _ignore(p: Message) -> int | None:
    loss = p.get("loss_param")
    return loss.get("ignore_label") if loss.has("ignore_label") else None


def _mode(p: Message, default: str) -> str:
    loss = p.get("loss_param")
    if loss.has("normalization"):
        return str(loss.get("normalization"))
    if loss.has("normalize"):
        return "VALID" if loss.get("normalize") else "BATCH_SIZE"
    return default


def _divisor(mode: str, outer: int, inner: int, valid: int) -> float:
    return max(1.0, {"FULL": outer * inner, "VALID": valid, "BATCH_SIZE": outer, "NONE": 1}[mode])


def _positions(x: Array, label: Array, axis: int) -> Iterator[tuple[tuple[int, int], int]]:
    """(outer, inner) positions and their labels, truncated to integers."""
    axis %= x.ndim
    inner = prod(x.shape[axis + 1 :])
    for flat, value in enumerate(label.ravel()):
        yield divmod(flat, inner), int(value)


def _folded(x: Array, axis: int) -> Array:
    """x as (outer, classes, inner)."""
    axis %= x.ndim
    return x.reshape(prod(x.shape[:axis]), x.shape[axis], prod(x.shape[axis + 1 :]))


def class_loss(p: Message, bottoms: list[Array]) -> tuple[float, Array, Array]:
    """Value, gradient of the scores and probabilities, of SoftmaxWithLoss and InfogainLoss."""
    infogain = p.get("type") == "InfogainLoss"
    axis = p.get("infogain_loss_param" if infogain else "softmax_param").get("axis")
    x, label = bottoms[:2]
    prob = _folded(softmax(x, axis), axis)
    outer, classes, inner = prob.shape
    matrix = bottoms[2].reshape(classes, classes) if infogain else np.eye(classes)
    floor = LOG_THRESHOLD if infogain else FLT_MIN
    loss, valid, gradient = 0.0, 0, np.zeros_like(prob)
    for (i, j), value in _positions(x, label, axis):
        if value == _ignore(p):
            continue
        valid += 1
        for c in range(classes):
            if matrix[value, c]:
                loss -= matrix[value, c] * log(max(prob[i, c, j], floor))
            gradient[i, c, j] = prob[i, c, j] * matrix[value].sum() - matrix[value, c]
    divisor = _divisor(_mode(p, "VALID"), outer, inner, valid)
    return loss / divisor, (gradient / divisor).reshape(x.shape), prob.reshape(x.shape)


def multinomial(p: Message, bottoms: list[Array]) -> tuple[float, Array]:
    """Value and gradient of the probabilities."""
    x, label = bottoms
    flat, gradient, loss = x.reshape(len(x), -1), np.zeros((len(x), x[0].size)), 0.0
    for i, value in enumerate(label.ravel()[: len(x)]):
        chance = max(flat[i, int(value)], LOG_THRESHOLD)
        loss -= log(chance) / len(x)
        gradient[i, int(value)] = -1 / chance / len(x)
    return loss, gradient.reshape(x.shape)


def hinge(p: Message, bottoms: list[Array]) -> tuple[float, Array]:
    """Value and gradient of the scores."""
    x, label = bottoms
    flat, gradient, loss = x.reshape(len(x), -1), np.zeros((len(x), x[0].size)), 0.0
    squared = p.get("hinge_loss_param").get("norm") == "L2"
    for i in range(len(x)):
        for j in range(flat.shape[1]):
            sign = -1 if j == int(label.ravel()[i]) else 1
            margin = max(0.0, 1 + sign * flat[i, j])
            loss += (margin * margin if squared else margin) / len(x)
            gradient[i, j] = sign * (2 * margin if squared else np.sign(margin)) / len(x)
    return loss, gradient.reshape(x.shape)


def sigmoid_loss(p: Message, bottoms: list[Array]) -> tuple[float, Array]:
    """Value and gradient of the scores."""
    x, target = bottoms
    loss, valid, gradient = 0.0, 0, np.zeros(x.size)
    for i, (score, goal) in enumerate(zip(x.ravel(), target.ravel(), strict=True)):
        if int(goal) == _ignore(p):
            continue
        valid += 1
        loss -= score * (goal - (score >= 0)) - log(1 + exp(score - 2 * score * (score >= 0)))
        gradient[i] = 1 / (1 + exp(-score)) - goal
    divisor = _divisor(_mode(p, "BATCH_SIZE"), len(x), x[0].size, valid)
    return loss / divisor, (gradient / divisor).reshape(x.shape)


def euclidean(p: Message, bottoms: list[Array]) -> tuple[float, Array]:
    """Value and gradient of the first bottom; the second one's is its negative."""
    difference = bottoms[0] - bottoms[1].reshape(bottoms[0].shape)
    return float((difference**2).sum() / len(difference) / 2), difference / len(difference)


def contrastive(p: Message, bottoms: list[Array]) -> tuple[float, Array]:
    """Value and gradient of the first bottom; the second one's is its negative."""
    param = p.get("contrastive_loss_param")
    margin, n = param.get("margin"), len(bottoms[0])
    difference = bottoms[0] - bottoms[1].reshape(bottoms[0].shape)
    loss, gradient = 0.0, np.zeros_like(difference)
    for i, similar in enumerate(bottoms[2].ravel()[:n]):
        square = float((difference[i] ** 2).sum())
        if int(similar):
            loss += square
            gradient[i] = difference[i] / n
        elif param.get("legacy_version"):
            loss += max(margin - square, 0)
            gradient[i] = -difference[i] / n * (margin > square)
        else:
            distance = sqrt(square)
            loss += max(margin - distance, 0) ** 2
            if margin > distance:
                gradient[i] = -(margin - distance) / (distance + 1e-4) * difference[i] / n
    return loss / n / 2, gradient


def accuracy(p: Message, bottoms: list[Array]) -> tuple[float, Array]:
    """Of all labels, and of each class's."""
    param = p.get("accuracy_param")
    x, label = bottoms
    scores = _folded(x, param.get("axis"))
    hits, counts = np.zeros(scores.shape[1]), np.zeros(scores.shape[1])
    for (i, j), value in _positions(x, label, param.get("axis")):
        if param.has("ignore_label") and value == param.get("ignore_label"):
            continue
        counts[value] += 1
        better = -1  # the class itself counts as better than itself
        for c in range(scores.shape[1]):
            better += int(scores[i, c, j] >= scores[i, value, j])
        hits[value] += better < param.get("top_k")
    each = np.array([h / n if n else 0.0 for h, n in zip(hits, counts, strict=True)])
    return float(hits.sum() / counts.sum()) if counts.sum() else 0.0, each


def _tops(p: Message, *values: float | Array) -> list[Array]:
    return [np.asarray(v) for v in values[: max(len(p.all("top")), 1)]]


def _oracle(function: Callable[[Message, list[Array]], tuple[Any, ...]], *second: int) -> Oracle:
    """The forward pass of a function that gives the first top, and further tops at the places `second`."""

    def forward(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
        values = function(p, bottoms)
        return _tops(p, values[0], *(values[i] for i in second))

    return forward


ORACLES: dict[str, Oracle] = {
    "SoftmaxWithLoss": _oracle(class_loss, 2),
    "InfogainLoss": _oracle(class_loss, 2),
    "MultinomialLogisticLoss": _oracle(multinomial),
    "HingeLoss": _oracle(hinge),
    "SigmoidCrossEntropyLoss": _oracle(sigmoid_loss),
    "EuclideanLoss": _oracle(euclidean),
    "ContrastiveLoss": _oracle(contrastive),
    "Accuracy": _oracle(accuracy, 1),
}
