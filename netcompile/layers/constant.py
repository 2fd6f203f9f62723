"""Layers at the edge of the net that hold or drop blobs: Parameter, DummyData, HDF5Output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.diagnostics.text import shape_text
from netcompile.layers.base import Arity, BlobSpec, Condition, Emission, Emitted, IntShape, Layer, Refused, Shape, layer
from netcompile.layers.data import ForeignData
from netcompile.layers.images import Images, nobody
from netcompile.layers.kinds import Sink
from netcompile.layers.params import FILLERS, Params, Section, filler_mistake
from netcompile.layers.shapes import planes
from netcompile.layers.source import literal
from netcompile.prototxt.message import Message


def _extents(p: Params, dims: tuple[int, ...], at: str) -> IntShape:
    if any(d < 0 for d in dims):
        p.refuse(at, f"shape {shape_text(dims)} has a negative extent", code="shape")
    return tuple(max(d, 0) for d in dims)


def _unfillable(filler: Message, shapes: tuple[IntShape, ...], top: int | None) -> tuple[str, str, str] | None:
    """Why a filler cannot fill the blob of a top, or one of all (None)."""
    for shape in shapes if top is None else shapes[top : top + 1]:
        if (mistake := filler_mistake(filler, shape)) is not None:
            return mistake
    return None


@layer("Parameter")
@dataclass(frozen=True, slots=True)
class Parameter(Layer):
    """A learned blob as a top."""

    shape: IntShape = ()

    arity: ClassVar[Arity] = Arity(bottoms=0, tops=1)

    @classmethod
    def read(cls, p: Params) -> Self:
        dims = tuple(int(d) for d in p.sub("parameter_param").get("shape").all("dim"))
        return cls(_extents(p, dims, "parameter_param.shape"))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (self.shape,)

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        return (BlobSpec("", self.shape),)

    def emit(self, e: Emission) -> Emitted:
        size = ", ".join(map(str, self.shape)) or "()"
        init = f"self.{e.name} = nn.Parameter(torch.empty({size}))"
        return Emitted((f"{e.y[0]} = self.{e.name}.clone()",), (init,), tensors=((e.name, e.take(0)),))


class RandomData(ForeignData):
    """DummyData that draws new numbers in every forward pass: becomes an input."""

    __slots__ = ()

    type: ClassVar[str] = "DummyData"

    def images(self, message: Message, top: str) -> Images:
        return nobody("a DummyData layer feeds numbers that it draws, no images")


@layer("DummyData")
@dataclass(frozen=True, slots=True)
class DummyData(Layer):
    """Blobs full of one number each."""

    extents: tuple[IntShape, ...] = ()
    values: tuple[float, ...] = ()

    arity: ClassVar[Arity] = Arity(bottoms=0, tops=(1, None))
    keeps_state: ClassVar[bool] = True

    @classmethod
    def read(cls, p: Params) -> Layer:
        s = p.sub("dummy_data_param")
        shapes = cls._shapes(p, s)
        fillers = s.all("data_filler")
        if len(fillers) not in (0, 1, p.tops):
            s.refuse(
                "data_filler",
                f"{len(fillers)} fillers for {p.tops} tops",
                code="param-count",
                why="Caffe wants none, one for all tops, or one for each",
            )
            fillers = fillers[:1]
        for index, filler in enumerate(fillers):
            if filler.get("type") not in FILLERS:
                p.refuse(
                    f"dummy_data_param.data_filler[{index}].type",
                    f"unknown filler '{filler.get('type')}'",
                    code="filler",
                    why=f"Caffe has {', '.join(FILLERS)}",
                )
            elif (mistake := _unfillable(filler, shapes, index if len(fillers) > 1 else None)) is not None:
                at, what, why = mistake
                p.refuse(f"dummy_data_param.data_filler[{index}].{at}", what, code="filler", why=why)
        if any(filler.get("type") != "constant" for filler in fillers):
            return RandomData(tuple(tuple(max(d, 1) for d in shape) for shape in shapes))
        values = tuple(float(filler.get("value")) for filler in fillers) or (0.0,)
        return cls(shapes, values * p.tops if len(values) == 1 else values)

    @classmethod
    def _shapes(cls, p: Params, s: Section) -> tuple[IntShape, ...]:
        """Each top's shape: `shape` once or for each, or the four old fields likewise."""
        old = {name: s.all(name) for name in ("num", "channels", "height", "width")}
        shapes = s.all("shape")
        given: dict[str, tuple[object, ...]] = {"shape": shapes}
        if any(old.values()):
            if shapes:
                s.refuse(
                    "shape",
                    "shape and num, channels, height, width together",
                    code="param-conflict",
                    why="Caffe takes one form or the other",
                    remedy="keep shape",
                )
            given = dict(old)
        unfit = {name: len(values) for name, values in given.items() if len(values) not in (1, p.tops)}
        for name, count in unfit.items():
            what = f"{count} {name} for {p.tops} top{'s' * (p.tops != 1)}"
            s.refuse(name, what, code="param-count", why="Caffe wants one for all tops, or one for each")
        if unfit:
            return ((1,),) * p.tops
        found = []
        for top in range(p.tops):
            if any(old.values()):
                found.append(tuple(int(v[top if len(v) > 1 else 0]) for v in old.values()))
            else:
                index = top if len(shapes) > 1 else 0
                dims = tuple(int(d) for d in shapes[index].all("dim"))
                found.append(_extents(p, dims, f"dummy_data_param.shape[{index}].dim"))
        return tuple(found)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return self.extents

    def emit(self, e: Emission) -> Emitted:
        lines = tuple(
            f"{y} = self.{e.name}.new_full({shape!r}, {literal(value)})"
            for y, shape, value in zip(e.y, self.extents, self.values, strict=True)
        )
        anchor = f"self.{e.name} = nn.Buffer(torch.empty(0), persistent=False)"
        return Emitted(lines, (f"{anchor}  # device and type",))


@layer("HDF5Output")
class HDF5Output(Sink):
    """Caffe writes its two bottoms to a file; here they are taken, and nothing is written."""

    __slots__ = ()

    arity: ClassVar[Arity] = Arity(bottoms=2, tops=0)

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("hdf5_output_param")
        if not s.get("file_name"):
            s.required("file_name", "no file_name", "Caffe opens the file as it builds the net")
        return cls()

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        data, labels = (planes(shape, self.type, f"bottom[{index}]")[0] for index, shape in enumerate(bottoms))
        refusal = Refused(f"{data} items of data, {labels} of labels", at="bottom[1]")
        return [Condition(data, "==", labels, refusal)]
