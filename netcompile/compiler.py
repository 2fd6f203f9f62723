"""From an analysed net to a module: passes, then emission; what the commands and the Python API share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netcompile.algebra.effort import unbounded
from netcompile.analyser import Analysed
from netcompile.caffemodel.reader import read_caffemodel
from netcompile.diagnostics.text import short_path
from netcompile.emit.blobs import blobs_of
from netcompile.emit.inference import Windowed
from netcompile.emit.module import FLAT, EmittedModule, Manner, emit, outputs_of
from netcompile.emit.weights import weight_plan
from netcompile.ir.graph import Graph
from netcompile.passes import optimise
from netcompile.passes.base import NO_FACTS, Facts, Program, Rewritten
from netcompile.passes.facts import facts_matter, read_facts
from netcompile.passes.nodes.bands import Bands
from netcompile.passes.nodes.convolution import FusedConvolution
from netcompile.passes.nodes.windows import CutWindow, Surround


def compile_net(
    analysed: Analysed,
    level: int = 1,
    outputs: Sequence[str] | None = None,
    weights: str | None = None,
    comments: bool = True,
    dtype: str = "float32",
    style: str | None = "flat",
) -> EmittedModule:
    """Emit the net at an optimisation level. Raises NetError with every refusal.

    `style` is "flat", or "blocks" for a class for each part that repeats; None for blocks where they make the source
    shorter by a quarter. The literal net of level 0 is flat.

    `weights` is the caffemodel that the module is for, and `dtype` the type that it is to run in: from level 2 on,
    code may rely on the values in the file, and on that type, whose digits decide how it computes (others work too).
    Without `comments` nothing is proved for the sake of the source, as when only its tensors are wanted.
    """
    found = optimise_net(analysed, level, outputs, weights, comments, dtype)
    return emit_net(analysed, found, level, outputs, comments, Manner(style))


def optimise_net(
    analysed: Analysed,
    level: int = 1,
    outputs: Sequence[str] | None = None,
    weights: str | None = None,
    comments: bool = True,
    dtype: str = "float32",
    portable: bool = False,
) -> Rewritten:
    """The first step of `compile_net`: the net after the passes of a level, and where these did not apply, and why.

    `portable`: for engines other than torch, hence without the passes that choose how torch computes a layer.
    """
    graph = analysed.require().graph if level < 2 and not comments else analysed.require().proved
    outputs_of(graph, outputs)  # an unknown one is refused before anything is computed
    if level < 2:
        return optimise(graph, level, outputs=outputs)
    facts = NO_FACTS if weights is None else facts_of(analysed, weights)
    return optimise(graph, level, replace(facts, float32=dtype == "float32"), outputs, portable)


def emit_net(
    analysed: Analysed,
    found: Rewritten,
    level: int = 1,
    outputs: Sequence[str] | None = None,
    comments: bool = True,
    manner: Manner = FLAT,
) -> EmittedModule:
    """The second step: the source of what `optimise_net` found; level 0 is literal and flat."""
    program = found.program
    about = replace(manner.about, origin=short_path(analysed.source.name))
    manner = replace(manner, literal=level == 0, about=about)
    if level < 2:
        dims = analysed.symbolic.shapes if comments else None
        rewritten = level > 0 and program.graph.nodes != analysed.graph.nodes
        return emit(
            program.graph,
            analysed.shapes,
            symbolic=dims,
            outputs=outputs,
            original=blobs_of(analysed.graph, analysed.shapes) if rewritten else None,
            manner=manner,
        )
    windowed = None
    if program.windowed is not None:
        inside = Program(program.windowed)
        surrounds = tuple(node.layer for node in program.windowed.nodes if isinstance(node.layer, Surround))
        padded = _padded(program.windowed)
        windowed = Windowed(program.windowed, inside.shapes, inside.symbolic.shapes, surrounds, padded)
    # Windows are cut by the image's height and width, which only a module for inference names.
    fused = any(isinstance(node.layer, FusedConvolution | CutWindow) for node in program.graph.nodes)
    dims = program.symbolic.shapes
    with unbounded():  # what passes have decided is only written down
        return emit(
            program.graph,
            program.shapes,
            symbolic=dims,
            outputs=outputs,
            original=blobs_of(analysed.proved, analysed.shapes),
            windowed=windowed,
            inference=windowed is not None or fused,
            manner=manner,
        )


def legal_sizes(analysed: Analysed) -> str:
    """The heights and widths for which the net is proved to be legal, in words; "" for a net without images."""
    if not analysed.symbolic.spatial:
        return ""
    high, wide = analysed.valid
    if high == wide:
        return high.describe("H and W")
    return f"{high.describe('H')}; {wide.describe('W')}"


def _padded(graph: Graph) -> tuple[tuple[str, int], ...]:
    """The layers, by name and occurrence, whose bottoms are windows with zeros around them."""
    found = {n.tops[0] for n in graph.nodes if isinstance(n.layer, CutWindow) and not n.layer.cuts}
    padded = [node for node in graph.nodes if not found.isdisjoint(node.bottoms)]
    first = [node.layer.chain[0] if isinstance(node.layer, Bands) else node for node in padded]
    return tuple((node.name, node.occurrence) for node in first)


def facts_of(analysed: Analysed, weights: str) -> Facts:
    """What passes may rely on of the weights' values."""
    if not facts_matter(analysed.graph, analysed.shapes):
        return Facts(known=True)
    plan = weight_plan(analysed.graph, compile_net(analysed, 0, comments=False))
    return read_facts(read_caffemodel(weights), plan, analysed.graph, analysed.shapes)
