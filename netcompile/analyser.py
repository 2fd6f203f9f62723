"""From a prototxt to an analysed net, step by step: what every command begins with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from netcompile.algebra.effort import allow
from netcompile.algebra.nset import NSet
from netcompile.analysis.assume import explained, settle
from netcompile.analysis.assume import notes as assumed_notes
from netcompile.analysis.crops import CropReport, Crops, resolve, with_proof, with_validity
from netcompile.analysis.mistakes import once, with_later_mistakes
from netcompile.analysis.shapes import input_problems, recheck
from netcompile.analysis.symbolic import Legal, Symbolic, legal, symbolic
from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options, build
from netcompile.ir.graph import Graph, Value
from netcompile.ir.naming import net_name
from netcompile.ir.tolerate import load_for
from netcompile.layers.base import IntShape


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

    @property
    def fixed(self) -> tuple[int, int] | None:
        """The declared height and width of a net that is legal for a few sizes only; None where it takes any number."""
        return self.symbolic.declared if any(these.is_finite for these in self.valid) else None

    def require(self) -> Analysed:
        """Itself, or NetError with everything that Caffe would refuse."""
        if self.problems:
            raise NetError(self.problems)
        return self


DEFAULTS = Options()
MOST_STEPS, STEPS_EACH = 150_000, 300  # that sizes without a closed form take: of a net, and more for each layer


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
        allow(MOST_STEPS)
        raise with_later_mistakes(error, options) from None
    allow(MOST_STEPS + STEPS_EACH * len(built.graph.nodes))
    settled = settle(built.graph)
    graph, shapes = settled.graph, settled.known
    crops = resolve(graph, shapes, crop_offsets, round_crops)
    # Whether a crop lies inside depends on its offsets, which are known from here on.
    refused = recheck(graph, crops.graph, shapes, settled.refused)
    problems = [*input_problems(graph), *explained(graph, refused), *crops.problems()]
    notes = (*loaded.notes, *once(built.notes), *assumed_notes(graph))
    return Analysed(name, source, crops.graph, shapes, crops, notes, tuple(map(crops.suggest, problems)))
