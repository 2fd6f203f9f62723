"""Classes of whole images: a score for each class, the best ones with their names."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from netcompile.analysis.outputs import Output, is_vector
from netcompile.array import Array
from netcompile.data.class_names import named_classes
from netcompile.data.pictures import Picture
from netcompile.data.preparation import Preparation, Resize, mean_over
from netcompile.diagnostics.diagnostic import refuse
from netcompile.report.table import table
from netcompile.tasks.records import NUMBER, has_form, json_record, write_lines
from netcompile.tasks.task import Arrays, Asked, Evaluation, Found, Net, Place, Seen, Task, Writer, require_numbers

if TYPE_CHECKING:
    from netcompile.runtime.processes import Processes

SHOWN = 40  # images that the table of `predict` has


@dataclass(frozen=True)
class Classification(Task):
    """Writes classes/NAME.json for each image, and classes.jsonl for all."""

    output: Output
    names: tuple[str, ...] = ()  # of the classes; none where nobody says
    top: int = 5

    name: ClassVar[str] = "classification"
    title: ClassVar[str] = "classes of images"
    has_classes: ClassVar[bool] = True
    averages: ClassVar[bool] = True
    any_blob: ClassVar[bool] = False  # what has no scores of classes, its features say, is a vector

    @property
    def blobs(self) -> tuple[str, ...]:
        return (self.output.name,)

    @property
    def count(self) -> int:
        """How many classes the net tells apart."""
        return self.output.shape[1]

    @classmethod
    def recognise(cls, net: Net, asked: bool) -> Found | str:
        flat = [o for o in net.outputs if is_vector(o) and net.has_each_image(o)]
        if not flat:
            return "no output has a score for each class of an image (N×C)"
        told = [o for o in flat if o.holds in ("probabilities", "scores")]
        if not (told or asked):
            return "nothing says that its outputs are scores of classes: no Softmax, no loss of classes"
        best = (told or flat)[-1]
        what = {"probabilities": "probabilities", "scores": "scores"}.get(best.holds, "numbers")
        return Found((best.name,), f"output '{best.name}' has {best.shape[1]} {what} for each image")

    @classmethod
    def configure(cls, parser: argparse.ArgumentParser, scoring: bool) -> None:
        if not scoring:
            group = parser.add_argument_group("classes of images")
            group.add_argument("--top", type=int, default=5, metavar="K", help="classes for each image, default 5")

    @classmethod
    def make(cls, net: Net, found: Found, options: argparse.Namespace) -> Self:
        (output,) = (output for output in net.outputs if output.name in found.blobs)
        top = getattr(options, "top", 5)
        if top < 1:
            refuse("usage", f"--top {top} is no number above 0")
        if len(options.classes) > 1:
            refuse("usage", "the net has one output of classes: give --classes once")
        count = output.shape[1]
        names = named_classes(options.classes[0], count) if options.classes else ()
        return cls(output, names, min(top, count))

    @classmethod
    def preparation(cls, net: Net) -> Preparation:
        """As the data layer says; else the size that the net declares, as Caffe's classification.cpp resizes.

        A data layer that crops does not say what it crops from, if it reads a data base: a mean image tells.
        """
        made = next((made for made in net.images.values() if made is not None), None)
        resize = None if made is None or made.resize is None else Resize(*made.resize)
        if made is not None and made.crop is not None:
            if resize is None and made.image is not None and min(made.image.shape[1:]) >= max(made.crop):
                resize = Resize("exact", *made.image.shape[1:])
            if resize is not None:
                return Preparation(resize, made.crop)
        return Preparation(resize or Resize("exact", *net.declared))

    def result(self, arrays: Sequence[Arrays], seen: Seen) -> Array:
        """The probability of each class."""
        scores = [one[self.output.name].reshape(-1).astype(np.float64) for one in arrays]
        for one in scores:
            require_numbers(self.output.name, one.max(), finite=True)
        if self.output.holds != "probabilities":
            scores = [softmax(one) for one in scores]
        found = mean_over(seen.views, scores)
        if found.size != self.count:
            raise ValueError(f"output '{self.output.name}' gives {found.size} numbers, not {self.count}")
        return found

    def called(self, index: int) -> str | None:
        """The name of a class; None where nobody says it."""
        return self.names[index] if self.names else None

    def best(self, scores: Array) -> list[int]:
        """The classes with the highest scores, the first of equals first; NaN counts as the lowest."""
        order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
        return [int(index) for index in order[: self.top]]

    def places(self) -> tuple[Place, ...]:
        return (Place("classes", "json"),)

    def value(self, result: Array, seen: Seen) -> dict[str, Any]:
        best = [{"class": i, "name": self.called(i), "score": _number(result[i])} for i in self.best(result)]
        record = {"image": seen.key.path, "top": best, **seen.view.as_json()}
        if len(seen.views) > 1:
            record["views"] = len(seen.views)
        return record

    def contents(self, result: Array, seen: Seen, made_by: str) -> Iterator[Writer]:
        yield partial(json_record, record=self.value(result, seen), made_by=made_by)

    def knows(self, record: dict[str, Any]) -> bool:
        return has_form(record, {"image": str, "top": [{"class": int, "name": str | None, "score": NUMBER}]})

    def settings(self) -> str:
        return f"{self.names} {self.top}"

    def collect(self, folder: str, pictures: Sequence[Picture], records: Sequence[dict[str, Any] | None]) -> list[str]:
        return [write_lines(folder, "classes.jsonl", records)]

    def summary(self, pictures: Sequence[Picture], records: Sequence[dict[str, Any] | None]) -> str:
        rows = [
            (picture.name, f"{best['score']:.4f}" if best["score"] is not None else "NaN", _called(best))
            for picture, record in zip(pictures, records, strict=True)
            if record is not None
            for best in record["top"][:1]
        ]
        if not rows:
            return ""
        more = f"(and {len(rows) - SHOWN} more)\n" if len(rows) > SHOWN else ""
        return table(("image", "score", "class"), rows[:SHOWN], right=(1,)) + "\n" + more

    def evaluate(self, job: Any, asked: Asked, group: Processes) -> Evaluation:
        from netcompile.tasks.classification.evaluate import evaluate  # torch

        return evaluate(job, self.output, self.names, asked, group)


def softmax(scores: Array) -> Array:
    """Probabilities of scores."""
    exponents = np.exp(scores - scores.max())
    return np.asarray(exponents / exponents.sum())


def _number(value: float) -> float | None:
    """A number as JSON can hold it."""
    return float(np.float32(value)) if np.isfinite(value) else None


def _called(best: dict[str, Any]) -> str:
    return str(best["class"]) if best["name"] is None else f"{best['class']} {best['name']}"
