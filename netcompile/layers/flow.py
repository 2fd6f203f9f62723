"""FlowNet's layers, as they work at test: Correlation, FlowWarp, Resample, DataAugmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Self

from netcompile.caffemodel.recipe import Recipe
from netcompile.layers.base import (
    ITEM,
    PLANE,
    Arity,
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
from netcompile.layers.params import Params
from netcompile.layers.shapes import four_axes, number, planes, same_shape
from netcompile.layers.source import literal


@layer("Correlation", "Correlation1D")
@dataclass(frozen=True, slots=True)
class Correlation(Layer):
    """Mean product (or absolute difference) of patches of bottom[0] with displaced patches of bottom[1].

    One channel for each displacement, in steps of stride_2 up to max_displacement: along both axes, or for
    Correlation1D along the rows alone.
    """

    kernel: int = 1
    reach_: int = 1
    pad: int = 0
    stride: int = 1
    step: int = 1
    subtract: bool = False
    flat: bool = False
    right: bool = False

    arity: ClassVar[Arity] = Arity(bottoms=2, tops=1)
    fork: ClassVar[str] = "FlowNet"
    mixed: ClassVar[frozenset[int] | None] = ITEM

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("correlation_param")
        for field in ("kernel_size", "max_displacement"):
            s.required(field)
        kernel, flat, side = int(s.get("kernel_size") or 1), p.type == "Correlation1D", int(s.get("single_direction"))
        if kernel % 2 == 0:
            s.refuse("kernel_size", f"kernel_size {kernel} is even", code="param-range", why="a patch has a middle")
            kernel = 1
        if s.get("do_abs"):
            why = "FlowNet's layers keep it and compute nothing from it"
            p.note("correlation_param.do_abs", "do_abs does nothing", code="unused-param", why=why)
        if side == -1 or (side and not flat):
            s.refuse(
                "single_direction",
                f"single_direction {side}",
                code="unsupported",
                why="FlowNet's code reads beyond its padding there" if flat else "only Correlation1D has it",
            )
        stride, step = s.positive("stride_1"), s.positive("stride_2")
        subtract = s.get("correlation_type") == "SUBTRACT"
        reach = int(s.get("max_displacement") or 0)
        return cls(kernel, reach, int(s.get("pad")), stride, step, subtract, flat, side == 1)

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        return same_shape(bottoms[0], bottoms[1], "both bottoms must have the same shape")

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x = planes(bottoms[0], "Correlation")
        edge = self.kernel // 2
        width = x[3] + (2 * self.pad - 2 * (self.reach_ + edge))
        height = x[2] + (-2 * edge if self.flat else 2 * self.pad - 2 * (self.reach_ + edge))
        steps = self.reach_ // self.step
        across = steps + 1 if self.right else 2 * steps + 1
        up = self.stride - 1
        extents = ((height + up) // self.stride, (width + up) // self.stride)
        return ((x[0], across if self.flat else across**2, *extents),)

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        return prod(tops[0]) * self.kernel**2 * number(planes(bottoms[0], self.type)[1])

    def emit(self, e: Emission) -> Emitted:
        return e.call(
            "flow.correlate_rows" if self.flat else "flow.correlate",
            *e.planes,
            kernel=self.kernel,
            reach=self.reach_,
            pad=self.pad,
            stride=self.stride if self.stride != 1 else None,
            step=self.step if self.step != 1 else None,
            subtract=self.subtract or None,
            right=self.right or None,
        )


@layer("FlowWarp")
@dataclass(frozen=True, slots=True)
class FlowWarp(Layer):
    """bottom[0] read where the flow bottom[1] (x, y in pixels) points, bilinearly; outside it 0 or NaN."""

    fill: str = "ZERO"

    arity: ClassVar[Arity] = Arity(bottoms=2, tops=1)
    fork: ClassVar[str] = "FlowNet"
    mixed: ClassVar[frozenset[int] | None] = PLANE

    @classmethod
    def read(cls, p: Params) -> Self:
        return cls(p.sub("flow_warp_param").get("fill_value"))

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        x, flow = planes(bottoms[0], "FlowWarp"), planes(bottoms[1], "FlowWarp", "bottom[1]")
        refusal = Refused("the flow's batch, height and width are not the image's", at="bottom[1]")
        two = Refused(f"a flow has 2 channels, not {flow[1]}", at="bottom[1]", why="x and y in pixels")
        pairs = [(x[axis], flow[axis]) for axis in (0, 2, 3)]
        return [Condition(flow[1], "==", 2, two), *(Condition(a, "==", b, refusal) for a, b in pairs)]

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (planes(bottoms[0], "FlowWarp"),)

    def emit(self, e: Emission) -> Emitted:
        return e.call("flow.flow_warp", *e.planes, fill='float("nan")' if self.fill == "NOT_A_NUMBER" else None)


@layer("Warp")
class Warp(FlowWarp):
    """As FlowWarp, with 0 beyond the outermost pixels (PWC-Net)."""

    fork: ClassVar[str] = "PWC-Net"

    @classmethod
    def read(cls, p: Params) -> Self:
        p.note(
            "type",
            "Warp is taken for PWC-Net's, whose flow is counted from each pixel",
            code="fork-reading",
            why="LiteFlowNet has a layer of this name whose second bottom holds places in the image",
        )
        return cls()

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        for index, shape in enumerate(bottoms):
            four_axes(shape, "Warp", f"bottom[{index}]")
        return super().conditions(*bottoms)

    def emit(self, e: Emission) -> Emitted:
        return e.call("flow.inner_warp", *e.x)


@layer("Resample")
@dataclass(frozen=True, slots=True)
class Resample(Layer):
    """Resizing by a triangle, a cubic or the nearest pixel; shrinking widens the filter (antialias)."""

    size: tuple[int, int] | None = None
    method: str = "LINEAR"
    antialias: bool = True

    arity: ClassVar[Arity] = Arity(bottoms=(1, 2), tops=1)
    fork: ClassVar[str] = "FlowNet"
    family: ClassVar[str] = "upsampling"
    mixed: ClassVar[frozenset[int] | None] = PLANE

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("resample_param")
        method = s.get("type")
        if method == "AREA":
            s.refuse("type", "AREA resampling", code="unsupported", why="FlowNet's own layer refuses it")
            method = "LINEAR"
        size = None
        if p.bottoms == 1:
            height, width = int(s.required("height") or 1), int(s.required("width") or 1)
            size = (max(height, 1), max(width, 1))
        return cls(size, method, bool(s.get("antialias")))

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x = planes(bottoms[0], "Resample")
        size = planes(bottoms[1], "Resample", "bottom[1]")[2:] if self.size is None else self.size
        return ((*x[:2], *size),)

    def emit(self, e: Emission) -> Emitted:
        size = repr(self.size) if self.size else f"{e.planes[1]}.shape[2:]"
        method = () if self.method == "LINEAR" else (f'"{self.method.lower()}"',)
        return e.call("flow.resample", e.planes[0], size, *method, antialias=None if self.antialias else False)


@layer("DataAugmentation")
@dataclass(frozen=True, slots=True)
class DataAugmentation(Layer):
    """At test: the middle of the image, cut to size, minus the mean that training found (FlowNet, DispNet).

    Blobs: the number of iterations, the mean of each pixel, the mean of each channel. The layer goes on
    averaging until recompute_mean iterations are over; here it is taken to be trained. The mean that is not asked
    for may have another size in the file: that of the crops in training. Random augmentation is refused.
    """

    crop: tuple[int, int] | None = None
    averaged: bool = False
    per_pixel: bool = True
    mean: tuple[float, ...] = ()

    arity: ClassVar[Arity] = Arity(bottoms=(1, 2), tops=(1, 2))
    fork: ClassVar[str] = "FlowNet"
    attributes: ClassVar[tuple[str, ...]] = ("_mean",)

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("augmentation_param")
        s.ignore("max_multiplier", "write_augmented", "chromatic_eigvec", "write_mean")
        random = [entry.field.name for entry in s.message.entries if entry.field.message == "RandomGeneratorParameter"]
        s.ignore(*random)
        if p.has("coeff_schedule_param"):
            p.sub("coeff_schedule_param").ignore("half_life", "initial_coeff", "final_coeff")
        why = "a run would depend on random numbers"
        if p.bottoms > 1 or p.tops > 1:
            p.refuse(
                "type",
                "DataAugmentation with parameters handed on",
                code="unsupported",
                why="that serves training, where " + why,
                remedy="use the deploy net",
            )
        elif random and (p.train or s.get("augment_during_test")):
            what = f"random augmentation ({random[0]})"
            s.refuse(random[0], what, code="unsupported", why=why, remedy="--phase test")
        elif p.train:
            why = "its mean moves with every batch"
            p.refuse("type", "DataAugmentation in training", code="unsupported", why=why)
        s.ignore("augment_during_test")
        crop = None
        if s.has("crop_width") and s.has("crop_height"):
            crop = (s.positive("crop_height"), s.positive("crop_width"))
        averaged = bool(s.get("recompute_mean"))
        mean = tuple(float(v) for v in s.all("mean"))
        used = not averaged and len(mean) == 3 and not s.get("mean_per_pixel")
        return cls(crop, averaged, bool(s.get("mean_per_pixel")), mean if used else ())

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        found = []
        x = planes(bottoms[0], "DataAugmentation")
        for name, have, want in zip(("height", "width"), x[2:], self.crop or (), strict=False):
            refusal = Refused(
                f"crop_{name} {want} is greater than the {name} {have}", at=f"augmentation_param.crop_{name}"
            )
            found.append(Condition(have, ">=", want, refusal))
        return found

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        x = planes(bottoms[0], "DataAugmentation")
        if self.mean and number(x[1]) != 3:
            raise Refused(f"3 means for {x[1]} channels", at="augmentation_param.mean")
        return ((*x[:2], *(self.crop or x[2:])),)

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        count = BlobSpec("count", (1, 1, 1, 1))
        if not self.averaged:
            return (count,)
        channels, height, width = (number(d) for d in self.shapes(*bottoms)[0][1:])
        pixels = BlobSpec("pixel_mean", (1, channels, height, width), unread=not self.per_pixel)
        return (count, pixels, BlobSpec("mean", (1, channels, 1, 1), unread=self.per_pixel))

    def emit(self, e: Emission) -> Emitted:
        x, y = e.planes[0], e.y[0]
        lines: list[str] = []
        functions: tuple[str, ...] = ()
        init: tuple[str, ...] = ()
        tensors: tuple[tuple[str, Recipe], ...] = ()
        if self.crop is not None:
            lines, x = [f"{y} = middle({x}, {self.crop})"], y
            functions = ("flow.middle",)
        if self.averaged:
            index = 1 if self.per_pixel else 2
            shape = self.blobs(*e.bottoms)[index].shape
            init = (f"self.{e.name}_mean = nn.Buffer(torch.zeros({', '.join(map(str, shape))}))",)
            tensors = ((f"{e.name}_mean", e.take(index)),)
            lines.append(f"{y} = {x} - self.{e.name}_mean")
        elif self.mean:
            lines.append(f"{y} = {x} - {x}.new_tensor({literal(list(self.mean))}).view(3, 1, 1)")
        elif not lines:
            lines.append(f"{y} = {x}")
        return Emitted(tuple(lines), init, functions, tensors)
