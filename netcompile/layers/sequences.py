"""Layers of the text-reading forks: Transpose, Lstm, CTCGreedyDecoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.diagnostics.text import shape_text
from netcompile.layers.base import Arity, BlobSpec, Condition, Emission, Emitted, IntShape, Layer, Refused, Shape, layer
from netcompile.layers.kinds import Reordered
from netcompile.layers.params import Params
from netcompile.layers.shapes import count, planes, same_shape
from netcompile.prototxt.message import Message


@layer("Transpose")
@dataclass(frozen=True, slots=True)
class Transpose(Reordered):
    """The axes in another order: axis i of the top is the bottom's axis dim[i] (CTPN, CRNN)."""

    dims: tuple[int, ...] = ()

    fork: ClassVar[str] = "CTPN"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("transpose_param")
        dims = tuple(int(v) for v in s.all("dim"))
        if not dims:
            p.refuse(
                "type",
                "a Transpose layer whose fork cannot be told",
                code="fork-clash",
                why="CTPN's has transpose_param; those of other forks make rows of pixels or frames, each in its way",
                remedy="transpose_param { dim: 0 dim: 1 … } for CTPN's",
            )
        elif sorted(dims) != list(range(len(dims))):
            s.refuse("dim", f"dim {', '.join(map(str, dims))} does not name each axis once", code="param")
            dims = tuple(range(len(dims)))
        p.refuse_in_place()
        return cls(dims)

    def axes(self, shape: Shape) -> tuple[int, ...]:
        if len(shape) != len(self.dims):
            what = f"{len(self.dims)} dim for {len(shape)} axes"
            why = f"every axis of the bottom, {shape_text(shape)}, needs its place"
            raise Refused(what, code="axis", at="transpose_param.dim", why=why)
        return self.dims


