"""The report value: everything that any renderer shows, exact and unformatted. Here the alignment half.

Coordinates are of pixel centres: *input coordinate = stride · index + offset*, per axis (height, width).
Extents are ints, or `Size`s, exact functions of the input's height H or width W.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from netcompile.algebra.coords import AxisMap
from netcompile.algebra.nset import NSet
from netcompile.algebra.size import Size
from netcompile.algebra.volume import Volume
from netcompile.analysis.windows import Windows
from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.report.proof_model import Proof

Maps = tuple[AxisMap, AxisMap]
Dims = tuple[int | Size | Volume, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One link of a derivation: a blob, the layer that makes it, its maps to its bottom and the ancestor.

    `windows` are the layer's, for height and width, where it has any; `sizes` the blob's extents.
    """

    blob: str
    layer: str
    line: int
    local: Maps
    compound: Maps
    type: str = ""
    windows: Windows | None = None
    sizes: Dims | None = None


@dataclass(frozen=True, slots=True)
class Derivation:
    """Why a crop starts where it does: both ways down from the nearest common ancestor."""

    ancestor: str
    cropped: tuple[Step, ...]
    reference: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class CropLine:
    """A Crop. Offsets are in axis order from `axis` on; `inferred` for the cropped ones of H and W."""

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
    unproved: str
    finding: Diagnostic | None
    derivation: Derivation | None


@dataclass(frozen=True, slots=True)
class BlobLine:
    """A blob's final value: its shape, and its map to the net's first input (None where undefined)."""

    name: str
    shape: tuple[int, ...] | None
    symbolic: Dims | None
    coordinates: Maps | None


@dataclass(frozen=True, slots=True)
class GapLine:
    """A layer that keeps sizes other than the declared one from being proved, and why."""

    layer: str
    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Offsets:
    """The alignment half of the report. `valid`: heights and widths for which the whole net is legal."""

    net: str
    file: str
    phase: str
    inputs: tuple[str, ...]
    crops: tuple[CropLine, ...]
    blobs: tuple[BlobLine, ...]
    valid: tuple[NSet, NSet] | None  # None: no plane, or not proved: see `gaps`
    proof: Proof | None = None  # None: not asked for
    gaps: tuple[GapLine, ...] = ()
    declared: tuple[int, int] | None = None  # height and width

    @property
    def mismatched(self) -> bool:
        """Whether some crop does not start where it should: what `offsets` exits with 1 for."""
        return any(crop.status not in ("ok", "inferred", "undefined") for crop in self.crops)
