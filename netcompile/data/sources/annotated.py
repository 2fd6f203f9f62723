"""AnnotatedData: SSD's images with true boxes from an LMDB, and its ways to vary them.

Steps and their order: `annotated_data_layer.cpp` and `data_transformer.cpp` of weiliu89/caffe, branch ssd: distort,
expand, cut a sampled window out, resize, crop, mirror. SSD packs the image as a JPEG between these steps; here it stays
as it is. Random numbers have SSD's distributions, drawn from the seed and the number of the item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netcompile.array import Array
from netcompile.data.annotated import AnnotatedDatum, annotated_of
from netcompile.data.datum import planes, refuse_record
from netcompile.data.lmdb import Records
from netcompile.data.sources.base import Batches, Order, Wanted, require_batch, stacked
from netcompile.data.sources.boxes import UNIT, Boxes, samples
from netcompile.data.sources.datums import colour_of, open_records
from netcompile.data.sources.distort import distorted
from netcompile.data.sources.reshape import reshaped
from netcompile.data.sources.transform import Transform, read_transform
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, located, refuse
from netcompile.diagnostics.source import Span
from netcompile.files.limits import require_memory
from netcompile.ir.graph import Input
from netcompile.prototxt.message import Message

DONE = frozenset(("resize_param", "distort_param", "expand_param", "emit_constraint"))


@dataclass(frozen=True, slots=True)
class AnnotatedImages:
    """Batches of images with SSD's label blob: 1×1×N×8, a row for each box of the batch, or one row of -1."""

    records: Records
    tops: tuple[str, ...]
    size: int
    order: Order
    transform: Transform
    param: Message  # transform_param
    samplers: tuple[Message, ...]
    colour: bool | None
    seed: int
    span: Span  # of the source in the net

    def batch(self, index: int) -> dict[str, Array]:
        images, rows, labels, annotated = list[Array](), list[Array](), list[int](), set[bool]()
        with located(self.span):
            for item in range(self.size):
                k = index * self.size + item
                found, image, boxes = self.item(k)
                if not images:
                    require_batch(image, self.size)
                images.append(image)
                rows.append(boxes.rows(item))
                labels.append(found.datum.label)
                annotated.add(found.annotated)
            if len(annotated) > 1:
                what = f"{self.records.name}: some records of batch {index} have boxes, others no type of annotation"
                refuse("data-file", what)
            together = np.concatenate(rows)
            if not annotated.pop():
                label = np.asarray(labels, np.float32)
            elif len(together):
                label = together[None, None]
            else:
                label = np.full((1, 1, 1, 8), -1, np.float32)
            return dict(zip(self.tops, (stacked(images), label), strict=False))

    def item(self, k: int) -> tuple[AnnotatedDatum, Array, Boxes]:
        """The record that comes as number k, its image varied, and its boxes in that."""
        place = self.order(k)
        key, found = annotated_of(self.records, place)
        random = np.random.default_rng((self.seed & (2**63 - 1), k))
        try:
            pixels = planes(found.datum, self.colour, f"{self.records.name}: record {place} (key {key})")
            return found, *self._varied(pixels, Boxes.of(found.boxes), random)
        except (ValueError, MemoryError) as error:
            refuse_record(self.records, place, key, error)

    def _varied(self, pixels: Array, boxes: Boxes, random: np.random.Generator) -> tuple[Array, Boxes]:
        param, constraint = self.param, None
        if pixels.dtype != np.uint8 and (self.samplers or any(param.has(name) for name in DONE)):
            raise ValueError("its numbers are no bytes, and only images of bytes are varied")
        if param.has("emit_constraint"):
            constraint = param.get("emit_constraint")
        if param.has("distort_param"):
            pixels = distorted(pixels, param.get("distort_param"), random)
        if param.has("expand_param"):
            pixels, window = self._expanded(pixels, param.get("expand_param"), random)
            boxes = boxes if window is None else boxes.within(window, constraint)
        windows = samples(boxes.sides, self.samplers, random)
        if windows:
            window = windows[int(random.integers(len(windows)))].clip(0, 1)
            pixels = cut(pixels, window)
            boxes = boxes.within(window, constraint)
        if param.has("resize_param"):
            pixels, sides = reshaped(pixels, boxes.sides, param.get("resize_param"), random)
            boxes = boxes.only(np.ones(len(sides), bool), sides)
        part = self.transform.window(pixels, random)
        if self.transform.crop:
            height, width = pixels.shape[1:]
            ends = (part.left, part.top, part.left + part.width, part.top + part.height)
            boxes = boxes.within(np.array(ends, np.float32) / np.array((width, height) * 2, np.float32), constraint)
        else:
            boxes = boxes.within(UNIT, constraint)
        return self.transform.of(pixels, part), boxes.mirrored() if part.mirrored else boxes

    def _expanded(self, pixels: Array, param: Message, random: np.random.Generator) -> tuple[Array, Array | None]:
        """The image somewhere on a larger ground of the mean's colour, and that ground as shares of the image."""
        most = float(param.get("max_expand_ratio"))
        if random.random() > param.get("prob") or abs(most - 1) < 1e-2:
            return pixels, None
        ratio = random.uniform(1, most)
        channels, height, width = pixels.shape
        large = (int(height * ratio), int(width * ratio))
        require_memory(channels * large[0] * large[1] * 5, f"an image of {height}×{width}, expanded {ratio:.3g} times,")
        top = int(random.uniform(0, large[0] - height))
        left = int(random.uniform(0, large[1] - width))
        mean = np.rint(self.transform.preprocessing.mean).clip(0, 255).astype(np.uint8)
        made = np.empty((channels, *large), np.uint8)
        made[:] = mean[:, None, None]
        made[:, top : top + height, left : left + width] = pixels
        sides = (-left / width, -top / height, (large[1] - left) / width, (large[0] - top) / height)
        return made, np.array(sides, np.float32)


