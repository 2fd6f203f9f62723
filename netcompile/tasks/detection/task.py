"""Detection: boxes with classes and scores."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from netcompile.data.boxes import Detections
from netcompile.data.boxes_coco import category_ids, results, results_text
from netcompile.data.boxes_voc import results_by_class
from netcompile.data.class_names import named_classes
from netcompile.data.images import png
from netcompile.data.pictures import Picture
from netcompile.data.preparation import Preparation, View
from netcompile.diagnostics.diagnostic import refuse
from netcompile.files.whole import whole_folder
from netcompile.report.table import table
from netcompile.runtime.outputs import inside, whole_output
from netcompile.tasks.detection.drawing import drawn
from netcompile.tasks.detection.outputs import RegionOutputs, RowOutput, find
from netcompile.tasks.detection.records import records, voc_file_names
from netcompile.tasks.records import NUMBER, Record, has_form, json_record, write_lines
from netcompile.tasks.task import Arrays, Asked, Evaluation, Found, Net, Place, Seen, Task, Writer

if TYPE_CHECKING:
    from netcompile.runtime.processes import Processes

SHOWN = 40  # images that the table of `predict` has
DRAWN = 0.5  # the score from which boxes are drawn


@dataclass(frozen=True)
class Detection(Task):
    """Writes boxes/NAME.json and overlays/NAME.png for each image, and detections.jsonl for all.

    On request PASCAL VOC's files of results (voc/comp4_det_test_CLASS.txt) and COCO's (coco.json).
    """

    source: RowOutput | RegionOutputs
    names: tuple[str, ...] = ()  # of the classes; none where nobody says
    least: float | None = None  # what scores less is left out
    overlays: bool = True
    draw_from: float = DRAWN
    voc: bool = False
    coco: bool = False
    limit: float = 0.5  # the overlap of a detection that is right

    name: ClassVar[str] = "detection"
    title: ClassVar[str] = "boxes of objects"
    has_classes: ClassVar[bool] = True
    one_by_one: ClassVar[bool] = True  # R-CNN takes one image, MobileNet-YOLO's rows do not tell several apart

    @property
    def blobs(self) -> tuple[str, ...]:
        return self.source.blobs

    @classmethod
    def recognise(cls, net: Net, asked: bool) -> Found | str:
        found = find(net, asked)
        return found if isinstance(found, str) else Found(found.blobs, found.why)

    @classmethod
    def configure(cls, parser: argparse.ArgumentParser, scoring: bool) -> None:
        group = parser.add_argument_group("boxes of objects")
        group.add_argument(
            "--min-score", type=_share, metavar="S", help="leave out what scores less; R-CNN: 0.05 and less by default"
        )
        group.add_argument(
            "--nms", type=_share, default=None, metavar="O",
            help="R-CNN: boxes of a class suppress others that they overlap more than this, default 0.3",
        )  # fmt: skip
        if scoring:
            group.add_argument(
                "--overlap",
                type=_share,
                default=0.5,
                metavar="O",
                help="of a box that is right, default 0.5 (not COCO's)",
            )
            return
        group.add_argument(
            "--draw-from", type=_share, default=DRAWN, metavar="S", help="draw what scores this, default 0.5"
        )
        group.add_argument("--voc", action="store_true", help="write PASCAL VOC's files of results")
        group.add_argument("--coco", action="store_true", help="write COCO's file of results")

    @classmethod
    def make(cls, net: Net, found: Found, options: argparse.Namespace) -> Self:
        source = _source(net, found)
        if isinstance(source, RegionOutputs):
            least, overlap = getattr(options, "min_score", None), getattr(options, "nms", None)
            source = replace(
                source, threshold=source.threshold if least is None else least,
                overlap=source.overlap if overlap is None else overlap,
            )  # fmt: skip
        elif getattr(options, "nms", None) is not None:
            refuse("usage", "--nms is for R-CNN: the net's last layer has suppressed boxes already")
        if len(options.classes) > 1:
            refuse("usage", "the net has one list of classes: give --classes once")
        names = named_classes(options.classes[0], source.labels, source.background) if options.classes else ()
        return cls(
            source, names, getattr(options, "min_score", None), not getattr(options, "no_overlays", False),
            getattr(options, "draw_from", DRAWN), getattr(options, "voc", False), getattr(options, "coco", False),
            getattr(options, "overlap", 0.5),
        )  # fmt: skip

    @classmethod
    def fed(cls, net: Net) -> tuple[str, ...]:
        found = find(net, False)
        return () if isinstance(found, str) else tuple(name for name, _ in found.fed)

    @classmethod
    def preparation(cls, net: Net) -> Preparation:
        found = find(net, False)
        return super().preparation(net) if isinstance(found, str) else found.preparation(net)

    def feeds(self, view: View) -> Arrays:
        return self.source.feeds(view)

    def split(self, tops: Arrays, count: int) -> list[Arrays]:
        """Rows are as many as there are boxes, and of one image."""
        if count != 1:
            raise ValueError(f"boxes of {count} images at once")
        return [tops]

    def result(self, arrays: Sequence[Arrays], seen: Seen) -> Detections:
        """What was found in the image, the best first."""
        found = self.source.detections(arrays[0], seen.view).best_first()
        return found if self.least is None else found.above(self.least)

    def places(self) -> tuple[Place, ...]:
        return (*((Place("overlays", "png"),) if self.overlays else ()), Place("boxes", "json"))

    def contents(self, result: Detections, seen: Seen, made_by: str) -> Iterator[Writer]:
        if self.overlays:
            yield partial(png, pixels=drawn(seen.rgb, result.above(self.draw_from), self.names), made_by=made_by)
        yield partial(json_record, record=self.value(result, seen), made_by=made_by)

    def value(self, result: Detections, seen: Seen) -> Record:
        height, width = seen.rgb.shape[:2]
        found = records(result, self.names)
        return {"image": seen.key.path, "width": width, "height": height, "detections": found, **seen.view.as_json()}

    def knows(self, record: Record) -> bool:
        box = {"class": int, "name": str | None, "score": NUMBER, "box": [NUMBER]}
        form = {"image": str, "width": int, "height": int, "detections": [box]}
        return has_form(record, form) and all(len(found["box"]) == 4 for found in record["detections"])

    def settings(self) -> str:
        return f"{self.source} {self.names} {self.least} {self.draw_from}"

    def collect(self, folder: str, pictures: Sequence[Picture], records: Sequence[Record | None]) -> list[str]:
        made = [write_lines(folder, "detections.jsonl", records)]
        found = [
            (picture.name, self._read(one)) for picture, one in zip(pictures, records, strict=True) if one is not None
        ]
        if self.voc:
            made += self._write_voc(folder, found)
        if self.coco:
            ids = category_ids(self.names) if self.names else range(self._count(found))
            text = results_text(results(((coco_image(name), boxes) for name, boxes in found), ids))
            with whole_output(folder, "coco.json") as file:
                file.write(text.encode())
            made.append(os.path.join(folder, "coco.json"))
        return made

    def _read(self, record: Record) -> Detections:
        """The detections of an image from its record."""
        boxes = record["detections"]
        return Detections(
            np.array([box["class"] for box in boxes], np.int64),
            np.array([box["score"] for box in boxes], np.float64),
            np.array([box["box"] for box in boxes], np.float64).reshape(-1, 4),
            isinstance(self.source, RegionOutputs),
        )

    def _count(self, found: Sequence[tuple[str, Detections]]) -> int:
        return self.source.labels or 1 + max((int(boxes.classes.max(initial=0)) for _, boxes in found), default=0)

    def _write_voc(self, folder: str, found: Sequence[tuple[str, Detections]]) -> list[str]:
        names = self.names or tuple(f"class {label}" for label in range(self._count(found)))
        images = [(re.sub(r"\s", "_", os.path.basename(name)), boxes) for name, boxes in found]
        texts = results_by_class(images, names)
        if self.source.background:
            texts.pop(names[0], None)
        files = voc_file_names(list(texts))
        made = [inside(folder, os.path.join("voc", file)) for file in files.values()]
        with whole_folder(os.path.join(folder, "voc")) as staged:
            for name, text in texts.items():
                staged.write(files[name], text.encode("utf-8", "surrogateescape"))
        return made

    def summary(self, pictures: Sequence[Picture], records: Sequence[Record | None]) -> str:
        rows = [
            (picture.name, len(record["detections"]), *_best(record["detections"]))
            for picture, record in zip(pictures, records, strict=True)
            if record is not None
        ]
        if not rows:
            return ""
        more = f"(and {len(rows) - SHOWN} more)\n" if len(rows) > SHOWN else ""
        return table(("image", "boxes", "score", "the best is"), rows[:SHOWN], right=(1, 2)) + "\n" + more

    def evaluate(self, job: Any, asked: Asked, group: Processes) -> Evaluation:
        from netcompile.tasks.detection.evaluate import evaluate  # torch

        return evaluate(job, self.source, self.names, self.limit, self.draw_from, asked, group)


def _source(net: Net, found: Found) -> RowOutput | RegionOutputs:
    """The outputs of a net that was found to be one of this task. Raises NetError where a build lacks the regions."""
    outputs = tuple(output for output in (*net.outputs, *net.inner) if output.name in found.blobs)
    narrowed = replace(net, outputs=outputs)
    source = find(narrowed, False)
    if isinstance(source, str):
        source = find(narrowed, True)
    if isinstance(source, str):  # a blob of which nothing is known
        source = RowOutput(found.blobs[0], None)
    if isinstance(source, RegionOutputs) and not source.regions:
        options = " ".join(f"--output {blob}" for blob in source.blobs)
        refuse(
            "task",
            f"the build gives '{source.scores}' and '{source.offsets}', and not the regions that they are of",
            remedy=f"build it with {options} --output rois (or what the regions are called), or give the prototxt",
        )
    return source


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number between 0 and 1")
    return value


def _best(boxes: Sequence[dict[str, Any]]) -> tuple[str, str]:
    """Score and class of the first."""
    if not boxes:
        return "", ""
    best = boxes[0]
    return f"{best['score']:.4f}", f"class {best['class']}" if best["name"] is None else best["name"]


def coco_image(name: str) -> int | str:
    """The id of an image in COCO's results, from its name: the number of COCO's own files, else the name itself.

    >>> coco_image("000000397133"), coco_image("a/COCO_val2014_000000000042"), coco_image("cat 7")
    (397133, 42, 'cat 7')
    """
    stem = name.rpartition("/")[2]
    found = re.fullmatch(r"(?:COCO_\w+_)?([0-9]{1,18})", stem)
    return int(found[1]) if found else name
