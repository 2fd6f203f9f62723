"""A layer that nobody here knows, kept so that the rest of the net can be used (``--allow-unknown``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.layers.base import Emission, Emitted, Layer, Refused, Shape
from netcompile.layers.params import Params
from netcompile.layers.source import string
from netcompile.layers.unsupported import reason


@dataclass(frozen=True, slots=True)
class Unknown(Layer):
    """A layer of unknown meaning. Each top is assumed to have the first bottom's shape."""

    tops: int = 1

    keeps_state: ClassVar[bool] = True  # an attribute of its own, for the module that replaces it

    @classmethod
    def read(cls, p: Params) -> Self:
        p.ignore_all()
        return cls(p.tops)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        if not bottoms:
            raise Refused(f"the shape that {self.type} makes is unknown", code="unknown-layer", at="type")
        return (bottoms[0],) * self.tops

    def emit(self, e: Emission) -> Emitted:
        why = reason(self.type) or "nobody here knows what it does"
        message = f"layer {e.layer_name!r} ({self.type}): {why}"
        tops = ", ".join(e.y)
        call = f"self.{e.name}({', '.join(e.x)})"
        line = f"{tops} = {call}" if tops else call
        return Emitted((line,), (f"self.{e.name} = UnknownLayer({string(message)})",), ("unknown.UnknownLayer",))
