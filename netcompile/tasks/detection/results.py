"""What an evaluation of boxes finds: as text, as JSON, as files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from netcompile.array import Array
from netcompile.data.images import data_uri
from netcompile.diagnostics.visible import visible
from netcompile.report.page import PICTURES, Card, Picture, page
from netcompile.report.table import table
from netcompile.tasks.detection.average_precision import ClassScore, mean
from netcompile.tasks.detection.coco_scores import CocoScores
from netcompile.tasks.records import Record, line
from netcompile.tasks.task import Evaluation, Writer

# The means over the classes, by the field of a class's score; the first is the one that the data set's people use.
MEANS = {"eleven_point": "11 points", "area": "area", "integral": "integral"}


@dataclass(frozen=True, slots=True)
class Worst:
    """An image of which little is right: two small pictures, what was found and what is there.

    Of the boxes that score at least the limit of drawings `right` are right and `wrong` wrong; `missed` are not found.
    `share` is 2 · right / (2 · right + wrong + missed).
    """

    name: str
    share: float
    right: int
    wrong: int
    missed: int
    found: Array
    truth: Array


@dataclass(frozen=True)
class DetectionScores(Evaluation):
    """The scores of a net's boxes. `limit`: the overlap of a box that is right. `coco` only on COCO's files.

    `shown` is the score from which the pictures have boxes; `records` are those of the images.
    """

    output: str
    data: str
    images: int
    broken: int
    limit: float
    classes: tuple[ClassScore, ...]
    coco: CocoScores | None
    worst: tuple[Worst, ...]
    shown: float
    records: tuple[Record, ...]

    @property
    def means(self) -> Mapping[str, float]:
        """The mean of each average precision over the classes that have something to find."""
        return {field: mean(getattr(score, field) for score in self.classes) for field in MEANS}

    def text(self, now: datetime, iteration: int) -> str:
        broken = f", {self.broken} broken" if self.broken else ""
        title = f"{visible(self.output)} on {visible(self.data)}, {self.images} images{broken}"
        if self.coco is None:
            return f"{title}, right from an overlap of {self.limit:g} on\n{self._table()}\n"
        rows = [(name, percent(value)) for name, value in self.coco.summary.items()]
        summary = table(("COCO's scores", "%"), rows, right=(1,))
        categories = [(name, percent(ap), percent(half)) for name, (ap, half) in self.coco.categories.items()]
        return f"{title}\n{summary}\n\n{table(('class', 'AP %', 'AP50 %'), categories, right=(1, 2))}\n"

    def _table(self) -> str:
        rows: list[tuple[object, ...]] = [
            (c.name, percent(c.eleven_point), percent(c.area), c.positives, c.detections, c.right) for c in self.classes
        ]
        means = self.means
        rows.append(("mean", percent(means["eleven_point"]), percent(means["area"]), "", "", ""))
        return table(("class", "AP 11 pts %", "AP area %", "boxes", "found", "right"), rows, right=(1, 2, 3, 4, 5))

    def as_json(self, net: str, iteration: int) -> dict[str, Any]:
        """Average precisions between 0 and 1; null where there is nothing to find."""
        made: dict[str, Any] = {
            "version": 1,
            "net": net,
            "data": self.data,
            "iteration": iteration,
            "images": self.images,
            "broken": self.broken,
            "output": self.output,
        }
        if self.coco is not None:
            categories = {name: [_known(ap), _known(half)] for name, (ap, half) in self.coco.categories.items()}
            return {**made, "coco": {n: _known(v) for n, v in self.coco.summary.items()}, "classes": categories}
        return {
            **made,
            "overlap": self.limit,
            "mean_ap": {field: _known(value) for field, value in self.means.items()},
            "classes": [
                {
                    "name": score.name,
                    **{field: _known(getattr(score, field)) for field in MEANS},
                    "boxes": score.positives,
                    "found": score.detections,
                    "right": score.right,
                }
                for score in self.classes
            ],
        }

    def files(self, net: str, iteration: int) -> dict[str, bytes | Writer]:
        """report.html, and detections.jsonl with a line for each image."""
        lines = "".join(map(line, self.records))
        return {"report.html": self.page(net).encode(), "detections.jsonl": lines.encode("utf-8", "backslashreplace")}

    def page(self, net: str) -> str:
        """One self-contained HTML page."""
        return page(
            "detections.html",
            *PICTURES,
            net=net,
            found=self,
            percent=percent,
            facts=self._facts(),
            positives=sum(score.positives for score in self.classes),
            right=sum(score.right for score in self.classes),
            order=sorted(self.classes, key=lambda c: (c.area != c.area, -c.area, c.name)),
            cards=[_card(image) for image in self.worst],
        )

    def _facts(self) -> list[tuple[str, str]]:
        """The numbers that stand first: a number and what it is."""
        if self.coco is not None:
            return [(f"{percent(value)} %", name) for name, value in self.coco.summary.items()]
        titles = {"eleven_point": "mean AP (11 points)", "area": "mean AP (area)"}
        found = [(f"{percent(self.means[field])} %", title) for field, title in titles.items()]
        return [*found, (f"{self.limit:g}", "overlap of a box that is right")]


def _card(image: Worst) -> Card:
    found = Picture("found", data_uri(image.found), f"what was found in {image.name}")
    truth = Picture("truth", data_uri(image.truth), f"what is in {image.name}")
    return Card(image.name, f"{image.right} right, {image.wrong} wrong, {image.missed} missed", (found, truth))


def percent(value: float) -> str:
    """A share in percent; "-" where there is none (NaN).

    >>> percent(0.7049577), percent(float("nan"))
    ('70.50', '-')
    """
    return "-" if value != value else f"{100 * value:.2f}"


def _known(value: float) -> float | None:
    return None if value != value else value
