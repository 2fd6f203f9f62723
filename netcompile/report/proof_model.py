"""The proof in a report: why crops start where they do, and what holds for all input sizes."""

from __future__ import annotations

from dataclasses import dataclass

from netcompile.algebra.size import Size
from netcompile.algebra.volume import Volume
from netcompile.analysis.proof import Refusal, Slack, Tie
from netcompile.analysis.streams import Fusion
from netcompile.analysis.upsampling import Upsampling
from netcompile.analysis.windows import KernelWindows
from netcompile.layers.base import Axes


@dataclass(frozen=True, slots=True)
class Step:
    """One link of a derivation: a blob, the layer that makes it, its maps to its bottom and the ancestor.

    `windows` are the layer's, for height and width, where it has any; `sizes` the blob's extents.
    """

    blob: str
    layer: str
    line: int
    local: Axes
    compound: Axes
    type: str = ""
    windows: KernelWindows | None = None
    sizes: tuple[int | Size | Volume, ...] | None = None


@dataclass(frozen=True, slots=True)
class Derivation:
    """Why a crop starts where it does: both ways down from the nearest common ancestor."""

    ancestor: str
    cropped: tuple[Step, ...]
    reference: tuple[Step, ...]


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
