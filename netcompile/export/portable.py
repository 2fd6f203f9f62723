"""The net that an ONNX file holds: after the passes of a level, but for those that choose how torch computes a layer.

At level 2 the blobs of many nets are windows, which depend on the image, within borders, which depend on the weights
alone. Borders differ from size to size: such a net is exported for its declared size, and holds them as constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netcompile.analyser import Analysed
from netcompile.compiler import compile_net, emit_net, optimise_net
from netcompile.emit.module import EmittedModule
from netcompile.layers.base import IntShape
from netcompile.passes.base import Program
from netcompile.passes.nodes.windows import Surround

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a window lies in its blob, at the declared size; `blob` names the border."""

    blob: str
    inner: Pair  # height and width of the window
    start: Pair  # where it begins in the whole
    outer: Pair  # height and width of the whole


@dataclass(frozen=True, slots=True)
class Portable:
    """A module that can be traced. With `frames` its method ``windowed`` is, at the declared size of the image."""

    module: EmittedModule
    image: IntShape = ()
    frames: tuple[Frame, ...] = ()


def portable_net(
    analysed: Analysed, level: int, outputs: Sequence[str] | None = None, weights: str | None = None,
    any_size: bool = False,
) -> Portable:  # fmt: skip
    """The net at a level as `compile_net` takes it; with `any_size` never by windows that need the size.

    Raises NetError with every refusal.
    """
    if level < 2:
        return Portable(compile_net(analysed, level, outputs, weights))
    found = optimise_net(analysed, level, outputs, weights, portable=True)
    module = emit_net(analysed, found, level, outputs)
    inside = found.program.windowed
    if inside is None or any_size:
        return Portable(module)
    image = analysed.shapes[module.inputs[0]]
    shapes = Program(inside).shapes
    frames, base = [], 0
    for node in inside.nodes:
        if isinstance(node.layer, Surround):
            inner, outer = shapes[node.bottoms[0]], shapes[node.tops[0]]
            frames.append(Frame(node.layer.blob, (inner[2], inner[3]), node.layer.before, (outer[2], outer[3])))
            base = node.layer.base
    # Of a smaller image the module itself computes whole blobs.
    return Portable(module, image, tuple(frames) if min(image[2:]) >= base else ())
