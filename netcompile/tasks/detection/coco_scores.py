"""Scores of COCO's challenge, computed by pycocotools: an extra, ``pip install "netcompile[coco]"``."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np

from netcompile.data.boxes import Detections
from netcompile.data.boxes_coco import CocoTruth, results
from netcompile.diagnostics.diagnostic import refuse

# The twelve numbers of COCOeval's summary, in its order.
NAMES = (
    "AP", "AP50", "AP75", "AP small", "AP medium", "AP large",
    "AR 1", "AR 10", "AR 100", "AR small", "AR medium", "AR large",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CocoScores:
    """The summary by its names (`NAMES`), NaN where there is nothing to find, and for each category its AP and AP50."""

    summary: Mapping[str, float]
    categories: Mapping[str, tuple[float, float]]


def coco_scores(truth: CocoTruth, found: Iterable[tuple[int, Detections]], ids: Sequence[int]) -> CocoScores:
    """What pycocotools says of detections (by the id of their image; `ids` are those of the net's classes).

    Raises NetError where pycocotools is not installed.
    """
    COCO, COCOeval = require_pycocotools()
    shown = io.StringIO()  # it reports to stdout what it does
    with redirect_stdout(shown):
        true, said = COCO(), COCO()
        true.dataset = _true(truth)
        said.dataset = {**true.dataset, "annotations": _numbered(results(found, ids))}
        true.createIndex()
        said.createIndex()
        evaluation = COCOeval(true, said, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # IoU limits × recalls × categories × sizes × most detections; −1 where there is nothing to find
    curves = evaluation.eval["precision"][:, :, :, 0, -1]
    categories = {
        truth.categories[number]: (_mean(curves[:, :, index]), _mean(curves[0, :, index]))
        for index, number in enumerate(evaluation.params.catIds)
    }
    summary = [float(value) if value > -1 else float("nan") for value in evaluation.stats]
    return CocoScores(dict(zip(NAMES, summary, strict=True)), categories)


def require_pycocotools() -> tuple[Any, Any]:
    """Its classes COCO and COCOeval. Raises NetError where it is not installed."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        what = f"scores on COCO's files need a package that is not installed: {error.name or 'pycocotools'}"
        refuse("coco-missing", what, remedy='pip install "netcompile[coco]"')
    return COCO, COCOeval


def _mean(values: Any) -> float:
    known = values[values > -1]
    return float(np.mean(known)) if known.size else float("nan")


def _true(truth: CocoTruth) -> dict[str, Any]:
    """The file's value as pycocotools needs it: what may be left out filled in, ids from 1 on (0 reads as "none")."""
    annotations = [
        {
            "id": index,
            "image_id": entry["image_id"],
            "category_id": entry["category_id"],
            "bbox": entry["bbox"],
            "area": entry.get("area", entry["bbox"][2] * entry["bbox"][3]),
            "iscrowd": int(bool(entry.get("iscrowd", 0))),
        }
        for index, entry in enumerate(truth.raw["annotations"], 1)
    ]
    return {
        "images": [{"id": image.number} for image in truth.images],
        "categories": [{"id": number} for number in truth.categories],
        "annotations": annotations,
    }


def _numbered(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**entry, "id": index, "area": entry["bbox"][2] * entry["bbox"][3], "iscrowd": 0}
        for index, entry in enumerate(found, 1)
    ]
