"""Layers that combine blobs element by element: of one shape (Eltwise), or one broadcast over the other."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Self

from netcompile.caffemodel.recipe import Recipe
from netcompile.diagnostics.text import shape_text
from netcompile.layers.base import (
    IDENTITY,
    NO_AXES,
    Arity,
    Axes,
    BlobSpec,
    Condition,
    Emission,
    Emitted,
    IntShape,
    Layer,
    Refused,
    Shape,
    layer,
)
from netcompile.layers.params import Params, Section, constant_filler
from netcompile.layers.shapes import all_alike, canonical_axis, number
from netcompile.layers.source import call, literal
from netcompile.prototxt.message import Message

MOST_NESTED = 50  # bottoms that are written as one expression


@layer("Eltwise")
@dataclass(frozen=True, slots=True)
class Eltwise(Layer):
    """Product, weighted sum or maximum of two or more blobs of equal shape; FlowNet's fork weighs one alone, too.

    A sum in place loses its first bottom: Caffe sets the top to 0 before it reads the bottoms (EltwiseLayer::Forward).
    """

    operation: str = "SUM"
    coeff: tuple[float, ...] = ()
    overwritten: bool = False  # a sum whose top is its first bottom

    arity: ClassVar[Arity] = Arity(bottoms=(1, None), tops=1)
    family: ClassVar[str] = "join"
    mixed: ClassVar[frozenset[int] | None] = NO_AXES

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("eltwise_param")
        s.ignore("stable_prod_grad")
        operation, coeff = s.get("operation"), tuple(float(c) for c in s.all("coeff"))
        if p.bottoms == 1 and (operation != "SUM" or not coeff):
            p.refuse(
                "",
                "Eltwise takes 2 or more bottoms, not 1",
                code="arity",
                why="one alone is for FlowNet's fork, which weighs it by a coeff",
                remedy=f"give layer '{p.message.get('name')}' 2 or more bottoms",
            )
        elif p.bottoms == 1:
            p.note(
                "bottom",
                "an Eltwise of one bottom is coeff · x",
                code="fork-reading",
                why="FlowNet's fork has it; BVLC Caffe wants two bottoms",
            )
        if coeff and len(coeff) != p.bottoms:
            s.refuse(
                "coeff",
                f"{len(coeff)} coeff for {p.bottoms} bottoms",
                code="param-count",
                why="Caffe wants none, or one for each bottom",
            )
        if coeff and operation == "PROD":
            s.refuse("coeff", "coeff only with SUM", code="param-conflict", why="a product has no coefficients")
        overwritten = operation == "SUM" and p.bottoms > 0 and p.message.all("bottom")[:1] == p.message.all("top")[:1]
        if overwritten:
            p.note(
                "top",
                f"the sum works in place on '{p.message.all('top')[0]}', whose values are lost",
                code="in-place-sum",
                why="Caffe sets the top to 0 before it adds the bottoms up, and the first bottom with it",
                remedy=f"give layer '{p.message.get('name')}' a top of its own",
            )
        return cls(operation, coeff if operation == "SUM" else (), overwritten)

    @property
    def sums(self) -> bool:
        """Whether it adds, so that no operator that computes a gradient reads its top again."""
        return self.operation == "SUM"

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        return all_alike(bottoms, "shapes differ")

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (bottoms[0],)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY,) * len(bottoms)

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        return prod(tops[0]) * (len(bottoms) - 1) if self.operation != "MAX" else 0

    def emit(self, e: Emission) -> Emitted:
        if self.operation == "MAX":
            if e.train:
                return e.call("activation.caffe_max", *e.x)
            if len(e.x) > MOST_NESTED:
                return _reduced(e, "maximum", e.x)
            text = e.x[0]
            for other in e.x[1:]:
                text = f"torch.maximum({text}, {other})"
            return e.assign(text)
        if self.operation == "PROD":
            return _reduced(e, "mul", e.x) if len(e.x) > MOST_NESTED else e.assign(" * ".join(e.x))
        if len(e.x) > MOST_NESTED:
            weighed = zip(e.x, self.coeff or (1.0,) * len(e.x), strict=True)
            return _reduced(e, "add", [x if c == 1 else f"{literal(c)} * {x}" for x, c in weighed][self.overwritten :])
        text = ""
        terms = list(zip(e.x, self.coeff or (1.0,) * len(e.x), strict=True))[self.overwritten :]
        for x, c in terms or [(e.x[0], 0.0)]:
            sign, size = ("-" if c < 0 else "+"), abs(c)
            term = x if size == 1 else f"{literal(size)} * {x}"
            text = (f"-{term}" if sign == "-" else term) if not text else f"{text} {sign} {term}"
        return e.assign(text)


def _reduced(e: Emission, function: str, terms: Sequence[str]) -> Emitted:
    """One operator over very many terms, from the left: as an expression they would nest too deep for Python."""
    return Emitted((f"{e.y[0]} = reduce(torch.{function}, ({', '.join(terms)}))",), imports=("functools.reduce",))


@dataclass(frozen=True, slots=True)
class _Broadcast(Layer):
    """A blob that lies on some axes of the first bottom: learned, or the second bottom."""

    axis: int = 1
    num_axes: int = 1
    filler: Message | None = None

    arity: ClassVar[Arity] = Arity(bottoms=(1, 2), tops=1)
    word: ClassVar[str] = ""  # what the blob is called
    family: ClassVar[str] = "normalisation"

    @staticmethod
    def read_axes(s: Section) -> tuple[int, int]:
        axis, num_axes = int(s.get("axis")), int(s.get("num_axes"))
        if num_axes < -1:
            s.refuse(
                "num_axes",
                f"num_axes {num_axes} is less than -1",
                code="param-range",
                why="it counts axes; -1 means all from axis on",
            )
            num_axes = 1
        return axis, num_axes

    def span(self, *bottoms: Shape) -> tuple[int, int]:
        """The axes of bottom[0] that the blob lies on: from the first up to the second, exclusive."""
        rank = len(bottoms[0])
        field = f"{self.word}_param"
        if len(bottoms) == 2 and not bottoms[1]:
            return (0, 0)
        axis = canonical_axis(self.axis, rank, f"{field}.axis")
        if len(bottoms) == 2:
            if axis + len(bottoms[1]) > rank:
                raise self.mismatch(axis, *bottoms)
            return (axis, axis + len(bottoms[1]))
        end = rank if self.num_axes == -1 else axis + self.num_axes
        if end > rank:
            raise Refused(
                f"{self.num_axes} axes from axis {axis} on, of {rank}",
                code="axis",
                at=f"{field}.num_axes" if self.num_axes != 1 else f"{field}.axis",
                why=f"the {self.word}'s shape would extend past the bottom's, {shape_text(bottoms[0])}",
            )
        return (axis, end)

    def mismatch(self, axis: int, *bottoms: Shape) -> Refused:
        return Refused(
            f"{self.word} shape does not match axis {axis}",
            at="bottom[1]",
            why=f"from axis {axis} on, the first bottom is {shape_text(bottoms[0][axis:])}, "
            f"the {self.word} is {shape_text(bottoms[1])}",
        )

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        start, end = self.span(*bottoms)
        if len(bottoms) == 1:
            return ()
        refusal = self.mismatch(start, *bottoms)
        return [
            Condition(p, "==", q, refusal) for p, q in zip(bottoms[0][start:end], bottoms[1], strict=True) if p is not q
        ]

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        self.span(*bottoms)
        return (bottoms[0],)

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        return range(*self.span(*bottoms)) if len(bottoms) == 1 else None

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY, None)[: len(bottoms)]

    def blob(self, name: str, filler: Message | None, *bottoms: Shape) -> BlobSpec:
        start, end = self.span(*bottoms)
        return BlobSpec(name, tuple(number(d) for d in bottoms[0][start:end]), filler)

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        return prod(tops[0])

    def broadcast(self, blob: str, *bottoms: IntShape) -> str:
        """Source of `blob` with an axis of length 1 for every axis of bottom[0] behind it."""
        start, end = self.span(*bottoms)
        rank, behind = end - start, len(bottoms[0]) - end
        if not rank or not behind:
            return blob
        return f"{blob}[{', '.join([':' if rank == 1 else '...'] + ['None'] * behind)}]"


AFFINE = ("_weight", "_bias")  # ends of the attributes that `parameters` makes for blobs called weight and bias


def parameters(forward: str, e: Emission, specs: Sequence[BlobSpec], weight: str = "empty") -> Emitted:
    """A line of ``forward``, with a parameter of the module for each blob: ``self.NAME_BLOB``.

    Until they are given values biases are 0, and weights what torch's function of the name in `weight` makes them.
    """
    init, tensors = list[str](), list[tuple[str, Recipe]]()
    for index, spec in enumerate(specs):
        make = call(f"torch.{'zeros' if spec.meaning == 'bias' else weight}", ", ".join(map(str, spec.shape)) or "()")
        init.append(f"self.{e.name}_{spec.name} = nn.Parameter({make})")
        tensors.append((f"{e.name}_{spec.name}", e.take(index)))
    return Emitted((forward,), tuple(init), tensors=tuple(tensors))


@layer("Bias")
class Bias(_Broadcast):
    """bottom[0] plus a blob that lies on its axes from `axis` on: bottom[1], or one that is learned."""

    __slots__ = ()

    word: ClassVar[str] = "bias"

    attributes: ClassVar[tuple[str, ...]] = ("_bias",)
    stored: ClassVar[tuple[str, ...]] = ("bias",)

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("bias_param")
        return cls(*cls.read_axes(s), s.filler("filler"))

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        return () if len(bottoms) == 2 else (self.blob("bias", self.filler, *bottoms),)

    def emit(self, e: Emission) -> Emitted:
        if len(e.x) == 2:
            return e.assign(f"{e.x[0]} + {self.broadcast(e.x[1], *e.bottoms)}")
        bias = self.broadcast(f"self.{e.name}_bias", *e.bottoms)
        return parameters(f"{e.y[0]} = {e.x[0]} + {bias}", e, self.blobs(*e.bottoms))


@layer("Scale")
@dataclass(frozen=True)
class Scale(_Broadcast):
    """bottom[0] times a blob that lies on its axes from `axis` on; and plus a learned bias of that shape."""

    bias: bool = False
    bias_filler: Message | None = None

    word: ClassVar[str] = "scale"

    attributes: ClassVar[tuple[str, ...]] = AFFINE
    stored: ClassVar[tuple[str, ...]] = ("kernel", "bias")

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("scale_param")
        filler, bias = s.filler("filler") or constant_filler(1.0), bool(s.get("bias_term"))
        return cls(*cls.read_axes(s), filler, bias, s.filler("bias_filler", used=bias))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        if self.bias:  # its bias is a Bias layer of one bottom, which wants an axis even for a scalar
            canonical_axis(self.axis, len(bottoms[0]), "scale_param.axis")
        return super().shapes(*bottoms)

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        weight = (self.blob("weight", self.filler, *bottoms),) if len(bottoms) == 1 else ()
        return weight + ((self.blob("bias", self.bias_filler, *bottoms),) if self.bias else ())

    def emit(self, e: Emission) -> Emitted:
        weight = e.x[1] if len(e.x) == 2 else f"self.{e.name}_weight"
        text = f"{e.x[0]} * {self.broadcast(weight, *e.bottoms)}"
        if self.bias:
            text += f" + {self.broadcast(f'self.{e.name}_bias', *e.bottoms)}"
        return parameters(f"{e.y[0]} = {text}", e, self.blobs(*e.bottoms), "ones")
