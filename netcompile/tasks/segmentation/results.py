"""What an evaluation of label maps finds."""

from __future__ import annotations

from dataclasses import dataclass

from netcompile.array import Array
from netcompile.tasks.segmentation.metrics import Scores


@dataclass(frozen=True, slots=True)
class Worst:
    """An image of which little is right, small: pixels, true and predicted labels. `iu` is over its own classes."""

    name: str
    iu: float
    accuracy: float
    rgb: Array
    truth: Array
    predicted: Array


@dataclass(frozen=True, slots=True)
class Head:
    """The result of one score blob."""

    blob: str
    label: str
    classes: tuple[str, ...]
    matrix: Array  # int64, true class × predicted class
    scores: Scores
    worst: tuple[Worst, ...]


@dataclass(frozen=True)
class Results:
    """The results of all heads. `loss` is the mean of the net's loss, None where it has none."""

    heads: tuple[Head, ...]
    images: int
    broken: int
    loss: float | None
