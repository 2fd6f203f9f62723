"""Functions of each element by itself: powers, exponentials, logarithms, bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from netcompile.layers.base import layer
from netcompile.layers.kinds import Elementwise
from netcompile.layers.params import Params, Section
from netcompile.layers.source import call, literal
from netcompile.layers.traits import InPlaceGradient
from netcompile.prototxt.message import float_text


def affine(x: str, scale: float, shift: float) -> str:
    """Source of scale · x + shift, without what changes nothing."""
    if scale == -1 and shift:
        return f"{literal(shift)} - {x}"
    text = x if scale == 1 else f"-{x}" if scale == -1 else f"{literal(scale)} * {x}"
    if shift:
        text += f" {'-' if shift < 0 else '+'} {literal(abs(shift))}"
    return text


def decimal(value: float) -> float:
    """The number that a float32 parameter is written as: 0.1, not 0.10000000149."""
    return float(float_text(value))


@layer("AbsVal")
class AbsVal(Elementwise):
    """|x|."""

    __slots__ = ()

    @classmethod
    def read(cls, p: Params) -> Self:
        p.refuse_in_place()
        return cls()

    def expression(self, x: str) -> str:
        return f"{x}.abs()"


@layer("Threshold")
@dataclass(frozen=True, slots=True)
class Threshold(Elementwise):
    """1 where x is greater than the threshold, else 0."""

    threshold: float = 0.0

    @classmethod
    def read(cls, p: Params) -> Self:
        return cls(p.sub("threshold_param").get("threshold"))

    def expression(self, x: str) -> str:
        return f"({x} > {literal(self.threshold)}).to({x}.dtype)"


@layer("Clip")
@dataclass(frozen=True, slots=True)
class Clip(Elementwise):
    """max(min, min(x, max)): if the bounds are crossed, min everywhere."""

    low: float = 0.0
    high: float = 0.0

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("clip_param")
        return cls(float(s.get("min") or 0), float(s.get("max") or 0))

    def expression(self, x: str) -> str:
        if self.low <= self.high:
            return call(f"{x}.clamp", literal(self.low), literal(self.high))
        return f"{x}.clamp(max={literal(self.high)}).clamp(min={literal(self.low)})"


@layer("Power")
@dataclass(frozen=True, slots=True)
class Power(Elementwise):
    """(shift + scale · x)^power."""

    power: float = 1.0
    scale: float = 1.0
    shift: float = 0.0

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("power_param")
        return cls(s.get("power"), s.get("scale"), s.get("shift"))

    def is_noop(self, train: bool) -> bool:
        return (self.power, self.scale, self.shift) == (1, 1, 0)

    def in_place_gradient(self) -> InPlaceGradient | None:
        return InPlaceGradient("Power", (self.power, self.scale, self.shift), lost=True)

    def constant(self) -> float | None:
        """The result where it does not depend on x; a power of 0 gives 1 whatever its base."""
        if self.power == 0:
            return 1.0
        if self.scale != 0:
            return None
        base, power = decimal(self.shift), decimal(self.power)
        try:
            return math.pow(base, power)
        except OverflowError:
            odd = power % 2 == 1
            return -math.inf if base < 0 and odd else math.inf
        except ValueError:  # Python's word for 0 to a negative power and for roots of negative numbers
            return math.inf if base == 0 else math.nan

    def expression(self, x: str) -> str:
        value = self.constant()
        if value is not None:
            return call("torch.full_like", x, repr(value) if math.isfinite(value) else f'float("{value}")')
        inner = affine(x, self.scale, self.shift)
        if self.power == 1:
            return inner
        power = str(int(self.power)) if self.power in (2, 3) else literal(self.power)
        return f"{inner}**{power}" if inner.isidentifier() else f"({inner}) ** {power}"


def _base(s: Section) -> float:
    """The base of Exp and Log: -1 stands for e, anything else must be positive."""
    base = float(s.get("base"))
    if base != -1 and not base > 0:
        why = "only a positive number has real powers; -1 stands for e"
        s.refuse("base", f"base {base:g} is not positive", code="param-range", why=why)
        return -1.0
    return base


@layer("Exp")
@dataclass(frozen=True, slots=True)
class Exp(Elementwise):
    """base^(shift + scale · x); base -1 means e."""

    base: float = -1.0
    scale: float = 1.0
    shift: float = 0.0

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("exp_param")
        if math.isinf(s.get("base")):
            s.refuse("base", "base has no finite logarithm", code="param-range")
        return cls(_base(s), s.get("scale"), s.get("shift"))

    def expression(self, x: str) -> str:
        inner = affine(x, self.scale, self.shift)
        if self.base in (-1, 2):
            return call("torch.exp" if self.base == -1 else "torch.exp2", inner)
        if inner.isidentifier():
            return f"{literal(self.base)}**{inner}"
        return f"{literal(self.base)} ** ({inner})"


@layer("Log")
@dataclass(frozen=True, slots=True)
class Log(Elementwise):
    """log of shift + scale · x to a base; base -1 means e."""

    base: float = -1.0
    scale: float = 1.0
    shift: float = 0.0

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("log_param")
        base = _base(s)
        if base == 1 or math.isinf(base):
            why = "log(base) must be finite and not 0: every logarithm is divided by it"
            s.refuse("base", f"there is no logarithm to base {base:g}", code="param-range", why=why)
            base = -1.0
        return cls(base, s.get("scale"), s.get("shift"))

    def takes_logarithm(self) -> bool:
        return not self.shift

    def in_place_gradient(self) -> InPlaceGradient | None:
        factor = self.scale if self.base == -1 else self.scale / math.log(self.base)
        return InPlaceGradient("Log", (factor, self.scale, self.shift), lost=True)

    def expression(self, x: str) -> str:
        inner = affine(x, self.scale, self.shift)
        named = {-1.0: "torch.log", 2.0: "torch.log2", 10.0: "torch.log10"}
        if self.base in named:
            return call(named[self.base], inner)
        return f"torch.log({inner}) / {math.log(decimal(self.base))!r}"
