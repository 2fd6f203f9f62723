"""Label maps: a class for every pixel; and maps of one channel, which say how likely something is there."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from netcompile.analysis.outputs import Output
from netcompile.array import Array
from netcompile.data.class_names import class_names
from netcompile.data.datasets import open_data
from netcompile.data.images import overlay, png, tinted
from netcompile.data.palettes import palette
from netcompile.data.preparation import mean_over
from netcompile.diagnostics.diagnostic import refuse
from netcompile.emit.names import distinct
from netcompile.files.npz import write_npz
from netcompile.tasks.legend import class_label, with_legend
from netcompile.tasks.segmentation.score_maps import grey, is_grey, labels_of, probabilities
from netcompile.tasks.task import Arrays, Asked, Evaluation, Found, Net, Place, Seen, Task, Writer, require_numbers

if TYPE_CHECKING:
    from netcompile.runtime.processes import Processes
    from netcompile.tasks.inference import Job

OUTSIDE = 255  # the label of pixels that the net did not see


@dataclass(frozen=True, slots=True)
class Map:
    """One output: its labels, H×W, at the image's size where the image was resized; `levels`, H×W bytes, where it is
    grey; `prob`, C×H×W at the net's size, where that is wanted."""

    labels: Array
    levels: Array | None
    prob: Array | None


@dataclass(frozen=True)
class Segmentation(Task):
    """Writes labels/NAME.png, overlays/NAME.png, on request softmax/NAME.npz; of several outputs each has a folder."""

    outputs: tuple[Output, ...]
    palette: Array
    palette_name: str = "voc"
    overlays: bool = True
    softmax: bool = False
    opacity: float = 0.6
    names: tuple[tuple[str, ...], ...] = ()  # of each output's classes, as far as somebody says

    name: ClassVar[str] = "segmentation"
    title: ClassVar[str] = "label maps"
    has_classes: ClassVar[bool] = True

    @property
    def blobs(self) -> tuple[str, ...]:
        return tuple(output.name for output in self.outputs)

    @classmethod
    def recognise(cls, net: Net, asked: bool) -> Found | str:
        maps = [output for output in net.outputs if is_map(output, net, asked)]
        if not maps:
            return "no output is a map (N×C×H×W) with a score for each class"
        if not asked:
            if all(_is_single(output) for output in maps):
                return "its maps have one channel"
            maps = _that_score(maps, net)
        if maps and (asked or not all(_is_single(output) for output in maps)):
            return Found(tuple(output.name for output in maps), f"{_listed(maps)} scores for every pixel")
        return "nothing says that its maps are scores of classes"

    @classmethod
    def configure(cls, parser: argparse.ArgumentParser, scoring: bool) -> None:
        group = parser.add_argument_group("label maps and maps of one channel")
        group.add_argument("--palette", default="voc", metavar="P", help="voc (default), cityscapes, or a file")
        if not scoring:
            group.add_argument("--no-overlays", action="store_true", help="write no overlays")
            group.add_argument("--opacity", type=float, default=0.6, help="of an overlay's colours, default 0.6")
            group.add_argument("--softmax", action="store_true", help="write the probabilities as well")

    @classmethod
    def make(cls, net: Net, found: Found, options: argparse.Namespace) -> Self:
        opacity, softmax = getattr(options, "opacity", 0.6), getattr(options, "softmax", False)
        if not 0 <= opacity <= 1:
            refuse("usage", f"--opacity {opacity:g} is not between 0 and 1")
        outputs = tuple(output for output in net.outputs if output.name in found.blobs)
        if softmax and all(output.holds == "labels" for output in outputs):
            what = f"{' and '.join(found.blobs)} hold labels: there are no probabilities"
            refuse("score-map", what, remedy="--output BLOB names the scores before ArgMax")
        names = tuple(class_names(listed) for listed in options.classes)
        name = getattr(options, "palette", "voc")
        return cls(outputs, palette(name), name, not getattr(options, "no_overlays", False), softmax, opacity, names)

    def places(self) -> tuple[Place, ...]:
        return tuple(
            Place(f"{kind}{self._below(output)}", extension)
            for output in self.outputs
            for kind, extension, wanted in (
                ("softmax", "npz", self.softmax and output.holds != "labels"),
                ("overlays", "png", self.overlays),
                ("labels", "png", True),
            )
            if wanted
        )

    def _below(self, output: Output) -> str:
        """ "" for the only output; of several, a folder name for each."""
        return "" if len(self.outputs) == 1 else f"/{distinct(self.blobs)[output.name]}"

    def settings(self) -> str:
        return f"{self.opacity} {sha256(self.palette.tobytes()).hexdigest()} legend {self.names}"

    def result(self, arrays: Sequence[Arrays], seen: Seen) -> dict[str, Map]:
        return {output.name: self._map(output, [one[output.name] for one in arrays], seen) for output in self.outputs}

    def _map(self, output: Output, scores: Sequence[Array], seen: Seen) -> Map:
        score = mean_over(seen.views, scores)
        require_numbers(output.name, score)
        levels = grey(score, output.holds) if is_grey(score, output.holds) else None
        labels = labels_of(score, output.holds)
        prob = None
        if self.softmax and output.holds != "labels":
            if score.ndim != 3:
                refuse("score-map", f"output '{output.name}' holds labels: there are no probabilities")
            require_numbers(output.name, score.max(0), finite=True)
            prob = probabilities(score, output.holds)
        if not seen.view.is_plain:
            labels = onto_image(labels, seen, OUTSIDE)
            levels = None if levels is None else onto_image(levels, seen, 0)
        return Map(labels, levels, prob)

    def value(self, result: dict[str, Map], seen: Seen) -> Any:
        """The labels of the only output, or its levels; of several by blob."""
        found = {name: made.labels if made.levels is None else made.levels for name, made in result.items()}
        return next(iter(found.values())) if len(found) == 1 else found

    def contents(self, result: dict[str, Map], seen: Seen, made_by: str) -> Iterator[Writer]:
        for index, output in enumerate(self.outputs):
            found = result[output.name]
            names = self.names[index] if index < len(self.names) else ()
            if found.prob is not None:
                yield partial(write_npz, arrays={"prob": found.prob}, made_by=made_by, compressed=True)
            if self.overlays:
                yield partial(png, pixels=self._overlay(found, seen.rgb, names), made_by=made_by)
            colours, pixels = (self.palette, found.labels) if found.levels is None else (None, found.levels)
            yield partial(png, pixels=pixels, palette=colours, made_by=made_by)

    def _overlay(self, found: Map, rgb: Array, names: Sequence[str]) -> Array:
        """The image, tinted where there is something; of classes a legend below it has those that occur."""
        if found.levels is None:
            labels = fitted(found.labels, rgb.shape)
            labels = np.where(labels == OUTSIDE, 0, labels)
            present = [label for label in np.unique(labels).tolist() if label]
            legend = [(tuple(self.palette[label].tolist()), class_label(label, names)) for label in present]
            return with_legend(overlay(rgb, labels, self.palette, self.opacity), legend)
        return tinted(rgb, fitted(found.levels, rgb.shape) / 255 * self.opacity, self.palette[1])

    def folders(self, asked: Asked) -> Mapping[str, str]:
        return open_data(asked.data, asked.split, asked.root).folders

    def evaluate(self, job: Job, asked: Asked, group: Processes) -> Evaluation:
        from netcompile.tasks.segmentation.evaluate import evaluate  # torch

        return evaluate(job, self.outputs, self.palette, asked, group)


