"""Layers whose gradient in Caffe is another one where they work in place.

Working in place, a layer's gradient shares its memory with the one from above, and its input is overwritten by its
output. Power and Log fill the gradient with their derivative before they multiply it by what came from above, which
is gone by then: the derivative is squared and nothing from above gets through. Power, Log and BNLL also read their
output where they mean their input. A training that is to follow Caffe's has to do the same; `noticed` says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from netcompile.analyser import Analysed
from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.ir.graph import Node, Value
from netcompile.layers.base import Arity, Emission, Emitted, Layer, Shape
from netcompile.layers.traits import InPlaceGradient
from netcompile.passes.base import Pass, Program, Site


def with_gradient(x: Tensor, y: Tensor, kind: str, *numbers: float) -> Tensor:
    """`y`, with the gradient to `x` that Caffe computes when the layer works in place."""
    found: Tensor = _Function.apply(x, y.detach(), kind, numbers)  # type: ignore[no-untyped-call]
    return found


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, kind: str, numbers: tuple[float, ...]) -> Tensor:
        ctx.save_for_backward(y)
        ctx.kind, ctx.numbers = kind, numbers
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (y,), above = ctx.saved_tensors, gradients[0]
        match ctx.kind:
            case "BNLL":
                grown = y.clamp(max=50.0).exp()
                return above * grown / (grown + 1), None, None, None
            case "Log":
                factor, scale, shift = ctx.numbers
                own = factor / (scale * y + shift)
            case _:
                own = _power(y, *ctx.numbers)
                if own is None:
                    return torch.zeros_like(y), None, None, None
        return own * own, None, None, None


def _power(y: Tensor, power: float, scale: float, shift: float) -> Tensor | None:
    """The derivative as Caffe's PowerLayer fills it in, its input overwritten by `y`; None where it is zero."""
    factor = power * scale
    if factor == 0:
        return None
    if power == 1:
        return torch.full_like(y, factor)
    if power == 2:
        return factor * scale * y + factor * shift
    return torch.full_like(y, power) if shift == 0 else factor * y / (scale * y + shift)


@dataclass(frozen=True, slots=True)
class InPlace(Layer):
    """A layer that works in place, with Caffe's gradient for it."""

    of: Layer = Layer()  # noqa: RUF009
    gradient: InPlaceGradient = InPlaceGradient("")  # noqa: RUF009

    type: ClassVar[str] = "InPlace"
    arity: ClassVar[Arity] = Arity(bottoms=1, tops=1)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return self.of.shapes(*bottoms)

    def emit(self, e: Emission) -> Emitted:
        inner = self.of.emit(replace(e, y=("in_place",)))
        numbers = "".join(f", {number!r}" for number in self.gradient.numbers)
        line = f'{e.y[0]} = with_gradient({e.x[0]}, in_place, "{self.gradient.formula}"{numbers})'
        return replace(inner, forward=(*inner.forward, line), imports=("netcompile.train.in_place.with_gradient",))


def gradient_in_place(node: Node) -> InPlaceGradient | None:
    """Caffe's gradient of a layer that writes over its bottom, where it is not the derivative."""
    if not node.tops or not node.bottoms or node.bottoms[0].blob != node.tops[0].blob:
        return None
    return node.layer.in_place_gradient()


def match(program: Program) -> Iterator[Site[InPlaceGradient]]:
    for node in program.graph.nodes:
        gradient = gradient_in_place(node)
        if gradient is not None:
            yield Site(node, gradient)


def rewrite(program: Program, sites: Sequence[Site[InPlaceGradient]]) -> Program:
    return program.with_layers((site.node, InPlace(site.node.layer, site.found)) for site in sites)


IN_PLACE = Pass("in-place-gradients", 0, match, rewrite)


def noticed(analysed: Analysed) -> list[Diagnostic]:
    """A warning for every layer whose gradient is not what its formula says."""
    learned: set[Value] = set()
    found = []
    for node in analysed.graph.nodes:
        gradient = gradient_in_place(node)
        if gradient is not None and node.bottoms[0] in learned:
            what = f"{node.type} works in place: its gradient is not its derivative"
            done = "overwrites what comes from above" if gradient.lost else "reads the overwritten input"
            why, remedy = f"Caffe {done}; the same is done here", f"give layer '{node.name}' a top of its own"
            found.append(Diagnostic("in-place-gradient", what, node.message.span_of("top"), why, remedy, "warning"))
        specs = node.layer.blobs(*(analysed.shapes[bottom] for bottom in node.bottoms))
        if any(spec.learned for spec in specs) or not learned.isdisjoint(node.bottoms):
            learned.update(node.tops)
    return found
