"""Layers whose every output sees a whole item: InnerProduct, and Embed, its product with a one-hot vector."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar, Self

from netcompile.layers.base import NO_AXES, BlobSpec, Emission, Emitted, IntShape, Layer, Shape, layer
from netcompile.layers.elementwise import AFFINE, parameters
from netcompile.layers.kinds import with_bias
from netcompile.layers.params import Params
from netcompile.layers.shapes import canonical_axis, count
from netcompile.layers.source import call
from netcompile.layers.traits import Labels
from netcompile.prototxt.message import Message


@dataclass(frozen=True, slots=True)
class _Product(Layer):
    """All axes from `axis` on, as one vector, times a matrix: outputs × inputs, or transposed."""

    outputs: int = 1
    axis: int = 1
    transpose: bool = False
    bias: bool = True
    weight_filler: Message | None = None
    bias_filler: Message | None = None

    stored: ClassVar[tuple[str, ...]] = ("kernel", "bias")
    family: ClassVar[str] = "convolution"

    @classmethod
    def plain(cls, p: Params) -> Self:
        """The layer of BVLC's fields."""
        s = p.sub("inner_product_param")
        bias = bool(s.get("bias_term"))
        outputs = s.required_positive("num_output")
        return cls(outputs, int(s.get("axis")), bool(s.get("transpose")), bias, *s.fillers(bias))

    def first(self, rank: int) -> int:
        """The first axis that is multiplied."""
        return canonical_axis(self.axis, rank, "inner_product_param.axis")

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return ((*bottoms[0][: self.first(len(bottoms[0]))], self.outputs),)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        return range(self.first(len(bottoms[0])), len(bottoms[0]))

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        inputs = count(bottoms[0], self.first(len(bottoms[0])))
        shape = (inputs, self.outputs) if self.transpose else (self.outputs, inputs)
        weight = BlobSpec("weight", shape, self.weight_filler)
        return with_bias(weight, self.bias, self.outputs, self.bias_filler)

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        return prod(bottoms[0]) * self.outputs

    def vectors(self, e: Emission) -> str:
        """Source of the bottom with all that is multiplied on one axis."""
        rank = len(e.bottoms[0])
        first = self.first(rank)
        return e.x[0] if first == rank - 1 else f"{e.x[0]}.flatten({first})"


@layer("InnerProduct")
class InnerProduct(_Product):
    """All axes from `axis` on, as one vector, times a matrix: outputs × inputs, or transposed."""

    __slots__ = ()

    computed_by: ClassVar[str] = "nn.Linear"

    @classmethod
    def read(cls, p: Params) -> Layer:
        s = p.sub("inner_product_param")
        kind = UnitInnerProduct if s.get("normalize") else TransposedInnerProduct if s.get("transpose") else cls
        return kind.plain(p)

    def emit(self, e: Emission) -> Emitted:
        specs, x = self.blobs(*e.bottoms), self.vectors(e)
        make = call(self.computed_by, specs[0].shape[1], self.outputs, bias=None if self.bias else "False")
        return Emitted((f"{e.y[0]} = self.{e.name}({x})",), (f"self.{e.name} = {make}",), tensors=e.entries(specs))


class TransposedInnerProduct(InnerProduct):
    """InnerProduct with a matrix of inputs × outputs, which stays so: an encoder's can be shared with its decoder."""

    __slots__ = ()

    type: ClassVar[str] = "InnerProduct"
    attributes: ClassVar[tuple[str, ...]] = AFFINE

    def emit(self, e: Emission) -> Emitted:
        line = f"{e.y[0]} = {self.vectors(e)} @ self.{e.name}_weight" + (f" + self.{e.name}_bias" if self.bias else "")
        return parameters(line, e, self.blobs(*e.bottoms))


class UnitInnerProduct(_Product):
    """InnerProduct whose weights are divided by their length first, √(Σw² + 1e-6) for each output (caffe-windows).

    `read` of InnerProduct makes it where inner_product_param has `normalize`. With `transpose` the fork still takes
    as many consecutive numbers for an output as there are inputs, whatever outputs they belong to.
    """

    __slots__ = ()

    type: ClassVar[str] = "InnerProduct"
    fork: ClassVar[str] = "caffe-windows"
    attributes: ClassVar[tuple[str, ...]] = AFFINE

    def emit(self, e: Emission) -> Emitted:
        me = f"self.{e.name}"
        rows = f"unit_rows({me}_weight, {self.outputs})" + (".T" if self.transpose else "")
        make = call("F.linear", self.vectors(e), rows, *((f"{me}_bias",) if self.bias else ()))
        made = parameters(f"{e.y[0]} = {make}", e, self.blobs(*e.bottoms))
        return replace(made, functions=("normalisation.unit_rows",))


@layer("Embed")
@dataclass(frozen=True, slots=True)
class Embed(Layer):
    """For each element, an index, its row of a table, plus a bias; the table is input_dim × num_output."""

    outputs: int = 1
    inputs: int = 1
    bias: bool = True
    weight_filler: Message | None = None
    bias_filler: Message | None = None

    stored: ClassVar[tuple[str, ...]] = ("kernel", "bias")
    attributes: ClassVar[tuple[str, ...]] = ("_bias",)
    index_bottoms: ClassVar[tuple[int, ...]] = (0,)
    family: ClassVar[str] = "convolution"
    mixed: ClassVar[frozenset[int] | None] = NO_AXES

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("embed_param")
        bias = bool(s.get("bias_term"))
        sizes = s.required_positive("num_output"), s.required_positive("input_dim")
        return cls(*sizes, bias, *s.fillers(bias))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return ((*bottoms[0], self.outputs),)

    def labels(self, *bottoms: IntShape) -> Labels | None:
        return Labels(0, self.inputs, field="input_dim")

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        weight = BlobSpec("weight", (self.inputs, self.outputs), self.weight_filler)
        return with_bias(weight, self.bias, self.outputs, self.bias_filler)

    def emit(self, e: Emission) -> Emitted:
        init = [f"self.{e.name} = nn.Embedding({self.inputs}, {self.outputs})"]
        tensors = [(f"{e.name}.weight", e.take(0))]
        line = f"{e.y[0]} = self.{e.name}({e.x[0]}.long())"
        if self.bias:
            init.append(f"self.{e.name}_bias = nn.Parameter(torch.zeros({self.outputs}))")
            tensors.append((f"{e.name}_bias", e.take(1)))
            line += f" + self.{e.name}_bias"
        return Emitted((line,), tuple(init), tensors=tuple(tensors))