def cut(pixels: Array, window: Array) -> Array:
    """The part of a C×H×W image in a window of four shares, in whole pixels; at least one."""
    height, width = pixels.shape[1:]
    left, top, right, bottom = (np.float32(side * size) for side, size in zip(window, (width, height) * 2, strict=True))
    left_, top_ = min(int(left), width - 1), min(int(top), height - 1)
    return pixels[:, top_ : top_ + max(int(bottom - top), 1), left_ : left_ + max(int(right - left), 1)]


def annotated_data(entries: Sequence[Input], wanted: Wanted) -> Batches:
    """The source of an AnnotatedData layer. Raises NetError, OSError."""
    message = entries[0].message
    section, param = message.get("data_param"), message.get("transform_param")
    samplers = tuple(message.get("annotated_data_param").all("batch_sampler"))
    problems = [problem for sampler in samplers for problem in _of_sampler(sampler)] + _of_param(param)
    if problems:
        raise NetError(problems)
    transform = read_transform(param, lambda path: wanted.find(path, "mean file", entries[0]), wanted.train, DONE)
    records, order = open_records(entries[0], section, wanted)
    size, span = int(section.get("batch_size")), section.span_of("source")
    return AnnotatedImages(
        records, tuple(message.all("top")), size, order, transform, param, samplers, colour_of(param), wanted.seed, span
    )


def _of_sampler(sampler: Message) -> list[Diagnostic]:
    """What SSD stops at in a batch_sampler."""
    bounds = sampler.get("sampler")
    return [
        *_ordered(bounds, "min_scale", "max_scale", 1.0),
        *_ordered(bounds, "min_aspect_ratio", "max_aspect_ratio", None),
    ]


def _ordered(section: Message, low: str, high: str, most: float | None) -> list[Diagnostic]:
    a, b = float(section.get(low)), float(section.get(high))
    if 0 < a <= b < np.inf and (most is None or b <= most):
        return []
    at = section.span_of(low if section.has(low) else high)
    bound = "" if most is None else f", at most {most:g}"
    what = f"{low} {a:g} and {high} {b:g}: they must be in order, and above 0{bound}"
    return [Diagnostic("param-range", what, at, "SSD's layer checks it")]


def _of_param(param: Message) -> list[Diagnostic]:
    """What SSD stops at in a transform_param: bounds that are not in order."""
    found: list[Diagnostic] = []
    if param.has("distort_param"):
        section = param.get("distort_param")
        for kind in ("contrast", "saturation"):
            low, high = float(section.get(f"{kind}_lower")), float(section.get(f"{kind}_upper"))
            if not 0 <= low <= high < np.inf:
                what = f"{kind}_lower {low:g} and {kind}_upper {high:g}: they must be in order, and not negative"
                found.append(Diagnostic("param-range", what, section.span_of(f"{kind}_lower"), "SSD's layer checks it"))
        for name in ("brightness_delta", "hue_delta"):
            if not 0 <= float(section.get(name)) < np.inf:
                found.append(Diagnostic("param-range", f"{name} is not a number from 0 on", section.span_of(name)))
    if param.has("expand_param") and not 1 <= float(param.get("expand_param").get("max_expand_ratio")) < np.inf:
        at = param.get("expand_param").span_of("max_expand_ratio")
        found.append(Diagnostic("param-range", "max_expand_ratio is below 1, or infinite", at, "SSD's layer checks it"))
    if param.has("resize_param"):
        section = param.get("resize_param")
        if min(int(section.get("height")), int(section.get("width"))) < 1:
            what = "resize_param without a height and a width"
            found.append(Diagnostic("param-missing", what, param.span_of("resize_param"), "SSD's layer wants both"))
        for name in ("height_scale", "width_scale"):
            if section.get(name):
                what, why = f"'{name}' of resize_param is not done here", "it scales boxes beyond the image"
                found.append(Diagnostic("data-field", what, section.name_span_of(name), why))
    return found
