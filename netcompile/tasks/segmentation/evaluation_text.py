"""An evaluation as text and as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from netcompile.diagnostics.visible import visible
from netcompile.report.table import table
from netcompile.tasks.segmentation.metrics import score_lines
from netcompile.tasks.segmentation.results import Head, Results


def evaluation_as_text(found: Results, now: datetime, iteration: int) -> str:
    """For each head score.py's lines, then a table of its classes."""
    parts = []
    for head in found.heads:
        parts.append(score_lines(head.scores, now, iteration, found.loss))
        title = f"{visible(head.blob)}, {found.images} images" + (f", {found.broken} broken" if found.broken else "")
        parts.append(f"{title}\n{_table(head)}\n")
    return "\n".join(parts)


def _table(head: Head) -> str:
    truth, predicted = head.matrix.sum(1), head.matrix.sum(0)
    rows = [
        (index, name, percent(head.scores.iu[index]), percent(head.scores.accuracy[index]),
         int(truth[index]), int(predicted[index]))
        for index, name in enumerate(head.classes)
    ]  # fmt: skip
    mean = ("", "mean", percent(head.scores.mean_iu), percent(head.scores.mean_accuracy), "", "")
    header = ("", "class", "IU %", "accuracy %", "pixels", "predicted")
    extra = []
    if round(head.scores.mean_iu_present, 12) != round(head.scores.mean_iu, 12):
        extra = [("", "mean of the classes present", percent(head.scores.mean_iu_present), "", "", "")]
    return table(header, [*rows, mean, *extra], right=(0, 2, 3, 4, 5))


def percent(value: float) -> str:
    """A share in percent; "-" where there is none (NaN).

    >>> percent(0.7049577), percent(float("nan"))
    ('70.50', '-')
    """
    return "-" if value != value else f"{100 * value:.2f}"


def evaluation_as_json(found: Results, net: str, data: str, iteration: int) -> dict[str, Any]:
    """``{"version", "net", "data", "iteration", "images", "broken", "loss", "heads": […]}``; null for NaN."""
    return {
        "version": 1,
        "net": net,
        "data": data,
        "iteration": iteration,
        "images": found.images,
        "broken": found.broken,
        "loss": found.loss,
        "heads": [_head(head) for head in found.heads],
    }


_MEANS = ("overall_accuracy", "mean_accuracy", "mean_iu", "mean_iu_present", "fwavacc")


def _head(head: Head) -> dict[str, Any]:
    found = head.scores
    return {
        "output": head.blob,
        "label": head.label,
        **{name: _known(getattr(found, name)) for name in _MEANS},
        "classes": list(head.classes),
        "iu": [_known(value) for value in found.iu],
        "accuracy": [_known(value) for value in found.accuracy],
        "hist": head.matrix.tolist(),
    }


def _known(value: float) -> float | None:
    return None if value != value else value
