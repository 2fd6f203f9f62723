"""The report value, its proof: what holds for all input sizes, what upsampling mixes up, which streams meet.

Extents are `Size`s, exact functions of the input's height H or width W; sets of input extents are `NSet`s.
"""

from __future__ import annotations

from fractions import Fraction

from netcompile.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netcompile.algebra.size import Size
    from netcompile.analysis.bilinear import Kernel
    from netcompile.analysis.proof import Refusal, Room
    from netcompile.analysis.streams import Stream
    from netcompile.analysis.upsampling import Fibre


@record
class LayerRef:
    """A layer by its name and the line that it stands in."""

    layer: str
    line: int


@record
class ResolutionLine:
    """What uses an upsampled blob: kind "cut", "reference" or "output"; the crop, and its other bottom."""

    kind: str
    crop: LayerRef | None
    other: str | None
    resolved: bool


@record
class UpsamplingLine:
    """A Deconvolution of a stride above 1; see `netcompile.analysis.upsampling`."""

    layer: str
    line: int
    blob: str
    factor: tuple[int, int]
    kernels: tuple[Kernel, Kernel]
    undone: tuple[LayerRef, ...]
    left: Fraction
    sizes: tuple[Size, Size] | None
    fibres: tuple[Fibre | None, Fibre | None]
    resolutions: tuple[ResolutionLine, ...]


@record
class FusionLine:
    """A layer where streams of different strides meet."""

    layer: str
    line: int
    streams: tuple[Stream, ...]


@record
class Proof:
    """`rooms`: per crop, in the report's order, what it leaves over along height and width.

    `refusals`: the input extents next to the legal ones, and what refuses them. `ties`: the layers that need the
    declared size, True where it is for the shape of their weights.
    """

    rooms: tuple[tuple[Room | None, Room | None], ...]
    upsamplings: tuple[UpsamplingLine, ...]
    fusions: tuple[FusionLine, ...]
    refusals: tuple[Refusal, ...]
    ties: tuple[tuple[LayerRef, bool], ...]
