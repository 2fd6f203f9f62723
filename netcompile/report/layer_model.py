"""The report's half about layers: what each makes and costs, and totals."""

from __future__ import annotations

from dataclasses import dataclass

from netcompile.report.model import BlobLine, Offsets


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
