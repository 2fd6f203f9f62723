"""What is legal but probably not meant. Here: inputs that feed nothing, tops and layers that nothing comes of."""

from __future__ import annotations

from collections.abc import Iterator

from netcompile.algebra.nset import NSet
from netcompile.analysis.crops import CropReport, Crops
from netcompile.analysis.misalignment import misalignments
from netcompile.analysis.rounding import hazards
from netcompile.analysis.shapes import Shapes
from netcompile.analysis.symbolic import Symbolic
from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.ir.graph import Graph, Node
from netcompile.ir.prune import needed
from netcompile.layers.params import locate


def lint(
    crops: Crops,
    shapes: Shapes,
    sym: Symbolic,
    reports: tuple[CropReport, ...],
    valid: tuple[NSet, NSet] | None,
) -> list[Diagnostic]:
    """Everything about a net that was built; what is refused or misaligned is told elsewhere."""
    graph = crops.graph
    return [
        *_unused_inputs(graph),
        *_unused_tops(graph),
        *(_without_loss(graph) if graph.train else _silenced(graph)),
        *misalignments(graph, shapes, sym, crops.coordinates, reports),
        *hazards(graph, shapes, sym, valid),
    ]


def _unused_inputs(graph: Graph) -> Iterator[Diagnostic]:
    """An input that no layer takes: often a blob whose name was changed in one place only."""
    used = graph.consumers()
    for entry in graph.inputs if graph.nodes else ():
        if entry.value not in used and entry.layer.type == "Input":
            yield Diagnostic(
                "unused-input",
                f"input '{entry.value.blob}' feeds no layer",
                locate(entry.message, "top"),
                why="the net computes the same without it",
                remedy="remove it, or check the bottoms that should name it",
                severity="warning",
            )


def _unused_tops(graph: Graph) -> Iterator[Diagnostic]:
    """One top of several that nobody takes, while others are taken: Caffe makes it an output of the net."""
    used = graph.consumers()
    for node in graph.nodes:
        idle = [index for index, top in enumerate(node.tops) if top not in used]
        for index in idle if len(idle) < len(node.tops) else ():
            if node.tops[index].blob in graph.outputs:
                yield Diagnostic(
                    "unused-blob",
                    f"no layer uses '{node.tops[index].blob}', so it is an output of the net",
                    locate(node.message, f"top[{index}]"),
                    remedy="a Silence layer says that this is meant",
                    severity="note",
                )


def _without_loss(graph: Graph) -> Iterator[Diagnostic]:
    """In training: layers that no loss depends on."""
    if not any(node.layer.is_measure for node in graph.nodes):
        return
    alive = _alive(graph, [n for n in graph.nodes if n.layer.is_measure or not n.tops or any(n.loss_weight)])
    for node in graph.nodes:
        if id(node) not in alive:
            yield Diagnostic(
                "dead-layer",
                f"no loss depends on layer '{node.name}'",
                locate(node.message, "name"),
                why="in phase TRAIN it is computed and learns nothing",
                remedy="include { phase: TEST } keeps it out of training",
                severity="note",
            )


def _silenced(graph: Graph) -> Iterator[Diagnostic]:
    """Layers whose tops only a Silence takes."""
    finals = {graph.blobs[name] for name in graph.outputs}
    used = [n for n in graph.nodes if n.type != "Silence" and (not n.tops or finals.intersection(n.tops))]
    if not used:  # the net works by what its layers do on the side
        return
    alive, producers = _alive(graph, used), graph.producers()
    for node in graph.nodes:
        for index, bottom in enumerate(node.bottoms if node.type == "Silence" else ()):
            maker = producers.get(bottom)
            if maker is None or id(maker) in alive:
                continue
            before = len(_alive(graph, [maker]) - alive) - 1
            more = f", nor on {before} before it" if before else ""
            yield Diagnostic(
                "dead-layer",
                f"nothing but a Silence depends on layer '{maker.name}'{more}",
                locate(node.message, f"bottom[{index}]"),
                why="it is computed and thrown away",
                remedy="remove it together with the Silence, or keep it to the phase that needs it",
                severity="note",
            )


def _alive(graph: Graph, roots: list[Node]) -> set[int]:
    """The layers, by id, that these depend on, themselves included."""
    wanted = needed(graph.nodes, (bottom for node in roots for bottom in node.bottoms))
    return {id(node) for node in roots} | {id(node) for node in graph.nodes if not wanted.isdisjoint(node.tops)}
