"""Recurrent layers: LSTM and RNN over a sequence, and the LSTM's single step.

Caffe unrolls them into a net of plain layers; the rules here are those of that net. Sequences lie
interleaved: the first axis counts steps, the second streams, and ``cont`` (steps × streams) is 0 where a
stream begins a new sequence. An emitted module starts every call from a zero state, as Caffe does after
loading; to carry a state from batch to batch, which Caffe does by itself, is what ``expose_hidden`` is for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from netcompile.diagnostics.text import shape_text
from netcompile.layers.base import (
    Arity,
    BlobSpec,
    Condition,
    Emission,
    Emitted,
    IntShape,
    Layer,
    Refused,
    Shape,
    Wish,
    layer,
)
from netcompile.layers.params import Params
from netcompile.layers.shapes import count, same_shape
from netcompile.layers.source import call
from netcompile.prototxt.message import Message


@dataclass(frozen=True, slots=True)
class _Recurrent(Layer):
    """What LSTM and RNN share. Bottoms: x, cont, perhaps a static input, the states if exposed."""

    outputs: int = 1
    static: bool = False
    expose: bool = False
    weight_filler: Message | None = None
    bias_filler: Message | None = None

    arity: ClassVar[Arity] = Arity(bottoms=(2, 5), tops=(1, 3))
    counts_every_gradient: ClassVar[bool] = True
    states: ClassVar[tuple[str, ...]] = ()  # what goes from one step to the next
    gates: ClassVar[int] = 1  # numbers that a step computes for each output
    function: ClassVar[str] = ""  # of the prelude

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("recurrent_param")
        s.ignore("debug_info")
        outputs, expose = s.positive("num_output", "it is the state's width"), bool(s.get("expose_hidden"))
        exposed = len(cls.states) if expose else 0
        cls._count(p, "bottom", p.bottoms, 2 + exposed, 3 + exposed, expose)
        cls._count(p, "top", p.tops, 1 + exposed, 1 + exposed, expose)
        return cls(outputs, p.bottoms > 2 + exposed, expose, *s.fillers())

    @classmethod
    def _count(cls, p: Params, kind: str, have: int, least: int, most: int, expose: bool) -> None:
        low, high = Arity.range(cls.arity.bottoms if kind == "bottom" else cls.arity.tops)
        if least <= have <= most or not low <= have <= (high or have):  # beyond the arity, the graph's builder says so
            return
        wanted = f"{least} {kind}{'s' * (least > 1)}" if least == most else f"{least} or {most} {kind}s"
        p.refuse(
            f"{kind}[{most}]" if have > most else "",
            f"{cls.type} takes {wanted}, not {have}",
            code="arity",
            why=f"expose_hidden is {str(expose).lower()}: the states are {'' if expose else 'no '}{kind}s",
        )

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        x, cont = bottoms[:2]
        if len(x) < 3:
            what = f"{self.type} wants at least 3 axes, not {len(x)}"
            raise Refused(what, at="bottom[0]", why="(steps, streams, features …)")
        found = same_shape(x[:2], cont, "cont must be steps × streams", why=f"{shape_text(cont)} for {shape_text(x)}")
        rest = list(enumerate(bottoms))[2:]
        if self.static:
            index, static = rest.pop(0)
            if len(static) < 2:
                what = f"a static input wants at least 2 axes, not {len(static)}"
                raise Refused(what, at=f"bottom[{index}]", why="(streams, features …)")
            why = f"{shape_text(static)} for {x[1]} streams"
            streams = Refused("the static input must have one row per stream", at=f"bottom[{index}]", why=why)
            found.append(Condition(static[0], "==", x[1], streams))
        for index, state in rest:
            want = (1, x[1], self.outputs)
            why = f"{shape_text(state)}, where 1 × streams × num_output is {shape_text(want)}"
            found += same_shape(want, state, "the first state has another shape", f"bottom[{index}]", why)
        return found

    def wants(self, index: int, *bottoms: IntShape) -> Sequence[Wish]:
        x, cont = bottoms[:2]
        if index and len(x) < 2:
            return ()
        streams = bottoms[2][0] if self.static and len(bottoms) > 2 and bottoms[2] else None
        if index == 0:
            marks = (*cont[:1], streams or cont[1]) if len(cont) == 2 else (None, streams)
            return ((*marks, None), (*marks, *x[2:])) if len(x) > 2 else ((*marks, None),)
        if index == 1:
            return (x[:2],)
        return ((x[1], None),) if self.static and index == 2 else ((1, x[1], self.outputs),)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        steps, streams = bottoms[0][:2]
        state: Shape = (1, streams, self.outputs)
        return ((steps, streams, self.outputs), *((state,) * len(self.states) if self.expose else ()))

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        rows = self.gates * self.outputs
        found = [
            BlobSpec("x.weight", (rows, count(bottoms[0], 2)), self.weight_filler),
            BlobSpec("x.bias", (rows,), self.bias_filler),
        ]
        if self.static:
            found.append(BlobSpec("static.weight", (rows, count(bottoms[2], 1)), self.weight_filler))
        return (*found, BlobSpec("h.weight", (rows, self.outputs), self.weight_filler))

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        weights = {spec.name: count(spec.shape) for spec in self.blobs(*bottoms) if len(spec.shape) == 2}
        static = weights.pop("static.weight", 0)
        steps, streams = bottoms[0][:2]
        return (steps * sum(weights.values()) + static) * streams

    def emit(self, e: Emission) -> Emitted:
        specs = self.blobs(*e.bottoms)
        names = [spec.name for spec in specs]
        linear = []
        for spec in specs:
            part, _, kind = spec.name.partition(".")
            if kind == "weight":
                rows, columns = spec.shape
                make = call("nn.Linear", columns, rows, bias=None if f"{part}.bias" in names else "False")
                linear.append(f'"{part}": {make}')
        rest = list(e.x[2:])
        extra = {"static": rest.pop(0)} if self.static else {}
        extra |= dict(zip(self.states, rest, strict=False))
        made = e.call(self.function, f"self.{e.name}", *e.x[:2], **extra)
        line = made.forward[0] + ("" if self.expose else "[0]")
        init = f"self.{e.name} = nn.ModuleDict({{{', '.join(linear)}}})"
        return replace(made, forward=(line,), init=(init,), tensors=e.entries(specs))


@layer("LSTM")
class LSTM(_Recurrent):
    """Long short-term memory. Blobs: W_xc, b_c, W_xc_static if static, W_hc; gates i, f, o, g."""

    __slots__ = ()

    states: ClassVar[tuple[str, ...]] = ("h", "c")
    gates: ClassVar[int] = 4
    function: ClassVar[str] = "recurrent.caffe_lstm"


@layer("RNN")
class RNN(_Recurrent):
    """A tanh of state and input, and one above. Blobs: W_xh, b_h, W_xh_static if static, W_hh, W_ho, b_o."""

    arity: ClassVar[Arity] = Arity(bottoms=(2, 4), tops=(1, 2))
    states: ClassVar[tuple[str, ...]] = ("h",)
    function: ClassVar[str] = "recurrent.caffe_rnn"

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        n = self.outputs
        outer = BlobSpec("o.weight", (n, n), self.weight_filler), BlobSpec("o.bias", (n,), self.bias_filler)
        return (*super().blobs(*bottoms), *outer)


@layer("Recurrent")
class Recurrent(_Recurrent):
    """Caffe's base of LSTM and RNN, which no net can use."""

    __slots__ = ()

    @classmethod
    def read(cls, p: Params) -> Self:
        p.sub("recurrent_param").ignore_all()
        p.refuse(
            "type",
            "Recurrent is abstract",
            code="unknown-layer",
            why="Caffe has it as the base of LSTM and RNN, and cannot make one",
            remedy='type: "LSTM" or "RNN"',
        )
        return cls()


