"""Scores of semantic segmentation as the FCN reference code prints them, from an exact confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]


def confusion(truth: Array, predicted: Array, classes: int, ignore: int = 255) -> Array:
    """Counts of pixels by (true class, predicted class) as int64; labels outside 0 … classes-1 do not count."""
    truth, predicted = truth.ravel().astype(np.int64), predicted.ravel().astype(np.int64)
    counted = (truth >= 0) & (truth < classes) & (truth != ignore)
    pairs = classes * truth[counted] + predicted[counted]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


@dataclass(frozen=True)
class Scores:
    """Pixel accuracy, mean class accuracy, IU per class, its mean, and frequency-weighted IU.

    Classes that no pixel has are NaN and left out of the means, as nanmean does.
    """

    overall_accuracy: float
    mean_accuracy: float
    iu: tuple[float, ...]
    mean_iu: float
    fwavacc: float


def scores(matrix: Array) -> Scores:
    """Scores of a confusion matrix (FCN paper, section 5: n_ij pixels of class i predicted as j, t_i = Σ_j n_ij)."""
    hits, true = np.diag(matrix).astype(float), matrix.sum(1).astype(float)
    union = true + matrix.sum(0) - hits
    with np.errstate(divide="ignore", invalid="ignore"):
        accuracy, iu = hits / true, hits / union
        weights = true / true.sum()
    return Scores(
        float(hits.sum() / true.sum()) if true.sum() else float("nan"),
        _mean(accuracy),
        tuple(float(v) for v in iu),
        _mean(iu),
        float((weights[weights > 0] * iu[weights > 0]).sum()),
    )


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
