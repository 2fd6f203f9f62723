"""Which outputs of a net say where things are, and what they say of an image: rows of detections, or R-CNN's three."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from netcompile.analysis.outputs import Output
from netcompile.array import Array
from netcompile.data.boxes import Detections, areas
from netcompile.data.preparation import Preparation, Resize, View
from netcompile.layers.base import IntShape
from netcompile.layers.traits import Rows
from netcompile.tasks.detection.rcnn import LONG_SIDE, OVERLAP, SHORT_SIDE, THRESHOLD, rcnn_detections, scale_of
from netcompile.tasks.detection.rows import ROW, detections_of_rows
from netcompile.tasks.task import Arrays, Net

_SHORT = Resize("short", SHORT_SIDE, SHORT_SIDE, LONG_SIDE)
_INFO = range(3, 7)  # numbers of im_info: height, width, and one scale or several


@dataclass(frozen=True, slots=True)
class RowOutput:
    """An output of rows: image, label, score, box (SSD's DetectionOutput, YOLO's layers)."""

    blob: str
    rows: Rows | None  # None where nothing says what they are: SSD's

    @property
    def blobs(self) -> tuple[str, ...]:
        return (self.blob,)

    @property
    def labels(self) -> int | None:
        return None if self.rows is None else self.rows.labels

    @property
    def background(self) -> bool:
        return self.rows is None or self.rows.background

    @property
    def why(self) -> str:
        form = "centre, size" if self.rows is not None and self.rows.centred else "corners"
        return f"output '{self.blob}' has a row for each box: image, label, score, {form}"

    @property
    def fed(self) -> tuple[tuple[str, IntShape], ...]:
        return ()

    def preparation(self, net: Net) -> Preparation:
        """The size that the net declares, by the way of its data layer where that brings images to it."""
        made = next((made for made in net.images.values() if made is not None), None)
        if made is not None and made.resize is not None and made.resize[1:] == net.declared:
            return Preparation(Resize(*made.resize))
        return Preparation(Resize("exact", *net.declared))

    def feeds(self, view: View) -> Arrays:
        return {}

    def detections(self, arrays: Mapping[str, Array], view: View) -> Detections:
        """What was found, in pixels of the image, without what lies beside it, where the input was filled.

        Raises ValueError for what are no rows.
        """
        found = detections_of_rows(arrays[self.blob], centres=self.rows is not None and self.rows.centred)
        height, width = view.size
        inside = found.clipped(1, 1).moved((width, height))
        corners = view.to_image(inside.boxes.reshape(-1, 2)).reshape(-1, 4)
        made = Detections(found.classes, found.scores, corners).clipped(*view.original)
        return made.chosen(areas(made.boxes) > 0) if view.top < 0 or view.left < 0 else made


@dataclass(frozen=True, slots=True)
class RegionOutputs:
    """R-CNN's outputs: scores of classes and offsets of boxes, a row for each region; and the regions, "" without.

    `info` are the inputs that are told the size of the image and its scale, with their shapes.
    """

    scores: str
    offsets: str
    regions: str
    classes: int
    info: tuple[tuple[str, IntShape], ...] = ()
    threshold: float = THRESHOLD
    overlap: float = OVERLAP
    background: bool = True

    @property
    def blobs(self) -> tuple[str, ...]:
        return tuple(name for name in (self.scores, self.offsets, self.regions) if name)

    @property
    def labels(self) -> int | None:
        return self.classes

    @property
    def why(self) -> str:
        return f"'{self.scores}' and '{self.offsets}' score and move the regions '{self.regions}', as R-CNN does"

    @property
    def fed(self) -> tuple[tuple[str, IntShape], ...]:
        return self.info

    def preparation(self, net: Net) -> Preparation:
        """Faster R-CNN's rule: the short side becomes 600, unless the long one would exceed 1000."""
        return Preparation(_SHORT if net.fixed is None else Resize("exact", *net.fixed))

    def scale(self, view: View) -> tuple[float, float]:
        """How much the image was enlarged along x and y: by that rule as it is before sizes are rounded."""
        if view.resized == _SHORT.size(*view.original):
            return (scale_of(*view.original),) * 2
        return view.scale[1], view.scale[0]

    def feeds(self, view: View) -> Arrays:
        """im_info: height and width of the net's input and the scale; PVANET's has four more, for x and y by turns."""
        across, down = self.scale(view)
        made: Arrays = {}
        for name, shape in self.info:
            count = prod(shape[1:])
            scales = [min(across, down)] if count == min(_INFO) else [across, down] * 2
            made[name] = np.array([*view.size, *scales], np.float32)[:count].reshape(1, *shape[1:])
        return made

    def detections(self, arrays: Mapping[str, Array], view: View) -> Detections:
        """What was found, in whole pixels of the image. Raises ValueError for outputs that do not fit together."""
        regions = arrays[self.regions].copy()
        if (view.left or view.top) and regions.size:
            regions.reshape(len(regions), -1)[:, 1:5] += np.array([view.left, view.top] * 2, regions.dtype)
        return rcnn_detections(
            regions, arrays[self.scores], arrays[self.offsets], view.original, self.scale(view),
            threshold=self.threshold, overlap=self.overlap,
        )  # fmt: skip


def find(net: Net, asked: bool) -> RowOutput | RegionOutputs | str:
    """The outputs that say where things are, or why there are none. With `asked` rows need no layer that tells them."""
    rows = [output for output in net.outputs if output.holds == "detections"]
    rows += [output for output in net.outputs if asked and output.shape[-1:] == (ROW,) and output not in rows]
    if rows:
        return RowOutput(rows[0].name, rows[0].rows)
    pair = _pair(net.outputs)
    if pair is None:
        return "no output has rows of detections, or scores and offsets for each region"
    scores, offsets = pair
    everything = {output.name: output for output in (*net.outputs, *net.inner)}.values()
    regions = [o.name for o in everything if o.holds == "regions" and _columns(o) == 5]
    given = [name for name, shape in net.inputs if len(shape) == 2 and shape[1] == 5]
    if given and not regions:
        return f"it wants regions as its input '{given[0]}', which no image gives: netcompile run feeds them"
    info = tuple((name, shape) for name, shape in net.inputs if _is_info(shape))
    if not regions and not info:
        return "scores and offsets have no regions to go with"
    return RegionOutputs(scores.name, offsets.name, (regions or [""])[-1], _columns(scores), info)


def _pair(outputs: tuple[Output, ...]) -> tuple[Output, Output] | None:
    """Probabilities of C classes, and 4C or 8 offsets, for as many rows."""
    for scores in outputs:
        if scores.holds != "probabilities" or not _is_list(scores) or _columns(scores) < 2:
            continue
        for offsets in outputs:
            fits = _columns(offsets) in (4 * _columns(scores), 8) and offsets.shape[:1] == scores.shape[:1]
            if fits and _is_list(offsets) and offsets.holds in ("", "values"):
                return scores, offsets
    return None


def _is_list(output: Output) -> bool:
    """Whether it is N×C, or N×C×1×1."""
    return len(output.shape) >= 2 and prod(output.shape[2:]) == 1


def _columns(output: Output) -> int:
    return prod(output.shape[1:]) if output.shape else 0


def _is_info(shape: IntShape) -> bool:
    return len(shape) >= 2 and shape[1] in _INFO and prod(shape[2:]) == 1
