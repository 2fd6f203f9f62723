"""Layers whose every output sees a whole item: InnerProduct, and Embed, its product with a one-hot vector."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Self

from netcompile.layers.base import (
    NO_AXES,
    Arity,
    BlobSpec,
    Emission,
    Emitted,
    IntShape,
    Labels,
    Layer,
    Shape,
    call,
    canonical_axis,
    count,
    layer,
)
from netcompile.layers.elementwise import parameters
from netcompile.layers.params import Params, Section
from netcompile.prototxt.message import Message


def outputs(s: Section, field: str = "num_output") -> int:
    """A number that the file must give, and that must be positive."""
    value = int(s.required(field) or 0)
    if s.has(field) and value < 1:
        s.refuse(field, f"{field} must be positive, not {value}", code="param-range")
    return max(value, 1)


@layer("InnerProduct")
@dataclass(frozen=True, slots=True)
class InnerProduct(Layer):
    """All axes from `axis` on, as one vector, times a matrix: outputs × inputs, or transposed."""

    outputs: int = 1
    axis: int = 1
    transpose: bool = False
    bias: bool = True
    weight_filler: Message | None = None
    bias_filler: Message | None = None

    stored: ClassVar[tuple[str, ...]] = ("kernel", "bias")
    arity: ClassVar[Arity] = Arity(bottoms=1, tops=1)
    family: ClassVar[str] = "convolution"

    @classmethod
    def read(cls, p: Params) -> Layer:
        if p.sub("inner_product_param").get("normalize"):
            return UnitInnerProduct.read(p)
        return cls.plain(p)

    @classmethod
    def plain(cls, p: Params) -> Self:
        """The layer of BVLC's fields."""
        s = p.sub("inner_product_param")
        return cls(
            outputs(s),
            int(s.get("axis")),
            bool(s.get("transpose")),
            bool(s.get("bias_term")),
            s.filler("weight_filler"),
            s.filler("bias_filler", used=bool(s.get("bias_term"))),
        )

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
        return (weight, BlobSpec("bias", (self.outputs,), self.bias_filler)) if self.bias else (weight,)

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        return prod(bottoms[0]) * self.outputs

    def emit(self, e: Emission) -> Emitted:
        rank = len(e.bottoms[0])
        first, specs = self.first(rank), self.blobs(*e.bottoms)
        x = e.x[0] if first == rank - 1 else f"{e.x[0]}.flatten({first})"
        tensors = tuple((f"{e.name}.{spec.name}", e.take(i)) for i, spec in enumerate(specs))
        if self.transpose:
            # The matrix stays as Caffe has it, so that an encoder's can be shared with its decoder.
            bias = f" + self.{e.name}.bias" if self.bias else ""
            make = parameters(e.name, {spec.name: spec.shape for spec in specs})
            return Emitted((f"{e.y[0]} = {x} @ self.{e.name}.weight{bias}",), (make,), tensors=tensors)
        make = call("nn.Linear", specs[0].shape[1], self.outputs, bias=None if self.bias else "False")
        return Emitted((f"{e.y[0]} = self.{e.name}({x})",), (f"self.{e.name} = {make}",), tensors=tensors)


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
    family: ClassVar[str] = "convolution"

    @classmethod
    def read(cls, p: Params) -> Self:
        return cls(InnerProduct.plain(p))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return self.plain.shapes(*bottoms)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        return self.plain.mixes(train, *bottoms)

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
    arity: ClassVar[Arity] = Arity(bottoms=1, tops=1)
    index_bottoms: ClassVar[tuple[int, ...]] = (0,)
    family: ClassVar[str] = "convolution"
    mixed: ClassVar[frozenset[int] | None] = NO_AXES

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("embed_param")
        return cls(
            outputs(s),
            outputs(s, "input_dim"),
            bool(s.get("bias_term")),
            s.filler("weight_filler"),
            s.filler("bias_filler", used=bool(s.get("bias_term"))),
        )

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return ((*bottoms[0], self.outputs),)

    def labels(self, *bottoms: IntShape) -> Labels | None:
        return Labels(0, self.inputs, field="input_dim")

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        weight = BlobSpec("weight", (self.inputs, self.outputs), self.weight_filler)
        return (weight, BlobSpec("bias", (self.outputs,), self.bias_filler)) if self.bias else (weight,)

    def emit(self, e: Emission) -> Emitted:
        specs = self.blobs(*e.bottoms)
        tensors = tuple((f"{e.name}.{spec.name}", e.take(i)) for i, spec in enumerate(specs))
        if not self.bias:
            make = f"self.{e.name} = nn.Embedding({self.inputs}, {self.outputs})"
            return Emitted((f"{e.y[0]} = self.{e.name}({e.x[0]}.long())",), (make,), tensors=tensors)
        make = parameters(e.name, {spec.name: spec.shape for spec in specs})
        text = f"F.embedding({e.x[0]}.long(), self.{e.name}.weight) + self.{e.name}.bias"
        return Emitted((f"{e.y[0]} = {text}",), (make,), tensors=tensors)