@layer("Lstm")
@dataclass(frozen=True, slots=True)
class Lstm(Layer):
    """Long short-term memory without continuation marks, or with them as a second bottom (caffe-lstm, CTPN).

    CTPN's reads steps × streams × features …; caffe-lstm's reads (steps · batch_size) × features …, and is meant
    where batch_size is given or the bottom has two axes. A mark that is not 0 goes on with the sequence; both forks
    find the mark of a step and a stream at step + stream. Blobs: W_x, W_h, b; gates i, f, o, g. Every call starts
    from a zero state. The clipping threshold is for the gradient, which is not clipped here.
    """

    outputs: int = 1
    batch: int | None = None
    marked: bool = False
    weight_filler: Message | None = None
    bias_filler: Message | None = None

    arity: ClassVar[Arity] = Arity(bottoms=(1, 2), tops=1)
    fork: ClassVar[str] = "caffe-lstm, CTPN"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("lstm_param")
        outputs = s.required_positive("num_output", "it is the state's width")
        if p.train and s.get("clipping_threshold") > 0:
            p.refuse(
                "lstm_param.clipping_threshold",
                "Lstm with a clipped gradient in training",
                code="unsupported",
                why="its gradient would not be its derivative",
                remedy="--phase test",
            )
        batch = s.positive("batch_size") if s.has("batch_size") else None
        return cls(outputs, batch, p.bottoms == 2, *s.fillers())

    def rows(self, shape: Shape) -> int | None:
        """The streams of a bottom whose first axis counts steps and streams; None where each has an axis."""
        if len(shape) < 2:
            raise Refused(f"Lstm wants 2 axes or more, not {len(shape)}", at="bottom[0]", why="(steps, features …)")
        if self.batch is not None:
            return self.batch
        return 1 if len(shape) == 2 else None

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        x, rows = bottoms[0], self.rows(bottoms[0])
        found = []
        if rows not in (None, 1):
            refusal = Refused(f"{x[0]} rows are no multiple of batch_size {rows}", at="lstm_param.batch_size")
            found.append(Condition(x[0], "==", x[0] // rows * rows, refusal))
        if self.marked:
            marks, text = bottoms[1], shape_text(bottoms[1])
            flat = Refused("the marks must lie on one axis", at="bottom[1]", why=f"they are {text}")
            found += [Condition(d, "==", 1, flat) for d in marks[1:]]
            steps, streams = (x[0] // rows, rows) if rows else x[:2]
            few = Refused("too few marks", at="bottom[1]", why=f"{text} for {steps} steps of {streams}")
            if not marks:
                raise few
            found.append(Condition(marks[0], ">=", steps + (streams - 1), few))
        return found

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x = bottoms[0]
        return ((x[0], self.outputs),) if self.rows(x) else ((x[0], x[1], self.outputs),)

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        h, inputs = self.outputs, count(bottoms[0], 1 if self.rows(bottoms[0]) else 2)
        return (
            BlobSpec("x.weight", (4 * h, inputs), self.weight_filler),
            BlobSpec("h.weight", (4 * h, h), self.weight_filler),
            BlobSpec("x.bias", (4 * h,), self.bias_filler),
        )

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        weights = self.blobs(*bottoms)
        return count(tops[0][:-1]) * (count(weights[0].shape) + count(weights[1].shape))

    def emit(self, e: Emission) -> Emitted:
        specs, rows = self.blobs(*e.bottoms), self.rows(e.bottoms[0])
        x = f"{e.x[0]}.unflatten(0, (-1, {rows}))" if rows else e.x[0]
        inputs, h = specs[0].shape[1], self.outputs
        parts = f'"x": nn.Linear({inputs}, {4 * h}), "h": nn.Linear({h}, {4 * h}, bias=False)'
        marks = f", {e.x[1]}" if self.marked else ""
        lines = (
            f"{e.y[0]} = {x}",
            f"{e.y[0]} = caffe_lstm(self.{e.name}, {e.y[0]}, goes_on({e.y[0]}{marks}))[0]",
            *((f"{e.y[0]} = {e.y[0]}.flatten(0, 1)",) if rows else ()),
        )
        tensors = e.entries(specs)
        init = f"self.{e.name} = nn.ModuleDict({{{parts}}})"
        return Emitted(lines, (init,), ("recurrent.caffe_lstm", "recurrent.goes_on"), tensors)


@layer("CTCGreedyDecoder")
@dataclass(frozen=True, slots=True)
class CTCGreedyDecoder(Layer):
    """The most likely class of each step, without blanks and repetitions, -1 behind the end (CTC forks).

    Bottoms: scores steps × streams × classes; marks steps × streams, 0 where a sequence is over (from the second
    step on; without them all steps count); labels steps × streams, ended by a negative one. Tops: the classes,
    streams × steps × 1 × 1; the sum of the largest scores, negated; with labels, last, the accuracy, 1 less the
    mean edit distance in parts of the longer sequence.
    """

    blank: int = -1
    merge: bool = True
    tops: int = 1

    arity: ClassVar[Arity] = Arity(bottoms=(1, 3), tops=(1, 3))
    index_bottoms: ClassVar[tuple[int, ...]] = (2,)
    fork: ClassVar[str] = "CTC, CC4.0"
    family: ClassVar[str] = "prediction"

    @classmethod
    def read(cls, p: Params) -> Self:
        # CC4.0 calls its classes' blank as its loss does, and knows no other choice.
        other = p.has("ctc_loss_param") and not p.has("ctc_decoder_param")
        s = p.sub("ctc_loss_param" if other else "ctc_decoder_param")
        if other:
            s.ignore("alphabet_size", "time_step")
        if other and p.bottoms != 1:
            p.refuse(
                "bottom[1]",
                "CC4.0's decoder with labels",
                code="unsupported",
                why="it counts hits; what it decodes takes one bottom",
                remedy="leave the labels out",
            )
        if p.bottoms < 3 and p.tops > min(p.bottoms, 2):
            p.refuse("top[2]" if p.tops > 2 else "top[1]", f"{p.tops} tops of {p.bottoms} bottoms", code="arity",
                     why="the accuracy wants labels as third bottom, the scores marks as second")  # fmt: skip
        if other:
            return cls(int(s.get("blank_label")), True, p.tops)
        return cls(int(s.get("blank_index")), bool(s.get("ctc_merge_repeated")), p.tops)

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        x, found = bottoms[0], []
        if len(x) != 3:
            what = f"CTCGreedyDecoder wants 3 axes, not {len(x)}"
            raise Refused(what, at="bottom[0]", why="(steps, streams, classes)")
        for index, other in enumerate(bottoms[1:], 1):
            found += same_shape((*x[:2], 1, 1), planes(other, self.type, f"bottom[{index}]"),
                                "marks and labels are steps × streams", f"bottom[{index}]")  # fmt: skip
        return found

    def index_tops(self) -> tuple[int, ...]:
        return (0,)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        steps, streams = bottoms[0][:2]
        classes, score, accuracy = (streams, steps, 1, 1), (streams, 1, 1, 1), (1, 1, 1, 1)
        if len(bottoms) == 3 and self.tops == 2:
            return (classes, accuracy)
        return (classes, score, accuracy)[: self.tops]

    def emit(self, e: Emission) -> Emitted:
        x, blank = e.x[0], self.blank if self.blank >= 0 else e.bottoms[0][2] - 1
        marks = f", {e.x[1]}" if len(e.x) > 1 else ""
        merge = "" if self.merge else ", merge=False"
        measured = len(e.x) == 3 and self.tops > 1
        scored = self.tops - measured > 1
        targets = f"{e.y[0]}, {e.y[1] if scored else '_'}"
        lines = [f"{targets} = ctc_decode({x}, {blank}{marks}{merge})"]
        functions = ["sequences.ctc_decode"]
        if measured:
            lines.append(f"{e.y[-1]} = ctc_accuracy({e.y[0]}, {e.x[2]}, {x})")
            functions += ["sequences.ctc_accuracy"]
        return Emitted(tuple(lines), functions=tuple(functions))
