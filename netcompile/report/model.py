"""The report value: everything that any renderer shows, exact and unformatted.

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
from netcompile.analysis.crops import CropReport
from netcompile.analysis.proof import Refusal, Slack, Tie
from netcompile.analysis.shapes import Gap
from netcompile.analysis.streams import Fusion
from netcompile.analysis.upsampling import Upsampling
from netcompile.analysis.windows import KernelWindows

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
    windows: KernelWindows | None = None
    sizes: Dims | None = None


@dataclass(frozen=True, slots=True)
class Derivation:
    """Why a crop starts where it does: both ways down from the nearest common ancestor."""

    ancestor: str
    cropped: tuple[Step, ...]
    reference: tuple[Step, ...]


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
class Proof:
    """What holds for all input sizes.

    `derivations` and `slacks` have an entry for each crop, in the report's order: why it starts where it does (None
    where that cannot be told), and what it leaves over along height and width. `refusals`: the input extents next to
    the legal ones, and what refuses them. `ties`: the layers that need the declared size.
    """

    derivations: tuple[Derivation | None, ...]
    slacks: tuple[tuple[Slack | None, Slack | None], ...]
    upsamplings: tuple[Upsampling, ...]
    fusions: tuple[Fusion, ...]
    refusals: tuple[Refusal, ...]
    ties: tuple[Tie, ...]


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


@dataclass(frozen=True, slots=True)
class LayerLine:
    """One layer in its place; data layers have no bottoms. Counts are for the input shapes in force."""

    name: str
    type: str
    line: int
    bottoms: tuple[str, ...]
    tops: tuple[BlobLine, ...]
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
    left_out: int = 0  # layers behind these

    @property
    def numeric(self) -> bool:
        """Whether all shapes are known as numbers, because the file or the user gave the inputs'."""
        return not self.assumed


@dataclass(frozen=True, slots=True)
class Report:
    """Both halves: what the HTML page shows."""

    offsets: Offsets
    layers: Layers
