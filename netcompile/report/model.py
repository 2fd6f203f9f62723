"""The report value: everything that any renderer shows, exact and unformatted. Here its half about alignment.

`proof_model.py` has the proof in it, `layer_model.py` the half about layers.

Coordinates are of pixel centres: *input coordinate = stride · index + offset*, per axis (height, width).
Extents are ints, or `Size`s, exact functions of the input's height H or width W.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from netcompile.algebra.coords import AxisMap
from netcompile.algebra.nset import NSet
from netcompile.algebra.size import Size
from netcompile.algebra.volume import Volume
from netcompile.analysis.crops import CropReport
from netcompile.analysis.symbolic import Gap

if TYPE_CHECKING:  # a report without its proof needs none of the analyses behind one
    from netcompile.report.proof_model import Proof

Maps = tuple[AxisMap, AxisMap]
Dims = tuple[int | Size | Volume, ...]


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """What one pixel of a blob sees of the input, per axis: the size of the window in pixels and its centre.

    `size` is the largest over all pixels; pixel i's window is centred at ``stride · i + centre`` (on average,
    where an upsampling makes windows of several kinds).
    """

    size: tuple[int, int]
    stride: tuple[Fraction, Fraction]
    centre: tuple[Fraction, Fraction]


@dataclass(frozen=True, slots=True)
class BlobLine:
    """A blob's value, the final one or that after a layer: its shape, and its map to the net's first input.

    `coordinates` is None where there is no such map, `field` where it is not asked for or not known.
    """

    name: str
    shape: tuple[int, ...] | None
    symbolic: Dims | None
    coordinates: Maps | None
    field: ReceptiveField | None = None


@dataclass(frozen=True, slots=True)
class Offsets:
    """The alignment half of the report. `valid`: heights and widths for which the whole net is legal."""

    net: str
    file: str
    phase: str
    inputs: tuple[str, ...]
    crops: tuple[CropReport, ...]
    blobs: tuple[BlobLine, ...]
    valid: tuple[NSet, NSet] | None  # None: no plane, or not proved: see `gaps`
    proof: Proof | None = None  # None: not asked for
    gaps: tuple[Gap, ...] = ()  # the layers that are not followed, each once
    declared: tuple[int, int] | None = None  # height and width

    @property
    def mismatched(self) -> bool:
        """Whether some crop does not start where it should: what `offsets` exits with 1 for."""
        return any(crop.status not in ("ok", "inferred", "undefined") for crop in self.crops)
