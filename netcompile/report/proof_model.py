"""The report value, its proof: what holds for all input sizes, what upsampling mixes up, which streams meet.

Extents are `Size`s, exact functions of the input's height H or width W; sets of input extents are `NSet`s.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from netcompile.algebra.size import Size
from netcompile.analysis.bilinear import Kernel
from netcompile.analysis.proof import Refusal, Room
from netcompile.analysis.streams import Stream
from netcompile.analysis.upsampling import Fibre


@dataclass(frozen=True, slots=True)
class LayerRef:
    """A layer by its name and the line that it stands in."""

    layer: str
    line: int


@dataclass(frozen=True, slots=True)
class ResolutionLine:
    """What uses an upsampled blob: kind "cut", "reference" or "output"; the crop, and its other bottom."""

    kind: str
    crop: LayerRef | None
    other: str | None
    resolved: bool


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class FusionLine:
    """A layer where streams of different strides meet."""

    layer: str
    line: int
    streams: tuple[Stream, ...]


@dataclass(frozen=True, slots=True)
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
