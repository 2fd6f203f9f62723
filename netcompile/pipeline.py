"""From a prototxt to a compiled net, step by step; what the commands and the Python API share."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from netcompile.algebra.nset import NSet
from netcompile.analysis.assume import explained, settle
from netcompile.analysis.assume import notes as assumed_notes
from netcompile.analysis.crops import CropReport, Crops, resolve, with_validity
from netcompile.analysis.shapes import Legal, Symbolic, infer, input_problems, legal, refusals_of, symbolic
from netcompile.caffemodel.reader import read_caffemodel
from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.diagnostics.source import Source
from netcompile.emit.inference import Windowed
from netcompile.emit.module import Module, check_outputs, emit
from netcompile.emit.weights import weight_plan
from netcompile.ir.build import Options, build
from netcompile.ir.graph import Graph, Value
from netcompile.ir.tolerate import load_for
from netcompile.layers.base import IntShape
from netcompile.layers.convolution import Deconvolution
from netcompile.layers.crop import Crop
from netcompile.passes import optimise
from netcompile.passes.base import NO_FACTS, Facts
from netcompile.passes.facts import read_facts
from netcompile.passes.fused import FusedConvolution
from netcompile.passes.window_layers import Surround
from netcompile.prototxt.message import Message
from netcompile.prototxt.upgrade import Upgraded

GENERIC = frozenset(
    [
        "train",
        "val",
        "test",
        "deploy",
        "trainval",
        "train_val",
        "train_test",
        "trainval_test",
        "solver",
        "net",
    ]
)


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
        return with_validity(self.crops.reports, self.symbolic)

    @cached_property
    def proved(self) -> Graph:
        """The graph, its crops told whether they lie inside for every height and width."""
        inside = {id(r.node.message) for r in self.reports if r.axis >= 2 and all(sizes.is_all for sizes in r.valid)}
        if not inside:
            return self.graph
        nodes = tuple(
            replace(node, layer=replace(node.layer, inside=True))
            if isinstance(node.layer, Crop) and id(node.message) in inside
            else node
            for node in self.graph.nodes
        )
        return self.graph.replace(nodes=nodes)

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


def net_name(declared: str, path: str) -> str:
    """The net's name: as declared, else from its path; ``voc-fcn8s/val.prototxt`` is voc-fcn8s."""
    if declared.strip():
        return declared
    parts = [p for p in path.replace("\\", "/").split("/") if p not in ("", ".", "..")]
    if not parts or path in ("-", "<stdin>", "<string>"):
        return "net"
    stem = parts[-1].rsplit(".prototxt", 1)[0].split("@")[0]
    return parts[-2] if stem in GENERIC and len(parts) > 1 else stem


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
    except NetError as error:
        raise _and_the_next(error, options) from None
    name = net_name(str(loaded.net.get("name") or ""), source.name)
    try:
        built = build(loaded.net, options, name)
    except NetError as error:
        raise _and_the_next(error, options) from None
    settled = settle(built.graph)
    graph, shapes, refused = settled.graph, settled.known, settled.refused
    crops = resolve(graph, shapes, crop_offsets, round_crops)
    if crops.reports:
        # Bounds depend on the offsets in use, so they are checked again once those are known.
        shapes, later = refusals_of(crops.graph)
        refused = tuple(later)
    problems = [*input_problems(graph), *explained(graph, refused)]
    if crops.reports:
        problems += crops.problems()
        problems = [_suggest(problem, crops) for problem in problems]
    notes = (*loaded.notes, *once(built.notes), *assumed_notes(graph))
    return Analysed(name, source, crops.graph, shapes, crops, notes, tuple(problems))


def once(notes: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Notes without repetitions of how a fork's layer is read: said of the first such layer, it holds for all."""
    found, said = list[Diagnostic](), set[str]()
    for note in notes:
        if note.code == "fork-reading" and note.what in said:
            continue
        said.add(note.what)
        found.append(note)
    return found


def _and_the_next(error: NetError, options: Options) -> NetError:
    """The mistakes of one stage together with those of the next ones, over what is well so far."""
    found, partial = list(error.diagnostics), error.partial
    if isinstance(partial, Upgraded):
        places = sorted(d.span.start for d in found if d.span)

        def faulty(layer: Message) -> bool:
            at = bisect_left(places, layer.start)
            return at < len(places) and places[at] < layer.end

        try:
            partial = build(partial.net, options, faulty=faulty).graph
        except NetError as more:
            found += more.diagnostics
            partial = more.partial
    if isinstance(partial, Graph):
        settled = settle(partial)
        found += input_problems(settled.graph) + explained(settled.graph, settled.refused)
    return NetError(dict.fromkeys(found))


def _suggest(problem: Diagnostic, crops: Crops) -> Diagnostic:
    """A crop out of bounds is told the offset that alignment needs."""
    if problem.code != "crop-bounds" or problem.span is None:
        return problem
    for report in crops.reports:
        message = report.node.message
        inside = message.span.start <= problem.span.start < message.span.end
        if inside and report.inferred and report.status in ("mismatch", "inferred"):
            numbers = [str(v) for v in report.inferred]
            wanted = numbers[0] if len(set(numbers)) == 1 else ", ".join(numbers)
            return replace(problem, remedy=f"offset: {wanted}, which alignment needs")
    return problem


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

    origin = _origin(analysed.source.name)
    if level < 2 and not comments:
        return emit(optimise(analysed.require().graph, level).graph, analysed.shapes, outputs=outputs, origin=origin)
    graph = analysed.require().proved
    if level < 2:
        found = optimise(graph, level)
        return emit(found.graph, analysed.shapes, symbolic=analysed.symbolic.shapes, outputs=outputs, origin=origin)
    return _compile_for_inference(analysed, level, outputs, weights, origin, dtype == "float32")


def _compile_for_inference(
    analysed: Analysed, level: int, outputs: Sequence[str] | None, weights: str | None, origin: str, float32: bool
) -> Module:

    graph = analysed.proved
    check_outputs(graph, outputs)
    facts = replace(NO_FACTS if weights is None else _facts(analysed, weights), float32=float32)
    found = optimise(graph, level, facts, outputs)
    shapes, _ = infer(found.graph)
    windowed = None
    if found.windowed is not None:
        inside, _ = infer(found.windowed)
        surrounds = tuple(node.layer for node in found.windowed.nodes if isinstance(node.layer, Surround))
        windowed = Windowed(found.windowed, inside, symbolic(found.windowed, inside).shapes, surrounds)
    return emit(
        found.graph,
        shapes,
        symbolic=symbolic(found.graph, shapes).shapes,
        outputs=outputs,
        origin=origin,
        original=graph,
        windowed=windowed,
        inference=windowed is not None or any(isinstance(node.layer, FusedConvolution) for node in found.graph.nodes),
    )


def _facts(analysed: Analysed, weights: str) -> Facts:
    """What passes may rely on of the weights' values."""

    if not any(isinstance(node.layer, Deconvolution) for node in analysed.graph.nodes):
        return Facts(known=True)
    plan = weight_plan(analysed.graph, compile_net(analysed, 0))
    return read_facts(read_caffemodel(weights), plan, analysed.graph, analysed.shapes)


def _origin(path: str) -> str:
    """The last two parts of a path: enough to know the file, nothing of the machine."""
    return "/".join(path.replace("\\", "/").split("/")[-2:])
