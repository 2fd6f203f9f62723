"""FlowNet's layers, as they work at test: Correlation, FlowWarp, Resample, DataAugmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Self

from netcompile.caffemodel.recipe import Recipe
from netcompile.layers.base import (
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
    as_planes,
    layer,
    literal,
    number,
    planes,
    same_shape,
)
from netcompile.layers.params import Params


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

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("correlation_param")
        for field in ("kernel_size", "max_displacement"):
            s.required(field)
        kernel, flat, side = (
            int(s.get("kernel_size") or 1),
            p.type == "Correlation1D",
            int(s.get("single_direction")),
        )
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
        for field in ("stride_1", "stride_2"):
            if s.get(field) < 1:
                s.refuse(field, f"{field} must be at least 1", code="param-range")
        stride, step = max(int(s.get("stride_1")), 1), max(int(s.get("stride_2")), 1)
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
        a, b = (as_planes(x, shape) for x, shape in zip(e.x, e.bottoms, strict=True))
        name = "correlate_rows" if self.flat else "correlate"
        options = f"kernel={self.kernel}, reach={self.reach_}, pad={self.pad}"
        options += f", stride={self.stride}" if self.stride != 1 else ""
        options += f", step={self.step}" if self.step != 1 else ""
        options += ", subtract=True" if self.subtract else ""
        options += ", right=True" if self.right else ""
        function = CORRELATE_ROWS if self.flat else CORRELATE
        return Emitted((f"{e.y[0]} = {name}({a}, {b}, {options})",), functions=(function,))


CORRELATE = '''
def correlate(a, b, kernel, reach, pad, stride=1, step=1, subtract=False):
    """Mean product of a's patches with b's, displaced by up to `reach` along both axes.

    One channel for each displacement (dy, dx), dx running faster.
    """
    a, b = F.pad(a, (pad,) * 4), F.pad(b, (pad,) * 4)
    h, w = a.shape[2] - 2 * reach, a.shape[3] - 2 * reach
    a = a[:, :, reach : reach + h, reach : reach + w]
    steps = range(reach - reach // step * step, 2 * reach + 1, step)
    planes = []
    for dy in steps:
        for dx in steps:
            other = b[:, :, dy : dy + h, dx : dx + w]
            match = (a - other).abs() if subtract else a * other
            planes.append(match.mean(dim=1, keepdim=True))
    return F.avg_pool2d(torch.cat(planes, dim=1), kernel, stride)
'''

CORRELATE_ROWS = '''
def correlate_rows(
    a, b, kernel, reach, pad, stride=1, step=1, subtract=False, right=False
):
    """Mean product of a's patches with b's, displaced along the rows up to `reach`."""
    a, b = F.pad(a, (pad, pad)), F.pad(b, (pad, pad))
    w = a.shape[3] - 2 * reach
    a = a[:, :, :, reach : reach + w]
    first = reach if right else reach - reach // step * step
    planes = []
    for dx in range(first, 2 * reach + 1, step):
        other = b[:, :, :, dx : dx + w]
        match = (a - other).abs() if subtract else a * other
        planes.append(match.mean(dim=1, keepdim=True))
    return F.avg_pool2d(torch.cat(planes, dim=1), kernel, stride)
'''


@layer("FlowWarp")
@dataclass(frozen=True, slots=True)
class FlowWarp(Layer):
    """bottom[0] read where the flow bottom[1] (x, y in pixels) points, bilinearly; outside it 0 or NaN."""

    fill: str = "ZERO"

    arity: ClassVar[Arity] = Arity(bottoms=2, tops=1)
    fork: ClassVar[str] = "FlowNet"

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
        x, flow = (as_planes(x, shape) for x, shape in zip(e.x, e.bottoms, strict=True))
        fill = ', fill=float("nan")' if self.fill == "NOT_A_NUMBER" else ""
        return Emitted((f"{e.y[0]} = flow_warp({x}, {flow}{fill})",), functions=(WARP,))


WARP = '''
def flow_warp(x, flow, fill=0.0):
    """x where the flow points to, bilinearly; `fill` where that lies outside."""
    h, w = x.shape[2:]
    columns = torch.arange(w, device=x.device, dtype=x.dtype) + flow[:, 0]
    rows = torch.arange(h, device=x.device, dtype=x.dtype)[:, None] + flow[:, 1]
    inside = (columns >= 0) & (rows >= 0) & (columns < w) & (rows < h)
    columns, rows = torch.where(inside, columns, 0), torch.where(inside, rows, 0)
    left, top = columns.floor().long(), rows.floor().long()
    right, bottom = (left + 1).clamp_max(w - 1), (top + 1).clamp_max(h - 1)
    a, b = (columns - left)[:, None], (rows - top)[:, None]
    image = torch.arange(x.shape[0], device=x.device)[:, None, None]

    def at(row, column):
        return x[image, :, row, column].permute(0, 3, 1, 2)

    upper = (1 - a) * at(top, left) + a * at(top, right)
    lower = (1 - a) * at(bottom, left) + a * at(bottom, right)
    return torch.where(inside[:, None], (1 - b) * upper + b * lower, fill)
'''


@layer("Warp")
@dataclass(frozen=True)
class Warp(FlowWarp):
    """bottom[0] read where the flow bottom[1] (x, y in pixels) points, bilinearly, 0 beyond the outermost pixels
    (PWC-Net).
    """

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
            if len(shape) != 4:
                raise Refused(f"Warp wants 4 axes, not {len(shape)}", at=f"bottom[{index}]")
        return super().conditions(*bottoms)

    def emit(self, e: Emission) -> Emitted:
        return Emitted((f"{e.y[0]} = inner_warp({e.x[0]}, {e.x[1]})",), functions=(WARP, INNER_WARP))


INNER_WARP = '''
def inner_warp(x, flow):
    """As flow_warp, with 0 already beyond the middle of the last row and column."""
    h, w = x.shape[2:]
    columns = torch.arange(w, device=x.device, dtype=x.dtype) + flow[:, 0]
    rows = torch.arange(h, device=x.device, dtype=x.dtype)[:, None] + flow[:, 1]
    inside = (columns <= w - 1) & (rows <= h - 1)
    return flow_warp(x, torch.where(inside[:, None], flow, -h - w))
'''


@layer("Resample")
@dataclass(frozen=True, slots=True)
class Resample(Layer):
    """Resizing by a triangle, a cubic or the nearest pixel; shrinking widens the filter (antialias)."""

    size: tuple[int, int] | None = None
    method: str = "LINEAR"
    antialias: bool = True

    arity: ClassVar[Arity] = Arity(bottoms=(1, 2), tops=1)
    fork: ClassVar[str] = "FlowNet"

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
        x = as_planes(e.x[0], e.bottoms[0])
        size = repr(self.size) if self.size else f"{as_planes(e.x[1], e.bottoms[1])}.shape[2:]"
        extra = "" if self.method == "LINEAR" else f', "{self.method.lower()}"'
        extra += "" if self.antialias else ", antialias=False"
        return Emitted((f"{e.y[0]} = resample({x}, {size}{extra})",), functions=(RESAMPLE,))


RESAMPLE = '''
def resample(x, size, method="linear", antialias=True):
    """FlowNet's resizing; where the factors differ, each axis has the other's shift.

    The nearest pixel may then lie behind its row: memory goes on with the next one.
    """
    factors = [n / m for n, m in zip(x.shape[2:], size)]
    wide = antialias and max(factors) > 1
    weights, nearest = [], []
    for n, m, own, other in zip(x.shape[2:], size, factors, factors[::-1]):
        place = torch.arange(m, device=x.device, dtype=x.dtype) * own + other / 2 - 0.5
        pixel = torch.arange(n, device=x.device, dtype=x.dtype)
        if method == "nearest":
            nearest.append((place + 0.5).floor().long())
            continue
        d = (pixel - place[:, None]).abs() / (own if wide else 1.0)
        if method == "linear":
            weight = (1 - d).clamp_min(0)
        else:
            inner = d * d * (1.5 * d - 2.5) + 1
            outer = d * (d * (2.5 - 0.5 * d) - 4) + 2
            weight = torch.where(d <= 1, inner, torch.where(d < 2, outer, 0))
        total = weight.sum(dim=1, keepdim=True)
        weights.append(torch.where(total == 0, 0, weight / total))
    if method == "nearest":
        rows, columns = nearest
        plane = torch.arange(x.shape[0] * x.shape[1], device=x.device) * x[0, 0].numel()
        at = plane[:, None, None] + rows[:, None] * x.shape[3] + columns
        return x.flatten()[at.clamp_max(x.numel() - 1)].reshape(*x.shape[:2], *size)
    return weights[0] @ x @ weights[1].T
'''


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
            s.refuse(
                random[0],
                f"random augmentation ({random[0]})",
                code="unsupported",
                why=why,
                remedy="--phase test",
            )
        elif p.train:
            p.refuse(
                "type",
                "DataAugmentation in training",
                code="unsupported",
                why="its mean moves with every batch",
            )
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

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return None

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        count = BlobSpec("count", (1, 1, 1, 1))
        if not self.averaged:
            return (count,)
        channels, height, width = (number(d) for d in self.shapes(*bottoms)[0][1:])
        pixels = BlobSpec("pixel_mean", (1, channels, height, width), unread=not self.per_pixel)
        return (count, pixels, BlobSpec("mean", (1, channels, 1, 1), unread=self.per_pixel))

    def emit(self, e: Emission) -> Emitted:
        x, y = as_planes(e.x[0], e.bottoms[0]), e.y[0]
        lines: list[str] = []
        functions: tuple[str, ...] = ()
        init: tuple[str, ...] = ()
        tensors: tuple[tuple[str, Recipe], ...] = ()
        if self.crop is not None:
            lines, x = [f"{y} = middle({x}, {self.crop})"], y
            functions = (MIDDLE,)
        if self.averaged:
            index = 1 if self.per_pixel else 2
            shape = self.blobs(*e.bottoms)[index].shape
            init = (f'self.register_buffer("{e.name}_mean", torch.zeros({", ".join(map(str, shape))}))',)
            tensors = ((f"{e.name}_mean", e.take(index)),)
            lines.append(f"{y} = {x} - self.{e.name}_mean")
        elif self.mean:
            values = ", ".join(literal(v) for v in self.mean)
            lines.append(f"{y} = {x} - {x}.new_tensor([{values}]).view(3, 1, 1)")
        elif not lines:
            lines.append(f"{y} = {x}")
        return Emitted(tuple(lines), init, functions, tensors)


MIDDLE = '''
def middle(x, size):
    """The middle of x, read between pixels where the margin is odd.

    Places are kept 1.05 pixels from the far edge, as in FlowNet's code, so the last row
    and column are blended where the whole plane is asked for.
    """
    for axis, (n, m) in enumerate(zip(x.shape[2:], size), 2):
        place = torch.arange(m, device=x.device, dtype=x.dtype) + (n - m) / 2
        place = place.clamp_max(n - 1.05).clamp_min(0)
        first = place.floor().long()
        part = (place - first).view((-1,) + (1,) * (3 - axis))
        after = x.index_select(axis, (first + 1).clamp_max(n - 1))
        x = (1 - part) * x.index_select(axis, first) + part * after
    return x
'''
