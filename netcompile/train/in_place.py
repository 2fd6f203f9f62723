"""Layers whose gradient in Caffe is another one where they work in place.

Working in place, a layer's gradient shares its memory with the one from above, and its input is overwritten by its
output. Power and Log fill the gradient with their derivative before they multiply it by what came from above, which
is gone by then: the derivative is squared and nothing from above gets through. Power, Log and BNLL also read their
output where they mean their input. A training that is to follow Caffe's has to do the same; `noticed` says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log
from typing import Any, ClassVar

import torch
from torch import Tensor

from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.ir.graph import Node, Value
from netcompile.layers.base import Arity, Emission, Emitted, Layer, Shape
from netcompile.pipeline import Analysed

TYPES = ("Power", "Log", "BNLL")
LOST = ("Power", "Log")  # nothing from above gets through


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
    numbers: tuple[float, ...] = ()

    type: ClassVar[str] = "InPlace"
    arity: ClassVar[Arity] = Arity(bottoms=1, tops=1)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return self.of.shapes(*bottoms)

    def emit(self, e: Emission) -> Emitted:
        inner = self.of.emit(replace(e, y=("in_place",)))
        numbers = "".join(f", {number!r}" for number in self.numbers)
        line = f'{e.y[0]} = with_gradient({e.x[0]}, in_place, "{self.of.type}"{numbers})'
        return replace(inner, forward=(*inner.forward, line), imports=("netcompile.train.in_place.with_gradient",))


def works_in_place(node: Node) -> bool:
    """Whether the layer writes over its bottom and Caffe's gradient is then another one."""
    return node.type in TYPES and bool(node.tops) and node.bottoms[0].blob == node.tops[0].blob


def as_in_caffe(analysed: Analysed) -> Analysed:
    """The net with `InPlace` layers where `works_in_place`."""
    nodes = tuple(
        replace(node, layer=InPlace(node.layer, _numbers(node))) if works_in_place(node) else node
        for node in analysed.graph.nodes
    )
    return replace(analysed, graph=analysed.graph.replace(nodes=nodes))


def _numbers(node: Node) -> tuple[float, ...]:
    message = node.message
    if node.type == "Power":
        section = message.get("power_param")
        return tuple(float(section.get(name)) for name in ("power", "scale", "shift"))
    if node.type == "Log":
        section = message.get("log_param")
        base, scale, shift = (float(section.get(name)) for name in ("base", "scale", "shift"))
        return (scale if base == -1 else scale / log(base), scale, shift)
    return ()


def noticed(analysed: Analysed) -> list[Diagnostic]:
    """A warning for every layer whose gradient is not what its formula says."""
    learned: set[Value] = set()
    found = []
    for node in analysed.graph.nodes:
        if works_in_place(node) and node.bottoms[0] in learned:
            why = (
                "Caffe overwrites what comes from above; the same is done here"
                if node.type in LOST
                else "Caffe reads the overwritten input; the same is done here"
            )
            found.append(
                Diagnostic(
                    "in-place-gradient",
                    f"{node.type} works in place: its gradient is not its derivative",
                    node.message.span_of("top"),
                    why,
                    f"give layer '{node.name}' a top of its own",
                    "warning",
                )
            )
        if (
            node.message.has("param")
            or node.type
            in (
                "Convolution",
                "InnerProduct",
                "Deconvolution",
                "Scale",
                "Embed",
            )
            or any(bottom in learned for bottom in node.bottoms)
        ):
            learned.update(node.tops)
    return found