@layer("LSTMUnit")
@dataclass(frozen=True, slots=True)
class LSTMUnit(Layer):
    """One step of an LSTM. Bottoms: cell, gates before their sigmoids, cont; tops: cell, output."""

    arity: ClassVar[Arity] = Arity(bottoms=3, tops=2)

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        for index, (shape, axes) in enumerate(zip(bottoms, (3, 3, 2), strict=True)):
            if len(shape) != axes:
                raise Refused(f"LSTMUnit wants {axes} axes here, not {len(shape)}", at=f"bottom[{index}]")
        cell, gates, _ = bottoms
        found = []
        for index, shape in enumerate(bottoms):
            at, text = f"bottom[{index}]", shape_text(shape)
            one = Refused("LSTMUnit computes one step", at=at, why=f"the first axis of {text}")
            streams = Refused("streams differ", at=at, why=f"{text} for {cell[1]} streams")
            found += [Condition(shape[0], "==", 1, one), Condition(shape[1], "==", cell[1], streams)]
        what, why = f"{gates[2]} gates for a cell of {cell[2]}", "there are four gates for each number"
        four = Refused(what, at="bottom[1]", why=why)
        return [*found, Condition(gates[2], "==", cell[2] * 4, four)]

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (bottoms[0], bottoms[0])

    def emit(self, e: Emission) -> Emitted:
        return e.call("recurrent.caffe_lstm_unit", *e.x)
