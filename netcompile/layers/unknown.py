"""A layer that nobody here knows, kept so that the rest of the net can be used (``--allow-unknown``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from netcompile.layers.base import Emission, Emitted, Layer, Refused, Shape
from netcompile.layers.params import Params


@dataclass(frozen=True)
class Unknown(Layer):
    """Its shape rule is unknown: one bottom and one top are taken to be alike, anything else cannot be guessed."""

    tops: int = 1

    @classmethod
    def read(cls, p: Params) -> Self:
        p.ignore_all()
        return cls(p.tops)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        if not bottoms:
            raise Refused(f"the shape that {self.type} makes is unknown", code="unknown-layer", at="type")
        return (bottoms[0],) * self.tops

    def emit(self, e: Emission) -> Emitted:
        message = f"layer {e.layer_name!r}: no one here knows what a {self.type} layer does"
        call = f"{', '.join(e.y) or '_'} = unknown_layer({message!r}, {', '.join(e.x)})"
        return Emitted(forward=(call,), functions=(UNKNOWN,))


UNKNOWN = '''
def unknown_layer(message, *bottoms):
    """Stand for a layer whose meaning is unknown: replace the call by your own code."""
    raise NotImplementedError(message)
'''
