"""The report value, its second half: layers, their shapes and costs. See `model` for the first.

Two modules, because what a command does not show it should not load.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from netcompile.report.model import BlobLine, Dims, Maps, Offsets


@dataclass(frozen=True, slots=True)
class Field:
    """What one pixel of a blob sees of the input, per axis: the size of the window in pixels and its centre.

    `size` is the largest over all pixels; pixel i's window is centred at ``stride · i + centre`` (on average,
    where an upsampling makes windows of several kinds).
    """

    size: tuple[int, int]
    stride: tuple[Fraction, Fraction]
    centre: tuple[Fraction, Fraction]


@dataclass(frozen=True, slots=True)
class TopLine:
    """What a layer writes: a blob, at that point of the net."""

    blob: str
    shape: tuple[int, ...] | None
    symbolic: Dims | None
    coordinates: Maps | None
    field: Field | None


@dataclass(frozen=True, slots=True)
class LayerLine:
    """One layer in its place; data layers have no bottoms. Counts are for the input shapes in force."""

    name: str
    type: str
    line: int
    bottoms: tuple[str, ...]
    tops: tuple[TopLine, ...]
    blobs: tuple[tuple[int, ...], ...]
    parameters: int
    macs: int
    activations: int


@dataclass(frozen=True, slots=True)
class Layers:
    """The other half: every layer in the file's order, and totals."""

    net: str
    file: str
    phase: str
    assumed: tuple[str, ...]  # inputs whose shape the file does not say
    outputs: tuple[str, ...]
    layers: tuple[LayerLine, ...]
    blobs: tuple[BlobLine, ...]
    parameters: int  # shared ones once
    macs: int
    activations: int

    @property
    def numeric(self) -> bool:
        """Whether all shapes are known as numbers, because the file or the user gave the inputs'."""
        return not self.assumed


@dataclass(frozen=True, slots=True)
class Report:
    """Both halves: what the HTML page shows."""

    offsets: Offsets
    layers: Layers
