"""InnerProduct with weights of unit length, as the face forks have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.layers.base import Arity, BlobSpec, Emission, Emitted, IntShape, Layer, Shape
from netcompile.layers.dense import InnerProduct
from netcompile.layers.elementwise import parameters
from netcompile.layers.params import Params


@dataclass(frozen=True, slots=True)
class UnitInnerProduct(Layer):
    """InnerProduct whose weights are divided by their length first, √(Σw² + 1e-6) for each output (caffe-windows).

    `read` of InnerProduct makes it where inner_product_param has `normalize`. With `transpose` the fork still takes
    as many consecutive numbers for an output as there are inputs, whatever outputs they belong to.
    """

    plain: InnerProduct

    type: ClassVar[str] = "InnerProduct"
    arity: ClassVar[Arity] = Arity(bottoms=1, tops=1)
    fork: ClassVar[str] = "caffe-windows"

    @classmethod
    def read(cls, p: Params) -> Self:
        return cls(InnerProduct.plain(p))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return self.plain.shapes(*bottoms)

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        return self.plain.blobs(*bottoms)

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        return self.plain.macs(bottoms, tops)

    def emit(self, e: Emission) -> Emitted:
        rank, specs = len(e.bottoms[0]), self.blobs(*e.bottoms)
        first, me = self.plain.first(rank), f"self.{e.name}"
        x = e.x[0] if first == rank - 1 else f"{e.x[0]}.flatten({first})"
        rows = f"unit_rows({me}.weight, {self.plain.outputs})"
        make = f"F.linear({x}, {rows}{'.T' if self.plain.transpose else ''}"
        make += f", {me}.bias)" if self.plain.bias else ")"
        tensors = tuple((f"{e.name}.{spec.name}", e.take(i)) for i, spec in enumerate(specs))
        init = parameters(e.name, {spec.name: spec.shape for spec in specs})
        return Emitted((f"{e.y[0]} = {make}",), (init,), ("normalisation.unit_rows",), tensors)
