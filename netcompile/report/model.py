"""The report value: everything that any renderer shows, exact and unformatted.

Coordinates are of pixel centres: *input coordinate = stride · index + offset*, per axis (height, width), exact.
Extents are ints, or `Size`s, exact functions of the input's height H or width W.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netcompile.algebra.coords import AxisMap
    from netcompile.algebra.nset import NSet
    from netcompile.algebra.size import Size
    from netcompile.prototxt.diagnostic import Diagnostic

    Maps = tuple[AxisMap, AxisMap]
    Dims = tuple[int | Size, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One link of a derivation: the blob, the layer that makes it, and its map to its bottom and to the ancestor."""

    blob: str
    layer: str
    line: int
    local: Maps
    compound: Maps


@dataclass(frozen=True, slots=True)
class Derivation:
    """Why a crop starts where it does: both ways down from the nearest common ancestor."""

    ancestor: str
    cropped: tuple[Step, ...]
    reference: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class CropLine:
    """One Crop layer. Offsets are in axis order from `axis` on; `inferred` for the cropped ones of H and W."""

    layer: str
    line: int
    bottoms: tuple[str, str]
    axis: int
    declared: tuple[int, ...] | None
    inferred: tuple[Fraction, ...] | None
    used: tuple[int, ...] | None
    status: str
    why: str
    valid: tuple[NSet, NSet]
    finding: Diagnostic | None
    derivation: Derivation | None


@dataclass(frozen=True, slots=True)
class BlobLine:
    """A blob's final value: its shape, and its coordinates on the net's first input (None where undefined)."""

    name: str
    shape: tuple[int, ...] | None
    symbolic: Dims | None
    coordinates: Maps | None


@dataclass(frozen=True, slots=True)
class Offsets:
    """The alignment half of the report. `valid`: heights and widths for which the whole net is legal."""

    net: str
    file: str
    phase: str
    inputs: tuple[str, ...]
    crops: tuple[CropLine, ...]
    blobs: tuple[BlobLine, ...]
    valid: tuple[NSet, NSet] | None

    @property
    def mismatched(self) -> bool:
        """Whether some crop does not start where it should: what `offsets` exits with 1 for."""
        return any(crop.status not in ("ok", "inferred", "undefined") for crop in self.crops)


@dataclass(frozen=True, slots=True)
class Field:
    """What one pixel of a blob sees of the input, per axis: the size of the window in pixels and its centre.

    `size` is the largest over all pixels; pixel i's window is centred at ``stride · i + centre`` (on average, where
    an upsampling makes windows of several kinds).
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
    """One layer in its place; data layers have no bottoms. Counts are for the declared (or given) input shapes."""

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
