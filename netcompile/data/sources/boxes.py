"""True boxes that go with an image through SSD's cuts: N×4 float32, xmin, ymin, xmax, ymax as shares of its size.

Source: `bbox_util.cpp` and `sampler.cpp` of weiliu89/caffe, branch ssd.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from netcompile.array import Array
from netcompile.data.annotated import LabelledBox
from netcompile.prototxt.message import Message

UNIT = np.array((0, 0, 1, 1), np.float32)


@dataclass(frozen=True, slots=True)
class Boxes:
    """The boxes of an image; of each its label, its instance and whether it is difficult."""

    sides: Array
    labels: Array
    instances: Array
    difficult: Array

    @staticmethod
    def of(boxes: Sequence[LabelledBox]) -> Boxes:
        """The boxes of a record."""
        sides = np.array([(b.xmin, b.ymin, b.xmax, b.ymax) for b in boxes], np.float32).reshape(-1, 4)
        columns = zip(*((b.label, b.instance, b.difficult) for b in boxes), strict=True) if boxes else ((), (), ())
        return Boxes(sides, *(np.array(column, np.float32) for column in columns))

    def only(self, kept: Array, sides: Array) -> Boxes:
        """Those that are kept, with these sides."""
        return Boxes(sides[kept], self.labels[kept], self.instances[kept], self.difficult[kept])

    def within(self, window: Array, constraint: Message | None) -> Boxes:
        """As shares of a window (4 numbers, as a box), cut at its edges; without those outside, or by `constraint`."""
        size = np.concatenate((window[2:] - window[:2],) * 2)
        kept = (self.sides[:, :2] < window[2:]).all(1) & (self.sides[:, 2:] > window[:2]).all(1)
        if constraint is not None:
            kept &= emitted(self.sides, window, constraint)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            moved = ((self.sides - np.tile(window[:2], 2)) / size).clip(0, 1)
        return self.only(kept & (areas(moved) > 0), moved)

    def mirrored(self) -> Boxes:
        """Of the mirrored image."""
        sides = self.sides.copy()
        sides[:, 0], sides[:, 2] = 1 - self.sides[:, 2], 1 - self.sides[:, 0]
        return Boxes(sides, self.labels, self.instances, self.difficult)

    def rows(self, item: int) -> Array:
        """Rows of SSD's label blob, N×8: item, label, instance, sides, difficult."""
        first = np.full((len(self.sides), 1), item, np.float32)
        return np.column_stack((first, self.labels, self.instances, self.sides, self.difficult)).astype(np.float32)


def areas(sides: Array) -> Array:
    """The area of each box; 0 where it is turned inside out."""
    size = sides[..., 2:] - sides[..., :2]
    return np.where((size < 0).any(-1), 0, size[..., 0] * size[..., 1])


def shared(sides: Array, window: Array) -> Array:
    """The area that each box shares with the window."""
    both = np.concatenate((np.maximum(sides[:, :2], window[:2]), np.minimum(sides[:, 2:], window[2:])), 1)
    return areas(both)


def emitted(sides: Array, window: Array, constraint: Message) -> Array:
    """Which boxes stay by `emit_constraint`: with their centre in the window, or enough of their area."""
    if constraint.get("emit_type") == "CENTER":
        centres = (sides[:, :2] + sides[:, 2:]) / 2
        return np.asarray(((centres >= window[:2]) & (centres <= window[2:])).all(1))
    return _share(shared(sides, window), areas(sides)) > float(constraint.get("emit_overlap") or 0)


def _share(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.zeros_like(part, np.float32), where=(part > 0) & (whole > 0))


def satisfies(window: Array, sides: Array, constraint: Message) -> bool:
    """Whether a sampled window is what `sample_constraint` wants of it and one of the boxes."""
    bounds = [name for name in MEASURES if constraint.has(f"min_{name}") or constraint.has(f"max_{name}")]
    if not bounds:
        return True
    common = shared(sides, window)
    fits = np.ones(len(sides), bool)
    for name in bounds:
        share = MEASURES[name](common, window, sides)
        if constraint.has(f"min_{name}"):
            fits &= share >= np.float32(constraint.get(f"min_{name}"))
        if constraint.has(f"max_{name}"):
            fits &= share <= np.float32(constraint.get(f"max_{name}"))
    return bool(fits.any())


# What bounds of a sample_constraint are about, from what window and boxes share.
MEASURES: dict[str, Callable[[Array, Array, Array], Array]] = {
    "jaccard_overlap": lambda common, window, sides: _share(common, areas(window) + areas(sides) - common),
    "sample_coverage": lambda common, window, sides: _share(common, np.broadcast_to(areas(window), common.shape)),
    "object_coverage": lambda common, window, sides: _share(common, areas(sides)),
}


def samples(sides: Array, samplers: Sequence[Message], random: np.random.Generator) -> list[Array]:
    """The windows that `batch_sampler` draws for an image with these boxes."""
    found: list[Array] = []
    for sampler in samplers:
        if not sampler.get("use_original_image"):
            continue
        most = int(sampler.get("max_sample")) if sampler.has("max_sample") else None
        have = 0
        for _ in range(int(sampler.get("max_trials"))):
            if have == most:
                break
            window = _sample(sampler.get("sampler"), random)
            if satisfies(window, sides, sampler.get("sample_constraint")):
                found.append(window)
                have += 1
    return found


def _sample(sampler: Message, random: np.random.Generator) -> Array:
    """A window at random, of a scale and an aspect within the sampler's bounds."""
    scale = random.uniform(sampler.get("min_scale"), sampler.get("max_scale"))
    aspect = random.uniform(sampler.get("min_aspect_ratio"), sampler.get("max_aspect_ratio"))
    aspect = min(max(aspect, scale**2), 1 / scale**2)
    width, height = min(scale * aspect**0.5, 1.0), min(scale / aspect**0.5, 1.0)
    left, top = random.uniform(0, 1 - width), random.uniform(0, 1 - height)
    return np.array((left, top, left + width, top + height), np.float32)
