"""Key points: the peaks of heat maps, one map for each kind of point."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from PIL import Image, ImageDraw

from netcompile.analysis.outputs import Output
from netcompile.array import Array
from netcompile.data.images import png
from netcompile.data.palettes import voc_palette
from netcompile.data.pictures import Picture
from netcompile.data.preparation import mean_over
from netcompile.diagnostics.diagnostic import refuse
from netcompile.tasks.records import NUMBER, has_form, json_record, write_lines
from netcompile.tasks.task import Arrays, Found, Net, Place, Seen, Task, Writer, require_numbers

LEAST = 0.1  # of a peak, as in OpenPose's demos
MOST = 1000  # peaks of one map that are kept, the highest


@dataclass(frozen=True, slots=True)
class Peak:
    """A local maximum: `channel` of the output `blob`, its place in pixels of the image, its value there."""

    blob: str
    channel: int
    x: float
    y: float
    score: float


@dataclass(frozen=True)
class Points(Task):
    """Writes points/NAME.json and overlays/NAME.png for each image, and points.jsonl for all."""

    outputs: tuple[Output, ...]
    least: float = LEAST

    name: ClassVar[str] = "points"
    title: ClassVar[str] = "key points"

    @property
    def blobs(self) -> tuple[str, ...]:
        return tuple(output.name for output in self.outputs)

    @classmethod
    def recognise(cls, net: Net, asked: bool) -> Found | str:
        """Maps that are coarser than the image, or of which a regression is trained."""
        maps = [
            output
            for output in net.outputs
            if output.holds not in ("detections", "regions")
            and (len(output.shape) == 4 and net.has_each_image(output) if asked else net.is_plane(output))
            and (asked or output.holds in ("", "values"))
        ]
        if not maps:
            return "no output is a heat map (N×C×H×W)"
        names = " and ".join(f"'{o.name}'" for o in maps)
        count = sum(o.shape[1] for o in maps)
        return Found(tuple(o.name for o in maps), f"{names} {'have' if len(maps) > 1 else 'has'} {count} heat maps")

    @classmethod
    def configure(cls, parser: argparse.ArgumentParser, scoring: bool) -> None:
        if not scoring:
            group = parser.add_argument_group("key points")
            group.add_argument(
                "--least-peak", type=float, default=LEAST, metavar="V", help=f"value of a peak, default {LEAST:g}"
            )

    @classmethod
    def make(cls, net: Net, found: Found, options: argparse.Namespace) -> Self:
        least = getattr(options, "least_peak", LEAST)
        if not np.isfinite(least):
            refuse("usage", f"--least-peak {least} is no number")
        return cls(tuple(output for output in net.outputs if output.name in found.blobs), least)

    def result(self, arrays: Sequence[Arrays], seen: Seen) -> list[Peak]:
        found = []
        for output in self.outputs:
            maps = mean_over(seen.views, [one[output.name] for one in arrays])
            if maps.ndim != 3:
                raise ValueError(f"output '{output.name}' has {maps.ndim + 1} axes, heat maps 4")
            require_numbers(output.name, maps.max(), finite=True)
            high, wide = (size / extent for size, extent in zip(seen.view.size, maps.shape[1:], strict=True))
            for channel, plane in enumerate(maps):
                places, scores = peaks(plane, self.least)
                at = seen.view.to_image((places + 0.5) * (wide, high))
                found += [
                    Peak(output.name, channel, float(x), float(y), float(score))
                    for (x, y), score in zip(at, scores, strict=True)
                ]
        return found

    def places(self) -> tuple[Place, ...]:
        return (Place("overlays", "png"), Place("points", "json"))

    def value(self, result: list[Peak], seen: Seen) -> dict[str, Any]:
        several = len(self.blobs) > 1
        points = [
            {
                "channel": peak.channel,
                "x": round(peak.x, 3),
                "y": round(peak.y, 3),
                "score": float(np.float32(peak.score)),
                **({"blob": peak.blob} if several else {}),
            }
            for peak in result
        ]
        return {"image": seen.key.path, "points": points, **seen.view.as_json()}

    def contents(self, result: list[Peak], seen: Seen, made_by: str) -> Iterator[Writer]:
        yield partial(png, pixels=drawn(seen.rgb, result, self.blobs), made_by=made_by)
        yield partial(json_record, record=self.value(result, seen), made_by=made_by)

    def knows(self, record: dict[str, Any]) -> bool:
        return has_form(record, {"image": str, "points": [{"channel": int, "x": NUMBER, "y": NUMBER, "score": NUMBER}]})

    def settings(self) -> str:
        return f"{self.least}"

    def collect(self, folder: str, pictures: Sequence[Picture], records: Sequence[dict[str, Any] | None]) -> list[str]:
        return [write_lines(folder, "points.jsonl", records)]


def peaks(plane: Array, least: float) -> tuple[Array, Array]:
    """The local maxima of a map above `least`, the highest first: their places (x, y), N×2, and their values.

    A place is higher than its eight neighbours, than those before it in reading order by any amount; between pixels it
    is where a parabola through the three values of each axis has its maximum. NaN is no peak.
    """
    clean = np.nan_to_num(plane.astype(np.float64), nan=-np.inf)
    wide = np.pad(clean, 1, constant_values=-np.inf)
    high = clean > least
    rows, columns = plane.shape
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if (dy, dx) == (0, 0):
                continue
            other = wide[1 + dy : 1 + dy + rows, 1 + dx : 1 + dx + columns]
            high &= clean > other if (dy, dx) < (0, 0) else clean >= other
    y, x = np.nonzero(high & np.isfinite(clean))
    order = np.argsort(-clean[y, x], kind="stable")[:MOST]
    y, x = y[order], x[order]
    place = np.stack([x + _between(wide, y, x, 0, 1), y + _between(wide, y, x, 1, 0)], axis=1)
    return place, clean[y, x]


def _between(wide: Array, y: Array, x: Array, dy: int, dx: int) -> Array:
    """How far from the pixel, −0.5 … 0.5, the maximum of a parabola lies; 0 at the border."""
    before, here, after = (wide[y + 1 + k * dy, x + 1 + k * dx] for k in (-1, 0, 1))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        found = (after - before) / (2 * (2 * here - before - after))
    return np.where(np.isfinite(found), found.clip(-0.5, 0.5), 0.0)


def drawn(rgb: Array, found: Sequence[Peak], blobs: Sequence[str]) -> Array:
    """The image with a ring around every peak, in a colour for each channel."""
    image = Image.fromarray(rgb)
    pen = ImageDraw.Draw(image)
    radius = max(2.0, 0.008 * max(rgb.shape[:2]))
    colours = voc_palette()
    for peak in found:
        colour = tuple(int(part) for part in colours[1 + (peak.channel + 31 * blobs.index(peak.blob)) % 254])
        box = (peak.x - radius, peak.y - radius, peak.x + radius, peak.y + radius)
        pen.ellipse(box, outline=(255, 255, 255), width=max(2, round(radius / 2)))
        pen.ellipse(box, outline=colour, width=max(1, round(radius / 3)))
    return np.asarray(image)