@dataclass(frozen=True)
class Maps(Segmentation):
    """The same for outputs of one channel alone, edges say: grey PNGs of the probability."""

    name: ClassVar[str] = "map"
    title: ClassVar[str] = "maps of one channel"

    @classmethod
    def recognise(cls, net: Net, asked: bool) -> Found | str:
        maps = [output for output in net.outputs if is_map(output, net, asked) and _is_single(output)]
        if not maps:
            return "no output is a map of one channel (N×1×H×W)"
        if not asked:
            maps = _that_score(maps, net)
        if not maps:
            return "nothing says that its maps of one channel are probabilities"
        return Found(tuple(output.name for output in maps), f"{_listed(maps)} one number for every pixel")

    @classmethod
    def configure(cls, parser: argparse.ArgumentParser, scoring: bool) -> None:
        """It has Segmentation's."""


def is_map(output: Output, net: Net, asked: bool) -> bool:
    """Whether an output has a value for every place of a plane."""
    shape = output.shape
    if output.holds == "labels":
        return net.has_each_image(output) and (asked or len(shape) == 3 or net.is_plane(output))
    if output.holds in ("detections", "regions") or len(shape) != 4:
        return False
    return net.has_each_image(output) if asked else net.is_plane(output) and shape[1] <= 256


def _that_score(maps: Sequence[Output], net: Net) -> list[Output]:
    """Those maps that hold scores, and those beside them of the same size of which nothing is known."""
    told = [output for output in maps if _scores_pixels(output, net)]
    sizes = {output.shape[2:] for output in told}
    return [output for output in maps if output in told or (not output.holds and output.shape[2:] in sizes)]


def _scores_pixels(output: Output, net: Net) -> bool:
    """Whether a map's values are scores: it is said, or there is one for each pixel, and not as many as colours."""
    if output.holds not in ("", "features"):
        return output.holds in ("labels", "probabilities", "scores", "logits")
    high, wide = output.shape[2:]
    if high > net.declared[0] or wide > net.declared[1]:
        return False
    return output.upsampled or (net.is_fine(output) and output.shape[1] not in (net.colours, 3))


def _is_single(output: Output) -> bool:
    return len(output.shape) == 4 and output.shape[1] == 1 and output.holds != "labels"


def _listed(outputs: Sequence[Output]) -> str:
    names = " and ".join(f"'{output.name}'" for output in outputs[:4])
    return f"output{'s' * (len(outputs) > 1)} {names} {'have' if len(outputs) > 1 else 'has'}"


def onto_image(pixels: Array, seen: Seen, outside: int) -> Array:
    """A map of the net's input, H×W, at the image's size, by the nearest pixel; `outside` where the net saw nothing."""
    rows, columns = seen.view.pixels(*pixels.shape)
    found = pixels[rows[:, None], columns[None, :]]
    return np.where((rows[:, None] < 0) | (columns[None, :] < 0), np.uint8(outside), found)


def fitted(pixels: Array, shape: tuple[int, ...]) -> Array:
    """A coarser map at the image's size, by the nearest pixel."""
    if pixels.shape == shape[:2]:
        return pixels
    rows = np.arange(shape[0]) * pixels.shape[0] // shape[0]
    columns = np.arange(shape[1]) * pixels.shape[1] // shape[1]
    return np.asarray(pixels[rows[:, None], columns[None, :]])
