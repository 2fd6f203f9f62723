"""From a prototxt to a compiled net, step by step; what the commands and the Python API share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from netcompile.algebra.nset import NSet
from netcompile.analysis.assume import explained, settle
from netcompile.analysis.assume import notes as assumed_notes
from netcompile.analysis.crops import CropReport, Crops, resolve, with_proof, with_validity
from netcompile.analysis.mistakes import once, with_later_mistakes
from netcompile.analysis.shapes import Legal, Symbolic, input_problems, legal, recheck, symbolic
from netcompile.caffemodel.reader import read_caffemodel
from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.diagnostics.source import Source
from netcompile.emit.inference import Windowed
from netcompile.emit.module import Module, emit, outputs_of
from netcompile.emit.weights import weight_plan
from netcompile.ir.build import Options, build
from netcompile.ir.graph import Graph, Value
from netcompile.ir.naming import net_name
from netcompile.ir.tolerate import load_for
from netcompile.layers.base import IntShape
from netcompile.layers.convolution import Deconvolution
from netcompile.passes import optimise
from netcompile.passes.base import NO_FACTS, Facts, Program, Rewritten
from netcompile.passes.facts import read_facts
from netcompile.passes.nodes.convolution import FusedConvolution
from netcompile.passes.nodes.windows import Surround


@dataclass(frozen=True)
class Analysed:
    """A net with its crops resolved and its shapes known. `problems` are refusals that `compile` would raise."""

    name: str
    source: Source
    graph: Graph
    shapes: dict[Value, IntShape]
    crops: Crops
    notes: tuple[Diagnostic, ...]
    problems: tuple[Diagnostic, ...] = ()

    @cached_property
    def symbolic(self) -> Symbolic:
        """Shapes as functions of H and W."""
        return symbolic(self.graph, self.shapes)

    @cached_property
    def reports(self) -> tuple[CropReport, ...]:
        """Every crop, with the sizes for which it is legal."""
        return tuple(with_validity(report, self.symbolic) for report in self.crops.reports)

    @cached_property
    def proved(self) -> Graph:
        """The graph, its crops told whether they lie inside for every height and width."""
        return with_proof(self.graph, self.reports)

    @cached_property
    def valid(self) -> tuple[NSet, NSet]:
        """Heights and widths for which the net is proved to be legal."""
        return self.legal.sets

    @cached_property
    def legal(self) -> Legal:
        """The same, with the layers that keep further sizes from being proved."""
        return legal(self.graph, self.symbolic, self.shapes)

    def require(self) -> Analysed:
        """Itself, or NetError with everything that Caffe would refuse."""
        if self.problems:
            raise NetError(self.problems)
        return self


DEFAULTS = Options()


def analyse(
    source: Source,
    options: Options = DEFAULTS,
    crop_offsets: str = "auto",
    round_crops: bool = False,
) -> Analysed:
    """Parse, upgrade, build, infer shapes, resolve crops. Raises NetError where the file makes no net at all."""
    try:
        loaded = load_for(source, lambda _: options)
        name = net_name(str(loaded.net.get("name") or ""), source.name)
        built = build(loaded.net, options, name)
    except NetError as error:
        raise with_later_mistakes(error, options) from None
    settled = settle(built.graph)
    graph, shapes = settled.graph, settled.known
    crops = resolve(graph, shapes, crop_offsets, round_crops)
    # Whether a crop lies inside depends on its offsets, which are known from here on.
    refused = recheck(graph, crops.graph, shapes, settled.refused)
    problems = [*input_problems(graph), *explained(graph, refused), *crops.problems()]
    notes = (*loaded.notes, *once(built.notes), *assumed_notes(graph))
    return Analysed(name, source, crops.graph, shapes, crops, notes, tuple(map(crops.suggest, problems)))


def compile_net(
    analysed: Analysed,
    level: int = 1,
    outputs: Sequence[str] | None = None,
    weights: str | None = None,
    comments: bool = True,
    dtype: str = "float32",
) -> Module:
    """Emit the net at an optimisation level. Raises NetError with every refusal.

    `weights` is the caffemodel that the module is for, and `dtype` the type that it is to run in: from level 2 on,
    code may rely on the values in the file, and on that type, whose digits decide how it computes (others work too).
    Without `comments` nothing is proved for the sake of the source, as when only its tensors are wanted.
    """
    return emit_net(
        analysed, optimise_net(analysed, level, outputs, weights, comments, dtype), level, outputs, comments
    )


def optimise_net(
    analysed: Analysed,
    level: int = 1,
    outputs: Sequence[str] | None = None,
    weights: str | None = None,
    comments: bool = True,
    dtype: str = "float32",
) -> Rewritten:
    """The first step of `compile_net`: the net after the passes of a level, and where these did not apply, and why."""
    graph = analysed.require().graph if level < 2 and not comments else analysed.require().proved
    if level < 2:
        return optimise(graph, level)
    outputs_of(graph, outputs)  # an unknown one is refused before anything is computed
    facts = NO_FACTS if weights is None else facts_of(analysed, weights)
    return optimise(graph, level, replace(facts, float32=dtype == "float32"), outputs)


def emit_net(
    analysed: Analysed, found: Rewritten, level: int = 1, outputs: Sequence[str] | None = None, comments: bool = True
) -> Module:
    """The second step: the source of what `optimise_net` found."""
    program, origin = found.program, _origin(analysed.source.name)
    if level < 2:
        dims = analysed.symbolic.shapes if comments else None
        return emit(program.graph, analysed.shapes, symbolic=dims, outputs=outputs, origin=origin)
    windowed = None
    if program.windowed is not None:
        inside = Program(program.windowed).shapes
        surrounds = tuple(node.layer for node in program.windowed.nodes if isinstance(node.layer, Surround))
        windowed = Windowed(program.windowed, inside, symbolic(program.windowed, inside).shapes, surrounds)
    fused = any(isinstance(node.layer, FusedConvolution) for node in program.graph.nodes)
    return emit(
        program.graph,
        program.shapes,
        symbolic=symbolic(program.graph, program.shapes).shapes,
        outputs=outputs,
        origin=origin,
        original=analysed.proved,
        windowed=windowed,
        inference=windowed is not None or fused,
    )


def facts_of(analysed: Analysed, weights: str) -> Facts:
    """What passes may rely on of the weights' values."""
    if not any(isinstance(node.layer, Deconvolution) for node in analysed.graph.nodes):
        return Facts(known=True)
    plan = weight_plan(analysed.graph, compile_net(analysed, 0))
    return read_facts(read_caffemodel(weights), plan, analysed.graph, analysed.shapes)


def _origin(path: str) -> str:
    """The last two parts of a path: enough to know the file, nothing of the machine."""
    return "/".join(path.replace("\\", "/").split("/")[-2:])
