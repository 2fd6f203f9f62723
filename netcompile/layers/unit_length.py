"""Normalize, to unit length: SSD's with a learned scale, and the face forks' without."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from netcompile.layers.base import (
    CHANNELS,
    IDENTITY,
    ITEM,
    Arity,
    Axes,
    BlobSpec,
    Emission,
    Emitted,
    Layer,
    Refused,
    Shape,
    layer,
)
from netcompile.layers.kinds import SameShape
from netcompile.layers.params import Params, constant_filler
from netcompile.layers.shapes import number, planes
from netcompile.layers.source import literal
from netcompile.prototxt.message import Message


@layer("Normalize")
@dataclass(frozen=True, slots=True)
class Normalize(SameShape):
    """Unit Euclidean length, of each pixel's channels or of a whole image, times a learned scale (SSD).

    The length is √(Σx² + ε), over the channels of a pixel or, with across_spatial, over all of an image. Without
    norm_param the layer is the face forks' `UnitLength`.
    """

    across_spatial: bool = True
    channel_shared: bool = True
    eps: float = 1e-10
    scale_filler: Message | None = None

    fork: ClassVar[str] = "SSD"
    attributes: ClassVar[tuple[str, ...]] = ("_scale",)
    family: ClassVar[str] = "normalisation"

    @classmethod
    def read(cls, p: Params) -> Layer:
        if not p.has("norm_param"):
            return UnitLength.read(p)
        if p.has("normalize_param"):
            p.refuse(
                "normalize_param",
                "norm_param and normalize_param belong to Normalize layers of different forks",
                code="fork-clash",
                why="SSD's has norm_param and a scale blob; the face forks' has normalize_param and no blob",
                remedy="keep the fields of the fork that the net was written for",
            )
        s = p.sub("norm_param")
        across, shared = bool(s.get("across_spatial")), bool(s.get("channel_shared"))
        return cls(across, shared, s.get("eps"), s.filler("scale_filler") or constant_filler(1.0))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        if not 2 <= len(bottoms[0]) <= 4:
            raise Refused(f"Normalize wants 2 to 4 axes, not {len(bottoms[0])}", at="bottom[0]")
        return (bottoms[0],)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        return ITEM if self.across_spatial else CHANNELS

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        shape = () if self.channel_shared else (number(bottoms[0][1]),)
        return (BlobSpec("scale", shape, self.scale_filler),)

    def emit(self, e: Emission) -> Emitted:
        x, rank = e.x[0], len(e.bottoms[0])
        shape = "()" if self.channel_shared else f"{e.bottoms[0][1]}"
        init = f"self.{e.name}_scale = nn.Parameter(torch.ones({shape}))"
        eps = literal(self.eps)
        dims = tuple(range(1, rank)) if self.across_spatial and rank > 2 else 1
        norm = f"({x}.pow(2).sum(dim={dims}, keepdim=True) + {eps}).sqrt()"
        view = "" if self.channel_shared or rank == 2 else ".view(-1" + ", 1" * (rank - 2) + ")"
        line = f"{e.y[0]} = {x} / {norm} * self.{e.name}_scale{view}"
        return Emitted((line,), (init,), (), ((f"{e.name}_scale", e.take(0)),))


@dataclass(frozen=True, slots=True)
class UnitLength(Layer):
    """Each pixel's channels divided by their length, the root of Σx² + 1e-6 or, for L1, Σ|x| + 1e-6 (caffe-windows).

    The tops have four axes; a second one holds the lengths. There are no blobs.
    """

    kind: str = "L2"
    tops: int = 1

    type: ClassVar[str] = "Normalize"
    arity: ClassVar[Arity] = Arity(bottoms=1, tops=(1, 2))
    fork: ClassVar[str] = "caffe-windows"
    family: ClassVar[str] = "normalisation"
    mixed: ClassVar[frozenset[int] | None] = CHANNELS

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("normalize_param")
        s.ignore("fix_gradient", "bp_norm")  # of the gradient
        kind = str(s.get("normalize_type"))
        if kind not in ("L1", "L2"):
            s.refuse("normalize_type", f"normalize_type {kind!r} is neither L1 nor L2", code="param")
        if not p.has("normalize_param"):
            p.note(
                "type",
                "a Normalize without parameters is taken for the face forks': x / ‖x‖₂ along the channels",
                code="fork-reading",
                why="SSD's would divide by the length of the whole image, and multiply by a learned scale",
                remedy="normalize_param { } for the face forks', norm_param { } for SSD's",
            )
        return cls(kind, p.tops)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x = planes(bottoms[0], "Normalize")
        return (x, (x[0], 1, *x[2:]))[: self.tops]

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY,)

    def emit(self, e: Emission) -> Emitted:
        x = e.planes[0]
        made = e.call("normalisation.unit_length", x, l1=True if self.kind == "L1" else None)
        return made if self.tops == 2 else replace(made, forward=(f"{made.forward[0]}[0]",))
