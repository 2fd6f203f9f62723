"""Scores of semantic segmentation as the FCN reference code prints them, from an exact confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from netcompile.array import Array

VOID = 255  # the label of pixels that do not count


def confusion(truth: Array, predicted: Array, classes: int) -> Array:
    """Pixels by (true class, predicted class), int64; labels outside 0 … classes - 1 do not count, nor does 255, which
    in the prediction is what a crop left out."""
    truth, predicted = truth.ravel().astype(np.int64), predicted.ravel().astype(np.int64)
    counted = (truth >= 0) & (truth < classes) & (truth != VOID)
    counted &= (predicted < classes) & (predicted != VOID)
    pairs = classes * truth[counted] + predicted[counted]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


@dataclass(frozen=True, slots=True)
class Scores:
    """Pixel accuracy, mean class accuracy, IU per class, its mean, and frequency-weighted IU.

    Classes that no pixel has are NaN and left out of the means, as nanmean does. `mean_iu_present` is the mean over the
    classes that the truth has: on data without some classes (SIFT Flow's test images) a false pixel of an absent class
    makes that class's IU 0 in `mean_iu`.
    """

    overall_accuracy: float
    mean_accuracy: float
    iu: tuple[float, ...]
    mean_iu: float
    fwavacc: float
    accuracy: tuple[float, ...] = ()
    mean_iu_present: float = float("nan")


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
        tuple(float(v) for v in accuracy),
        _mean(iu[true > 0]),
    )


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def score_lines(found: Scores, now: datetime, iteration: int = 0, loss: float | None = None) -> str:
    """The lines that the FCN repository's score.py prints, in its order and form.

    Numbers have the 12 digits of Python 2's ``print``. The loss line appears where there is a loss.

    >>> from datetime import datetime
    >>> lines = score_lines(scores(np.array([[3, 1], [0, 4]])), datetime(2016, 5, 1, 12), 100)
    >>> print(lines.replace(">>> ", ""), end="")
    2016-05-01 12:00:00 Begin seg tests
    2016-05-01 12:00:00 Iteration 100 overall accuracy 0.875
    2016-05-01 12:00:00 Iteration 100 mean accuracy 0.875
    2016-05-01 12:00:00 Iteration 100 mean IU 0.775
    2016-05-01 12:00:00 Iteration 100 fwavacc 0.775
    """
    rows = [("loss", loss)] if loss is not None else []
    rows += [
        ("overall accuracy", found.overall_accuracy),
        ("mean accuracy", found.mean_accuracy),
        ("mean IU", found.mean_iu),
        ("fwavacc", found.fwavacc),
    ]
    lines = [f">>> {now} Begin seg tests"]
    lines += [f">>> {now} Iteration {iteration} {name} {python2_float(value)}" for name, value in rows]
    return "".join(f"{line}\n" for line in lines)


def python2_float(value: float) -> str:
    """A float as ``str`` wrote it in Python 2: 12 significant digits.

    >>> python2_float(0.9575872293722759), python2_float(1.0), python2_float(float("nan")), python2_float(2e5)
    ('0.957587229372', '1.0', 'nan', '200000.0')
    """
    text = f"{value:.12g}"
    return f"{text}.0" if text.lstrip("-").isdigit() else text
