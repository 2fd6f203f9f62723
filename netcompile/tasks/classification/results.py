"""What an evaluation of classes counts, and what is made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netcompile.array import Array

MOST = 5  # of the larger of the two shares that are counted: top-1 and top-5


def rank(scores: Array, label: int) -> int:
    """How many other classes beat or equal the label's score; NaN is beaten by all, its own label by none.

    Source: Caffe's accuracy_layer.cpp, which counts an image as right among the first k where fewer than k do.
    """
    return int((~(scores < scores[label])).sum()) - 1


@dataclass(frozen=True, slots=True)
class Wrong:
    """An image whose class the net got wrong, small: its pixels, both classes, and the probability of each."""

    name: str
    truth: int
    predicted: int
    score: float
    score_of_truth: float
    rgb: Array


@dataclass(frozen=True)
class Results:
    """The counts of all images. `matrix` has true class × predicted class, `within` right ones among the first k."""

    data: str
    matrix: Array  # int64
    within: Array  # int64, true class × k, for k = 1 … MOST
    names: tuple[str, ...]
    images: int
    broken: int
    worst: tuple[Wrong, ...]

    @property
    def truths(self) -> Array:
        """Images of each class."""
        return np.asarray(self.matrix.sum(1))

    def share(self, k: int) -> float:
        """The share of images whose class is among the first k; of fewer classes than k, among all."""
        return float(self.within[:, min(k, self.within.shape[1]) - 1].sum() / max(1, self.images))

    def shares(self) -> list[float | None]:
        """That for the first of each class; None for a class without images."""
        truths = self.truths
        return [float(right / count) if count else None for right, count in zip(self.within[:, 0], truths, strict=True)]

    def keys(self) -> list[str]:
        """The classes' names, each once: those that several have get their number behind."""
        counts = Counter(self.names)
        return [name if counts[name] == 1 else f"{name} ({index})" for index, name in enumerate(self.names)]

    def confusions(self, most: int) -> list[tuple[str, str, int, float]]:
        """The most frequent mistakes: true class, predicted class, images, share of the true class."""
        wrong = self.matrix - np.diag(np.diag(self.matrix))
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        truths = self.truths
        pairs = [(int(i) // len(wrong), int(i) % len(wrong)) for i in order]
        return [
            (self.names[t], self.names[p], int(wrong[t, p]), float(wrong[t, p] / truths[t]))
            for t, p in pairs
            if wrong[t, p]
        ]


def worst_of(images: Sequence[Wrong], keep: int) -> list[Wrong]:
    """The `keep` images of whose wrong class the net is surest; equal ones by name."""
    return sorted(images, key=lambda image: (-image.score, image.name))[:keep]
